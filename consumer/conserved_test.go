package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
)

// addsUp tells whether everything is accounted for that a reader took, and that was counted up to its position.
func addsUp(s consumer.Status) bool {
	return s.Read == s.Applied+s.Duplicates+s.DeadLetters+s.Discarded+s.InFlight && s.InFlight >= 0 && balanced(s.Position)
}

func balanced(p sinks.Position) bool {
	return int64(p.Sequence) == p.Applied+p.Duplicates+p.DeadLetters+p.Gone
}

// conserved fails the test unless everything is accounted for, by the reader and by its store.
func conserved(t *testing.T, r *running, ledger sinks.Ledger) {
	t.Helper()
	if s := r.Status(); !addsUp(s) {
		t.Errorf("the reader's counts do not add up: %+v", s)
	}
	p, err := ledger.Position(t.Context(), streamName)
	if err != nil || !balanced(p) {
		t.Errorf("the store's counts do not add up: %+v (%v)", p, err)
	}
}

// watch fails the test if the reader's counts do not add up at any time until its end.
func watch(t *testing.T, r *running) {
	t.Helper()
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if s := r.Status(); !addsUp(s) {
				t.Errorf("counts that do not add up: %+v", s)
				return
			}
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(end)
		<-ended
	})
}

// lateAnswer is a store whose answer to a commit comes only when its client gives up.
type lateAnswer struct{ sinks.Store }

func (s lateAnswer) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	err := s.Store.Commit(ctx, prev, b)
	<-ctx.Done()
	return err
}

func TestACommitUnderWayCountsAlsoWhenItsSessionEnds(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	var conn *nats.Conn
	r := b.startReader(t, lateAnswer{store}, func(c *consumer.Config) { conn = c.Conn })
	list := history(1)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list)...))
	conn.Close()
	if s := waitFor(t, r, consumer.Degraded); s.Applied != 1 || s.Discarded != 0 || s.InFlight != 0 {
		t.Errorf("one event is in the store: %+v", s)
	}
	conserved(t, r, store)
}
