package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

func TestARestartedReaderGoesOnWithRunsThatAreInTheStore(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(4_000)
	first := b.startReader(t, store)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:2_345])...))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	b.startReader(t, store)
	// Every run of the second half is assumed new at first: the store's refusal makes the reader load them.
	p := waitCommitted(t, b, store, b.publish(t, messagesOf(list[2_000:])...))
	if p.Applied != 4_000 || p.Duplicates != 345 {
		t.Fatalf("position %+v", p)
	}
	expect(t, store, list)
}

func TestAStandbyTakesOver(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(3_000)
	fast := func(c *consumer.Config) { c.PinnedTTL = 4 * time.Second }
	first := b.startReader(t, store, fast)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:1_000])...))
	second := b.startReader(t, store, fast)
	watch(t, second)
	waitFor(t, second, consumer.Standby)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[1_000:])...))
	expect(t, store, list)
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	if s := second.Status(); s.State != consumer.Active || s.Applied != 2_000 {
		t.Fatalf("status of the standby: %+v", s)
	}
	conserved(t, second, store)
}

// owners is what readers are told about who reads.
type owners chan string

// watch gives a reader a name and a short pin.
func (o owners) watch(name string) func(*consumer.Config) {
	return func(c *consumer.Config) {
		c.PinnedTTL = 4 * time.Second
		c.Own = func(own bool) { o <- fmt.Sprint(name, " ", own) }
	}
}

// wait waits until one of these was told, and returns which.
func (o owners) wait(t *testing.T, want ...string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case told := <-o:
			if slices.Contains(want, told) {
				return told
			}
		case <-deadline:
			t.Fatalf("nobody was told: %s", want)
		}
	}
}

// TestAStandbyOfAQuietStreamLearnsThatTheOwnerIsGone: no message tells it, and nobody gives the pin back.
func TestAStandbyOfAQuietStreamLearnsThatTheOwnerIsGone(t *testing.T) {
	b, store, told := startBroker(t), openSQLite(t), make(owners, 100)
	var first *nats.Conn
	b.startReader(t, store, told.watch("first"), func(c *consumer.Config) { first = c.Conn })
	told.wait(t, "first true") // nobody else reads
	waitCommitted(t, b, store, b.publish(t, messagesOf(history(10))...))
	told.wait(t, "first true") // it has the pin
	b.startReader(t, store, told.watch("second"))
	told.wait(t, "second false")
	first.Close()
	told.wait(t, "second true")
}

// TestOfTwoReadersOfAQuietStreamOneLearnsThatItStandsBy with the first message, which only the other one gets.
func TestOfTwoReadersOfAQuietStreamOneLearnsThatItStandsBy(t *testing.T) {
	b, store, told := startBroker(t), openSQLite(t), make(owners, 100)
	first, second := b.startReader(t, store, told.watch("first")), b.startReader(t, store, told.watch("second"))
	for _, r := range []*running{first, second} {
		waitFor(t, r, consumer.Active)
	}
	waitCommitted(t, b, store, b.publish(t, messagesOf(history(10))...))
	standby := second
	if told.wait(t, "first false", "second false") == "first false" {
		standby = first
	}
	if s := standby.Status(); s.State != consumer.Standby || s.Applied != 0 {
		t.Errorf("status %+v", s)
	}
}

// waitFor blocks until the reader is in the state.
func waitFor(t *testing.T, r *running, state consumer.State) consumer.Status {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		s := r.Status()
		if s.State == state {
			return s
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("state %s after 30 s (%s), want %s", s.State, s.Reason, state)
		}
	}
}

func TestACopyOfTheDatabaseIsRefused(t *testing.T) {
	b := startBroker(t)
	path := t.TempDir() + "/production.db"
	production := openSQLiteAt(t, path)
	list := history(200)
	b.startReader(t, production)
	waitCommitted(t, b, production, b.publish(t, messagesOf(list[:100])...))

	other := copyOf(t, production, path)
	intruder := b.startReader(t, other)
	err := intruder.ended(t)
	if !errors.Is(err, consumer.ErrForeignDatabase) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"production.db", "copy.db", "DEPLOYMENT", "setup --adopt"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not say %q: %v", part, err)
		}
	}
	began := time.Now()
	waitCommitted(t, b, production, b.publish(t, messagesOf(list[100:])...))
	if took := time.Since(began); took > 5*time.Second { // the life of a pin that the intruder took would be ten
		t.Errorf("production's next event took %s", took)
	}
	expect(t, production, list)

	// With a deployment of its own the copy reads on from where it was copied.
	b.startReader(t, other, func(c *consumer.Config) { c.Deployment = "staging" })
	waitCommitted(t, b, other, 200)
	expect(t, other, list)
}

// copyOf copies the database file of an open store as an operator would.
func copyOf(t *testing.T, _ *sqlite.Store, path string) *sqlite.Store {
	t.Helper()
	target := t.TempDir() + "/copy.db"
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return openSQLiteAt(t, target)
}

func TestAnEarlierStoreIsHealedFromTheStream(t *testing.T) {
	b := startBroker(t)
	path := t.TempDir() + "/live.db"
	live := openSQLiteAt(t, path)
	list := history(1_000)
	r := b.startReader(t, live)
	waitCommitted(t, b, live, b.publish(t, messagesOf(list[:400])...))
	backup := copyOf(t, live, path)
	waitCommitted(t, b, live, b.publish(t, messagesOf(list[400:])...))
	r.stop()

	// The backup takes the place of the live database while the stream is quiet: nothing new will wake the reader.
	adopt(t, b, backup)
	b.startReader(t, backup)
	waitCommitted(t, b, backup, 1_000)
	expect(t, backup, list)
}

func adopt(t *testing.T, b *broker, l sinks.Ledger) {
	t.Helper()
	id, err := l.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.EnsureConsumers(t.Context(), b.js, streamName, "main", id, consumer.DefaultPinnedTTL, true); err != nil {
		t.Fatal(err)
	}
}

func TestARecreatedStreamIsReadFromItsStartAndNothingIsLost(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(900)
	r := b.startReader(t, store)
	watch(t, r)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:600])...))
	if err := b.js.DeleteStream(t.Context(), streamName); err != nil {
		t.Fatal(err)
	}
	b.createStream(t)
	last := b.publish(t, messagesOf(list[500:])...)
	p := waitEpoch(t, store, 2, last)
	if p.Applied != 300 || p.Duplicates != 100 || p.Gone != 0 {
		t.Fatalf("position %+v", p)
	}
	expect(t, store, list)
	if s := r.Status(); !strings.Contains(s.Note, "recreated") {
		t.Fatalf("note %q", s.Note)
	}
	conserved(t, r, store)
}

func waitEpoch(t *testing.T, l sinks.Ledger, epoch int64, sequence uint64) sinks.Position {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		p, err := l.Position(t.Context(), streamName)
		if err == nil && p.Epoch == epoch && p.Sequence >= sequence {
			return p
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("position %+v (%v), want epoch %d, sequence %d", p, err, epoch, sequence)
		}
	}
}

func TestMessagesThatLeftTheStreamAreCountedAsGone(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(500)
	r := b.startReader(t, store)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:100])...))
	r.stop()
	b.publish(t, messagesOf(list[100:300])...)
	stream, err := b.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(251)); err != nil {
		t.Fatal(err)
	}
	r = b.startReader(t, store)
	watch(t, r)
	last := b.publish(t, messagesOf(list[300:])...)
	p := waitCommitted(t, b, store, last)
	if p.Gone != 150 || p.Applied != 350 {
		t.Fatalf("position %+v, want 150 gone and 350 applied", p)
	}
	conserved(t, r, store)
	expect(t, store, append(append([]events.Event(nil), list[:100]...), list[250:]...))
}

// refusing is a store that refuses one value for its content, as a database does with a text it cannot hold.
type refusing struct {
	sinks.Store
	id string
}

func (s refusing) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	for _, run := range b.Runs {
		for _, e := range run.Events {
			if e.ID == s.id {
				return fmt.Errorf("insert events: %w", sinks.ErrRefused)
			}
		}
	}
	return s.Store.Commit(ctx, prev, b)
}

func TestARefusedValueBecomesADeadLetterAndTheRestIsStored(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(3_000)
	last := b.publish(t, messagesOf(list)...)
	r := b.startReader(t, refusing{store, list[1_234].ID})
	watch(t, r)
	p := waitCommitted(t, b, store, last)
	if p.DeadLetters != 1 || p.Applied != 2_999 {
		t.Fatalf("position %+v", p)
	}
	conserved(t, r, store)
	expect(t, store, append(append([]events.Event(nil), list[:1_234]...), list[1_235:]...))
	n, err := store.CountDeadLetters(t.Context(), "campaign", list[1_234].RunID)
	if err != nil || n != 1 {
		t.Fatalf("%d dead letters name the run (%v), want 1", n, err)
	}
}
