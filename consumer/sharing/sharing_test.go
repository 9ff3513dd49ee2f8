package sharing

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
)

// soon is how long processes may take to share evenly once they know each other.
const soon = 2 * consumer.ShareInterval

// gone is how long they may take to read what a dead process left: until its pin ends.
const gone = consumer.DefaultPinnedTTL + 2*time.Second

// TestProcessesShareStreamsEvenly while events flow and processes come, die and go.
func TestProcessesShareStreamsEvenly(t *testing.T) {
	for _, c := range []struct{ streams, processes int }{{4, 2}, {6, 3}} {
		t.Run(fmt.Sprintf("%d streams, %d processes", c.streams, c.processes), func(t *testing.T) {
			if testing.Short() && c.processes > 2 {
				t.Skip("-short leaves out the larger of the two")
			}
			play(t, c.streams, func(w *world) {
				stop := w.flow(500 * time.Millisecond)
				first := w.start("0", w.store)
				w.until(soon, "the first one reads everything", w.even)
				for n := 1; n < c.processes; n++ {
					w.start(fmt.Sprint(n), w.store)
					w.until(soon, "shares are even", w.even)
				}
				w.stay(20 * time.Second)
				w.end(first, true)
				t.Log("taken over after", w.until(gone, "the others read its streams", w.even))
				w.stay(10 * time.Second)
				w.start("late", w.store)
				w.until(soon, "the late one has its share", w.even)
				w.end(w.living[0], false)
				w.until(soon, "the rest have the share of the one that stopped", w.even)
				w.stay(10 * time.Second)
				stop()
				w.expectAll()
			})
		})
	}
}

// stay lets time pass in which no stream changes its reader.
func (w *world) stay(d time.Duration) {
	w.t.Helper()
	w.mu.Lock()
	before := w.moves
	w.mu.Unlock()
	time.Sleep(d)
	w.mu.Lock()
	moved := w.moves - before
	w.mu.Unlock()
	if shares, ok := w.shares(); moved > 0 || !ok || !w.even() {
		w.t.Fatalf("%d moves in %s; shares %v", moved, d, shares)
	}
}

// TestAQuietStreamHasOneReader: no message says who reads it, and no pin does. Nothing moves, and nothing is asked of the
// store.
func TestAQuietStreamHasOneReader(t *testing.T) {
	play(t, 4, func(w *world) {
		asked := &asked{Store: w.store}
		w.start("0", asked)
		w.start("1", asked)
		w.until(soon, "shares are even", w.even)
		before := asked.times.Load()
		w.stay(10 * time.Minute)
		if n := asked.times.Load() - before; n > 0 {
			t.Errorf("the store was asked %d times", n)
		}
		for n := range w.streams {
			w.publish(n)
		}
		w.stay(time.Minute)
		w.expectAll()
	})
}

// asked is a store that counts what a reader asks it.
type asked struct {
	sinks.Store
	times atomic.Int64
}

func (s *asked) Position(ctx context.Context, stream string) (sinks.Position, error) {
	s.times.Add(1)
	return s.Store.Position(ctx, stream)
}

func (s *asked) Commit(ctx context.Context, previous sinks.Position, b *sinks.Batch) error {
	s.times.Add(1)
	return s.Store.Commit(ctx, previous, b)
}

// TestAProcessThatCannotCommitIsGivenNothing but a try from time to time: the others read its share, until it can.
func TestAProcessThatCannotCommitIsGivenNothing(t *testing.T) {
	play(t, 4, func(w *world) {
		w.start("0", w.store)
		full := &full{Store: w.store}
		full.is.Store(true)
		w.start("1", full)
		stop := w.flow(500 * time.Millisecond)
		time.Sleep(110 * time.Second)
		if n := full.refused.Load(); n == 0 || n > 4*10 {
			t.Errorf("%d commits were tried in two minutes, of 4 streams", n)
		}
		if shares, _ := w.shares(); shares[0] < 4 {
			t.Errorf("shares %v", shares)
		}
		full.is.Store(false)
		w.until(time.Minute, "shares are even", w.even)
		stop()
		w.expectAll()
	})
}

// full is a store that can be read, but not written.
type full struct {
	sinks.Store
	is      atomic.Bool
	refused atomic.Int64
}

func (s *full) Commit(ctx context.Context, previous sinks.Position, b *sinks.Batch) error {
	if s.is.Load() {
		s.refused.Add(1)
		return fmt.Errorf("commit: the disk is full: %w", sinks.ErrUnavailable)
	}
	return s.Store.Commit(ctx, previous, b)
}

// TestAStreamIsReadWhateverAProcessSays: one that says that it can read, and does not, delays what it should read.
func TestAStreamIsReadWhateverAProcessSays(t *testing.T) {
	play(t, 4, func(w *world) {
		w.start("0", w.store)
		w.until(soon, "it reads everything", w.even)
		liar := w.connect()
		said, err := json.Marshal(map[string]any{"id": "liar", "streams": w.streams})
		w.must(err)
		stopLying := make(chan struct{})
		var lying sync.WaitGroup
		lying.Go(func() {
			for range time.Tick(consumer.ShareInterval) {
				select {
				case <-stopLying:
					return
				default:
					_ = liar.Publish(consumer.SharesSubject("main"), said)
				}
			}
		})
		w.until(soon, "it makes way", func() bool { shares, _ := w.shares(); return shares[0] == 2 })
		for range 10 {
			for n := range w.streams {
				w.publish(n)
			}
			// Whoever helps makes way again after a while, perhaps just now.
			w.until(2*gone, "everything is committed", w.committed)
			time.Sleep(10 * time.Second)
		}
		close(stopLying)
		lying.Wait()
		w.until(gone, "it reads everything again", w.even)
		w.expectAll()
	})
}

// TestAPinThatNobodyUsesIsTaken long before it ends: its holder died, or left before it heard of it.
func TestAPinThatNobodyUsesIsTaken(t *testing.T) {
	play(t, 1, func(w *world) {
		p := w.start("0", w.store)
		w.publish(0)
		w.until(soon, "it is committed", w.committed)
		w.end(p, false)
		held, err := w.js.Consumer(w.t.Context(), w.streams[0], consumer.ConsumerName("main"))
		w.must(err)
		dead, err := held.Consume(func(jetstream.Msg) {}, jetstream.PullPriorityGroup("reader"),
			jetstream.PullExpiry(2*time.Second))
		w.must(err)
		stop := w.flow(100 * time.Millisecond)
		time.Sleep(time.Second)
		standby := w.start("1", w.store).readers[0]
		w.until(soon, "it stands by", func() bool { return standby.Status().State == consumer.Standby })
		dead.Stop()
		took := w.until(6*time.Second, "the pin is taken", func() bool { return standby.Status().Applied > 0 })
		t.Log("taken after", took)
		stop()
		w.expectAll()
	})
}
