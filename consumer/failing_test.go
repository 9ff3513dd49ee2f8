package consumer_test

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestAStoreThatOnlyReadsKeepsTheReaderDegraded(t *testing.T) {
	const failing = 4
	var reader atomic.Pointer[running]
	states := make(chan consumer.State, failing+1) // at each attempt to commit
	b := startBroker(t)
	store := sinktest.NewFaulty(openSQLite(t), func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		if m != sinktest.Commit || n > failing+1 {
			return sinktest.None
		}
		states <- reader.Load().Status().State
		if n > failing {
			return sinktest.None
		}
		return sinktest.NotStored
	})
	reader.Store(b.startReader(t, store))
	waitFor(t, reader.Load(), consumer.Active)
	list := history(10)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list)...))
	if s := <-states; s != consumer.Active {
		t.Errorf("%s before the first failure", s)
	}
	for n := range failing {
		if s := <-states; s != consumer.Degraded {
			t.Errorf("%s after %d failures", s, n+1)
		}
	}
	waitFor(t, reader.Load(), consumer.Active)
	expect(t, store, list)
}

func TestAFailureWhoseCommitTookPlaceEndsWithoutAnother(t *testing.T) {
	seen := make(chan struct{})
	b := startBroker(t)
	store := sinktest.NewFaulty(openSQLite(t), func(ctx context.Context, m sinktest.Method, n int) sinktest.Fault {
		switch {
		case m == sinktest.Commit:
			return sinktest.Stored
		case m == sinktest.Position && n > 2: // the session after the one that read
			select {
			case <-seen:
			case <-ctx.Done():
			}
		}
		return sinktest.None
	})
	r := b.startReader(t, store)
	waitFor(t, r, consumer.Active)
	list := history(1)
	b.publish(t, messagesOf(list)...)
	waitFor(t, r, consumer.Degraded)
	close(seen)
	waitFor(t, r, consumer.Active)
	expect(t, store, list)
}

// pauses keeps how long a reader said that it would wait.
type pauses struct {
	slog.Handler
	said chan time.Duration
}

func (p pauses) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "retry_in" {
			p.said <- a.Value.Duration()
		}
		return true
	})
	return nil
}

func TestACommitThatSucceedsEndsTheBackOff(t *testing.T) {
	const failures = 6
	b := startBroker(t)
	store := sinktest.NewFaulty(openSQLite(t), func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		if m == sinktest.Commit && n%2 == 1 {
			return sinktest.NotStored
		}
		return sinktest.None
	})
	said := make(chan time.Duration, failures)
	b.startReader(t, store, func(c *consumer.Config) { c.Log = slog.New(pauses{slog.NewTextHandler(io.Discard, nil), said}) })
	list := history(failures)
	for i := range list {
		waitCommitted(t, b, store, b.publish(t, messageOf(&list[i])))
		if pause := <-said; pause > 100*time.Millisecond {
			t.Errorf("it waited %s after failure %d, each of which was mended at once", pause, i+1)
		}
	}
}

// While the store is away it is known what waits, and for how long it still can.
func TestAnOutageShowsWhatWaits(t *testing.T) {
	b := startBroker(t)
	var away atomic.Bool
	store := sinktest.NewFaulty(openSQLite(t), func(context.Context, sinktest.Method, int) sinktest.Fault {
		if away.Load() {
			return sinktest.NotStored
		}
		return sinktest.None
	})
	var later atomic.Int64 // how far the reader's clock is ahead, in nanoseconds
	r := b.startReader(t, store, func(c *consumer.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	})
	list := history(10)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:5])...))
	poll(t, "nothing waits", func() bool { return r.Status().Pending() == 0 })
	away.Store(true)
	b.publish(t, messagesOf(list[5:])...)
	poll(t, "five messages wait", func() bool { s := r.Status(); return s.State == consumer.Degraded && s.Pending() == 5 })
	const most = 30 * 24 // hours, by the age at which messages leave the stream
	if hours := r.Status().OutageHours; hours == nil || *hours > most || *hours < most-1 {
		t.Errorf("the store can stay away for %v hours more, want almost %d", hours, most)
	}
	later.Store(int64(29 * 24 * time.Hour))
	poll(t, "a day is left", func() bool { h := r.Status().OutageHours; return h != nil && *h <= 24 && *h > 23 })
	away.Store(false)
	poll(t, "nothing waits again", func() bool { return r.Status().Pending() == 0 })
}
