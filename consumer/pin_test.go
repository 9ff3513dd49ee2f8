package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// A reader that is stopped just when it got the pin, before it knows where to read on, leaves the pin to others.
func TestAReaderThatIsStoppedAsItBeginsGivesThePinBack(t *testing.T) {
	t.Parallel()
	b, store := startBroker(t), openSQLite(t)
	list := history(300)
	last := b.publish(t, messagesOf(list)...)
	slow := &slowToAnswer{Store: store, asked: make(chan struct{})}
	first := b.startReader(t, slow)
	<-slow.asked
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	b.startReader(t, store)
	waitCommitted(t, b, store, last)
	if took := time.Since(began); took > consumer.DefaultPinnedTTL/2 {
		t.Errorf("the next reader began after %s", took)
	}
	expect(t, store, list)
}

// slowToAnswer knows the position when it is asked for the second time, which is when a reader got the pin, and says it
// when the reader is about to end.
type slowToAnswer struct {
	sinks.Store
	calls int
	asked chan struct{}
}

func (l *slowToAnswer) Position(ctx context.Context, stream string) (sinks.Position, error) {
	p, err := l.Store.Position(ctx, stream)
	if l.calls++; l.calls == 2 {
		close(l.asked)
		<-ctx.Done()
	}
	return p, err
}

// A deployment that was read by one consumer, which tracked what was delivered, goes on where it was.
func TestAConsumerOfAnOlderVersionIsTakenOver(t *testing.T) {
	t.Parallel()
	b, store := startBroker(t), openSQLite(t)
	list := history(300)
	b.publish(t, messagesOf(list[:200])...)
	id, err := store.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := consumer.ConsumerConfig("main", id, consumer.DefaultPinnedTTL)
	old.AckWait, old.MaxAckPending = time.Hour, 32_768
	c, err := b.js.CreateConsumer(t.Context(), streamName, old)
	if err != nil {
		t.Fatal(err)
	}
	// Its reader got a hundred messages and the pin, committed none of them, and is gone.
	fetched, err := c.Fetch(100, jetstream.FetchPriorityGroup("reader"))
	if err != nil {
		t.Fatal(err)
	}
	for range fetched.Messages() {
	}
	b.startReader(t, store)
	p := waitCommitted(t, b, store, b.publish(t, messagesOf(list[200:])...))
	if p.Applied != 300 {
		t.Errorf("position %+v", p)
	}
	expect(t, store, list)
}

// While a commit stands still, the reader takes in no more than it has room for, and nothing of the rest is lost.
func TestAReaderTakesInNoMoreThanItCanHold(t *testing.T) {
	t.Parallel()
	b, store := startBroker(t), openSQLite(t)
	list := history(80_000)
	last := b.publish(t, messagesOf(list)...)
	waits, goOn := make(chan struct{}), make(chan struct{})
	slow := sinktest.NewFaulty(store, func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		if m == sinktest.Commit && n == 1 {
			close(waits)
			<-goOn
		}
		return sinktest.None
	})
	r := b.startReader(t, slow)
	<-waits
	held := b.standsStill(t)
	if taken := r.Status().Read; taken <= 20_000 || taken > 40_000 || held == last {
		t.Errorf("%d messages were taken and %d of %d delivered while two batches of 20,000 fit", taken, held, last)
	}
	close(goOn)
	if p := waitCommitted(t, b, store, last); p.Applied != 80_000 || p.Gone != 0 {
		t.Errorf("position %+v", p)
	}
	if s := r.Status(); s.Discarded != 0 {
		t.Errorf("%d messages were delivered more than once", s.Discarded)
	}
	expect(t, store, list)
}

// standsStill waits until the broker delivers nothing more, and tells how far it got.
func (b *broker) standsStill(t *testing.T) (delivered uint64) {
	t.Helper()
	for deadline := time.After(30 * time.Second); ; {
		c, err := b.js.Consumer(t.Context(), streamName, consumer.MessagesName("main"))
		if err != nil {
			t.Fatal(err)
		}
		was := delivered
		if delivered = c.CachedInfo().Delivered.Stream; delivered > 0 && delivered == was {
			return delivered
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-deadline:
			t.Fatalf("it goes on: %d delivered", delivered)
		}
	}
}
