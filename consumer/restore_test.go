package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
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
	w := &restoreWorld{broker: startBroker(t), live: open(t), undisturbed: open(t), messages: mixed(1_400)}
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

// goesOn sends everything that is left, a few messages at a time, but for the last: those are sent by end, because a
// reader learns only by its next commit that its database was restored. begun is closed when the first are stored.
func (w *restoreWorld) goesOn(t *testing.T) (begun chan struct{}, end func()) {
	const part = 20
	begun, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for first := true; w.sent < len(w.messages)-part; first = false {
			w.send(t, part)
			if first {
				close(begun)
			}
			<-time.After(3 * time.Millisecond) // the load of a stream that goes on, not a wait for anything
		}
	}()
	return begun, func() {
		<-over
		w.send(t, len(w.messages)-w.sent)
	}
}

func TestARestoredStoreEndsAsIfNothingHadHappened(t *testing.T) {
	t.Parallel()
	for kind, open := range kinds(t) {
		try := func(name string, test func(t *testing.T, w *restoreWorld)) {
			if testing.Short() && name != "stopped=false/quiet=false" && name != "WhileACommitIsUnderWay" {
				return // -short is for races
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, newRestoreWorld(t, open))
			})
		}
		for name, test := range ownWays[kind] {
			try(name, test)
		}
		for _, stopped := range []bool{true, false} {
			for _, quiet := range []bool{true, false} {
				try(fmt.Sprintf("stopped=%t/quiet=%t", stopped, quiet), func(t *testing.T, w *restoreWorld) {
					restoreOnce(t, w, stopped, quiet)
				})
			}
		}
		try("ToBeforeTheFirstCommit", restoreToNothing)
		try("TwiceInARow", restoreTwice)
		try("BackAndForthWhileRunsAreRead", restoreUnderLoad)
		try("ToAheadOfTheAckFloor", restoreAhead)
		try("WhileACommitIsUnderWay", restoreUnderCommit)
		try("BetweenEpochs", restoreBetweenEpochs)
		try("BeforeTheStreamWasRecreated", restoreBeforeRecreation)
	}
}

// ownWays are restores that only one kind of store has.
var ownWays = map[string]map[string]func(t *testing.T, w *restoreWorld){
	"SQLite":   {"PageByPage": restorePages, "FileReplaced": restoreFile},
	"Postgres": {"DatabaseRenamed": restoreDatabase},
}

func restoreOnce(t *testing.T, w *restoreWorld, stopped, quiet bool) {
	r := w.startReader(t, w.live)
	w.commit(t, 400)
	backup := w.live.save(t)
	w.commit(t, 400)
	end := func() {}
	if !quiet {
		var begun chan struct{}
		begun, end = w.goesOn(t)
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
	end()
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
	begun, end := w.goesOn(t)
	<-begun
	for _, backup := range []string{newer, older, older, newer, older} {
		w.live.restore(t, backup) // wherever the reader is in healing from the one before
	}
	end()
	w.wantAsUndisturbed(t)
}

// aroundLoad does something before and after the first time that runs are read back.
type aroundLoad struct {
	sinks.Store
	once          *sync.Once
	before, after func()
}

func (s aroundLoad) Load(ctx context.Context, at sinks.Position, runs []events.Key) (found map[uuid.UUID]sinks.StoredRun, err error) {
	first := false
	s.once.Do(func() { first = true })
	if first {
		s.before()
		defer s.after()
	}
	return s.Store.Load(ctx, at, runs)
}

// restoreUnderLoad restores a newer state before a batch reads its runs back and the older one after it: by the runs that
// it read, everything in the batch is a duplicate, and in the database that it commits to nothing is.
func restoreUnderLoad(t *testing.T, w *restoreWorld) {
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	older := w.live.save(t)
	w.commit(t, 300)
	newer := w.live.save(t)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	w.live.restore(t, older)
	w.startReader(t, aroundLoad{w.live.Store, new(sync.Once), func() { w.live.restore(t, newer) }, func() { w.live.restore(t, older) }})
	w.commit(t, 100)
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

// restoreUnderCommit puts the backup back while a commit waits. Meanwhile one takes place that was given up before, and
// finds the database just where it left it.
func restoreUnderCommit(t *testing.T, w *restoreWorld) {
	var giveUp, hold atomic.Bool // the next commit
	waits, goOn := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	faulty := sinktest.NewFaulty(w.live.Store, func(_ context.Context, m sinktest.Method, _ int) sinktest.Fault {
		switch {
		case m == sinktest.Commit && giveUp.Swap(false):
			return sinktest.StoredLater
		case m == sinktest.Commit && hold.Swap(false):
			close(waits)
			<-goOn
		}
		return sinktest.None
	})
	w.startReader(t, faulty)
	t.Cleanup(release) // before the reader is stopped, whatever happens
	w.commit(t, 200)
	backup := w.live.save(t)
	giveUp.Store(true)
	w.commit(t, 200)
	hold.Store(true)
	w.send(t, 200)
	<-waits
	w.live.restore(t, backup)
	for _, err := range faulty.Release(t.Context()) {
		if err != nil {
			t.Errorf("the commit that was given up: %v", err)
		}
	}
	release()
	w.commit(t, 100)
	w.wantAsUndisturbed(t)
}

// restorePages uses what SQLite itself offers for a database in use.
func restorePages(t *testing.T, w *restoreWorld) {
	w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.save(t)
	w.commit(t, 300)
	begun, end := w.goesOn(t)
	<-begun
	w.live.restorePages(t, backup)
	end()
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
	r := w.startReader(t, w.live)
	w.commit(t, 300)
	backup := w.live.saveWhole(t)
	w.commit(t, 300)
	begun, end := w.goesOn(t)
	<-begun
	w.live.restoreWhole(t, backup)
	back := time.Now()
	end()
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
