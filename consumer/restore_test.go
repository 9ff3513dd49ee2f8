package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// restoreWorld is a database that is put back to an earlier state, and one that reads the same stream undisturbed.
type restoreWorld struct {
	*broker
	live, undisturbed *database
	messages          []*nats.Msg
	sent              int
	last              uint64 // the sequence of the message sent last
}

func newRestoreWorld(t *testing.T, open func(t *testing.T) *database) *restoreWorld {
	t.Helper()
	w := &restoreWorld{broker: startBroker(t), live: open(t), undisturbed: open(t), messages: mixed(2_000)}
	w.startReader(t, w.undisturbed, func(c *consumer.Config) { c.Deployment, c.Log = "undisturbed", nil })
	return w
}

// mixed makes n messages of all kinds: executions, other events, and every fifth one that becomes none.
func mixed(n int) []*nats.Msg {
	list := history(n)
	out := make([]*nats.Msg, n)
	for i := range list {
		e := list[i]
		before := list[max(0, i-40)] // of the same run, but for the first ones
		switch i % 50 {
		case 7:
			out[i] = &nats.Msg{Subject: events.Subject(e.CampaignID, e.RunID), Data: []byte("{")}
			continue
		case 13:
			e = before
		case 21:
			e = before
			e.TokensIn++
		case 33:
			e = events.Event{Key: e.Key, ID: e.ID, Type: events.ExecutionsVoided, OccurredAt: e.OccurredAt,
				Voids: []string{before.ID, "never"}}
		case 40:
			e = events.Event{Key: e.Key, ID: e.ID, Type: events.RunStarted, OccurredAt: e.OccurredAt, AgentsExpected: 12}
		case 45:
			out[i] = &nats.Msg{Subject: "runs.other.run", Data: events.Encode(&e)}
			continue
		}
		out[i] = messageOf(&e)
	}
	return out
}

// send publishes the next n messages.
func (w *restoreWorld) send(t *testing.T, n int) {
	t.Helper()
	w.last = w.publish(t, w.messages[w.sent:w.sent+n]...)
	w.sent += n
}

// commit publishes the next n messages and waits until both databases have them.
func (w *restoreWorld) commit(t *testing.T, n int) {
	t.Helper()
	w.send(t, n)
	w.wait(t)
}

// wait blocks until both databases have all that was sent.
func (w *restoreWorld) wait(t *testing.T) {
	t.Helper()
	for _, d := range []*database{w.live, w.undisturbed} {
		waitCommitted(t, w.broker, d, w.last)
	}
}

// wantAsUndisturbed waits until everything was read, and finds no trace of what happened in any table.
func (w *restoreWorld) wantAsUndisturbed(t *testing.T) {
	t.Helper()
	w.wait(t)
	wantContents(t, w.live, w.undisturbed)
	p, err := w.live.Position(t.Context(), streamName)
	if err != nil || int64(p.Sequence) != p.Applied+p.Duplicates+p.DeadLetters+p.Gone {
		t.Errorf("position %+v (%v): its parts are not its sum", p, err)
	}
}

// goesOn sends everything that is left, a few messages at a time; begun is closed when the first of them are stored.
func (w *restoreWorld) goesOn(t *testing.T) (begun, over chan struct{}) {
	begun, over = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for first := true; w.sent < len(w.messages); first = false {
			w.send(t, 20)
			if first {
				close(begun)
			}
			<-time.After(3 * time.Millisecond) // the load of a stream that goes on, not a wait for anything
		}
	}()
	return begun, over
}

func TestARestoredStoreEndsAsIfNothingHadHappened(t *testing.T) {
	t.Parallel()
	stores := kinds(t)
	for name, test := range map[string]func(t *testing.T, w *restoreWorld){
		"SQLite/PageByPage":        restorePages,
		"SQLite/FileReplaced":      restoreFile,
		"Postgres/DatabaseRenamed": restoreDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind, _, _ := strings.Cut(name, "/")
			test(t, newRestoreWorld(t, stores[kind]))
		})
	}
	for kind, open := range stores {
		for _, stopped := range []bool{true, false} {
			for _, quiet := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/stopped=%t/quiet=%t", kind, stopped, quiet), func(t *testing.T) {
					t.Parallel()
					restoreOnce(t, newRestoreWorld(t, open), stopped, quiet)
				})
			}
		}
		for name, test := range map[string]func(t *testing.T, w *restoreWorld){
			"ToBeforeTheFirstCommit":      restoreToNothing,
			"TwiceInARow":                 restoreTwice,
			"ToAheadOfTheAckFloor":        restoreAhead,
			"WhileACommitIsUnderWay":      restoreUnderCommit,
			"BetweenEpochs":               restoreBetweenEpochs,
			"BeforeTheStreamWasRecreated": restoreBeforeRecreation,
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, newRestoreWorld(t, open))
			})
		}
	}
}

func restoreOnce(t *testing.T, w *restoreWorld, stopped, quiet bool) {
	r := w.startReader(t, w.live)
	w.commit(t, 400)
	backup := w.live.save(t)
	w.commit(t, 400)
	over := make(chan struct{})
	close(over)
	if !quiet {
		var begun chan struct{}
		begun, over = w.goesOn(t)
		<-begun
	}
	if stopped {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	w.live.restore(t, backup)
	switch {
	case stopped:
		w.startReader(t, w.live) // heals by itself, whether or not anything arrives
	case quiet:
		// A database that sleeps is let sleep: nothing asks it before the next message.
		if p, err := w.live.Position(t.Context(), streamName); err != nil || p.Sequence != 400 {
			t.Fatalf("position %+v (%v)", p, err)
		}
		w.send(t, 1)
	}
	<-over
	w.wantAsUndisturbed(t)
}

func restoreToNothing(t *testing.T, w *restoreWorld) {
	backup := w.live.save(t)
	r := w.startReader(t, w.live)
	w.commit(t, 500)
	w.live.restore(t, backup)
	w.commit(t, 1)
	wantContents(t, w.live, w.undisturbed)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w.live.restore(t, backup)
	w.startReader(t, w.live)
	w.wantAsUndisturbed(t)
}

func restoreTwice(t *testing.T, w *restoreWorld) {
	w.startReader(t, w.live)
	w.commit(t, 300)
	older := w.live.save(t)
	w.commit(t, 300)
	newer := w.live.save(t)
	w.commit(t, 300)
	begun, over := w.goesOn(t)
	<-begun
	for _, backup := range []string{newer, older, older, newer, older} {
		w.live.restore(t, backup) // wherever the reader is in healing from the one before
	}
	<-over
	w.wantAsUndisturbed(t)
}

// restoreAhead: the broker believes that less was committed than the backup holds, as after a lost acknowledgement, a
// consumer made anew, or a broker that went back in time.
func restoreAhead(t *testing.T, w *restoreWorld) {
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	older := w.live.save(t)
	w.commit(t, 300)
	newer := w.live.save(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w.live.restore(t, older)
	if _, err := w.js.ResetConsumerToSequence(t.Context(), streamName, consumer.ConsumerName("main"), 101); err != nil {
		t.Fatal(err)
	}
	w.live.restore(t, newer)
	r = w.startReader(t, w.live)
	w.commit(t, 300)
	if s := r.Status(); s.Applied > 300 {
		t.Errorf("%d events were applied, of 300 that the backup did not have", s.Applied)
	}
	w.wantAsUndisturbed(t)
}

// restoreUnderCommit puts the backup back while a commit waits, and lets another one that was given up before take place
// behind it.
func restoreUnderCommit(t *testing.T, w *restoreWorld) {
	waits, goOn := make(chan struct{}), make(chan struct{})
	late := w.live.Store
	faulty := sinktest.NewFaulty(late, func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		switch {
		case m == sinktest.Commit && n == 3:
			return sinktest.StoredLater
		case m == sinktest.Commit && n == 6:
			close(waits)
			<-goOn
		}
		return sinktest.None
	})
	w.startReader(t, faulty)
	w.commit(t, 200)
	backup := w.live.save(t)
	for faulty.Calls(sinktest.Commit) < 5 {
		w.commit(t, 50)
	}
	w.send(t, 200)
	<-waits
	w.live.restore(t, backup)
	close(goOn)
	w.commit(t, 100)
	for _, err := range faulty.Release(t.Context()) {
		if err == nil {
			t.Error("a commit that was given up took place although the stream went on without it")
		}
	}
	w.wantAsUndisturbed(t)
}

// restorePages uses what SQLite itself offers for a database in use.
func restorePages(t *testing.T, w *restoreWorld) {
	w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.save(t)
	w.commit(t, 300)
	begun, over := w.goesOn(t)
	<-begun
	w.live.restorePages(t, backup)
	<-over
	w.wantAsUndisturbed(t)
}

// restoreFile moves a backup over a file in use. The reader says so and goes on after a restart.
func restoreFile(t *testing.T, w *restoreWorld) {
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.save(t)
	w.commit(t, 300)
	if err := os.Rename(backup, w.live.name); err != nil {
		t.Fatal(err)
	}
	w.send(t, 100)
	if s := waitFor(t, r, consumer.Blocked); !strings.Contains(s.Reason, w.live.name) {
		t.Errorf("reason %q", s.Reason)
	}
	if err := errors.Join(r.stop(), w.live.Close()); err != nil {
		t.Fatal(err)
	}
	w.live.Store = openSQLiteAt(t, w.live.name)
	w.startReader(t, w.live)
	w.wantAsUndisturbed(t)
}

// restoreDatabase drops the database under a running reader and renames a copy into its place.
func restoreDatabase(t *testing.T, w *restoreWorld) {
	if testing.Short() {
		t.Skip("-short leaves out the 15 s after which a reader asks again for a database that does not exist")
	}
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.saveWhole(t)
	w.commit(t, 300)
	begun, over := w.goesOn(t)
	<-begun
	w.live.restoreWhole(t, backup)
	back := time.Now()
	<-over
	w.wantAsUndisturbed(t)
	t.Logf("caught up %s after the database was back", time.Since(back).Round(time.Millisecond))
	if s := r.Status(); s.State != consumer.Active {
		t.Errorf("status %+v", s)
	}
}

// restoreBetweenEpochs goes back to when the stream had been made anew and nothing of the new one was read.
func restoreBetweenEpochs(t *testing.T, w *restoreWorld) {
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.save(t)
	if err := w.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	w.createStream(t)
	w.send(t, 400)
	for _, d := range []*database{w.live, w.undisturbed} {
		waitEpoch(t, d, 2, w.last)
	}
	w.live.restore(t, backup)
	w.commit(t, 100)
	waitEpoch(t, w.live, 2, w.last)
	wantContents(t, w.live, w.undisturbed)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w.live.restore(t, backup)
	w.startReader(t, w.live)
	waitEpoch(t, w.live, 2, w.last)
	w.wantAsUndisturbed(t)
}

// restoreBeforeRecreation goes back to before what only the stream of then held: that is lost, and nothing else is.
func restoreBeforeRecreation(t *testing.T, w *restoreWorld) {
	list := history(600)
	r := w.startReader(t, w.live)
	w.publish(t, messagesOf(list[:200])...)
	waitCommitted(t, w.broker, w.live, 200)
	backup := w.live.save(t)
	w.publish(t, messagesOf(list[200:300])...)
	waitCommitted(t, w.broker, w.live, 300)
	if err := w.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	w.createStream(t)
	waitEpoch(t, w.live, 2, w.publish(t, messagesOf(list[300:500])...))
	w.live.restore(t, backup)
	last := w.publish(t, messagesOf(list[500:])...)
	p := waitEpoch(t, w.live, 2, last)
	expect(t, w.live, append(list[:200:200], list[300:]...))
	if p.Applied != 300 || p.Gone != 0 {
		t.Errorf("position %+v", p)
	}
	if s := r.Status(); s.State != consumer.Active || s.Note == "" {
		t.Errorf("status %+v", s)
	}
}
