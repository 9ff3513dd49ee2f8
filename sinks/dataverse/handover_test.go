package dataverse

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestNothingIsForgottenWhenOneOfTwoOwnersEnds: while its request is under way, a newer version comes, of which nobody
// but it can learn when that is due. Nothing is committed afterwards that would wake the other.
func TestNothingIsForgottenWhenOneOfTwoOwnersEnds(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration // since the newer version came; the request takes a second, the interval ten
		end   func(*process)
	}{
		"not the owner any more, during the request": {0, func(p *process) { p.Own(false) }},
		"not the owner any more, after the request":  {2 * time.Second, func(p *process) { p.Own(false) }},
		"SIGTERM": {0, (*process).stop},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, emulator.Config{}, func(w *world) {
				interval := func(c *DispatcherConfig) { c.Interval = 10 * time.Second }
				first, second := w.start(nil, interval), w.start(nil, interval)
				first.Own(true)
				second.Own(true)
				w.commit(execution("a", 0))
				w.settled()
				time.Sleep(2 * testLinger)
				w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: time.Second})
				w.commitSilently(execution("a", 1))
				first.Wake(trace.SpanContext{})
				synctest.Wait()
				time.Sleep(100 * time.Millisecond)
				w.commit(execution("a", 2))
				time.Sleep(c.after)
				c.end(first)
				w.eventually(time.Minute, "the newer version is there", func() bool { return w.copied("a") })
			})
		})
	}
}

// TestDrainTellsTheOwnerWhatIsDueLater: a newer version came while it sent the one before.
func TestDrainTellsTheOwnerWhatIsDueLater(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		owner := w.start(nil)
		owner.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(2 * testLinger)
		d, err := NewDispatcher(DispatcherConfig{Client: owner.Client, Outbox: w.store, Table: testTable,
			Interval: 10 * time.Second, Tell: w.wake})
		if err != nil {
			t.Fatal(err)
		}
		w.commitSilently(execution("a", 1))
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: time.Second})
		ended := make(chan error, 1)
		go func() { ended <- d.Drain(context.Background()) }()
		synctest.Wait()
		w.commit(execution("a", 2))
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		w.eventually(time.Minute, "the owner sends the newer version", func() bool { return w.copied("a") })
	})
}

// lateClaim is an outbox on the other side of a network that breaks: the first claim takes place when arrive is called.
type lateClaim struct {
	sinks.Outbox
	store  sinks.Outbox // without the faults of a process that is dead
	arrive func()
}

func (l *lateClaim) Claim(ctx context.Context, c sinks.Claim) (sinks.Claimed, error) {
	if l.arrive != nil {
		return l.Outbox.Claim(ctx, c)
	}
	l.arrive = func() { _, _ = l.store.Claim(context.Background(), c) }
	return sinks.Claimed{}, fmt.Errorf("claim: %w", sinks.ErrUnavailable)
}

// TestClaimThatTakesPlaceLateHoldsNothingForEver: its owner has given it up, or has died, and what it took was taken over
// before it took place.
func TestClaimThatTakesPlaceLateHoldsNothingForEver(t *testing.T) {
	for name, end := range map[string]func(*world, *process){
		"given up": func(*world, *process) {},
		"SIGKILL": func(w *world, p *process) {
			p.kill()
			w.start(nil).Own(true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, emulator.Config{}, func(w *world) {
				late := &lateClaim{store: w.store}
				p := w.start(nil, func(c *DispatcherConfig) { late.Outbox, c.Outbox = c.Outbox, late })
				var list []events.Event
				for n := range 500 { // more than are claimed at first
					list = append(list, execution(fmt.Sprint("run-", n), 0))
				}
				w.commit(list...)
				w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 4, Delay: 5 * time.Second})
				p.Own(true)
				synctest.Wait()
				time.Sleep(10 * time.Millisecond)
				end(w, p)
				time.Sleep(2 * time.Second)
				late.arrive()
				w.settled()
				w.wantCopied(500)
			})
		})
	}
}

// TestDispatcherStopsInTimeWhileTheDatabaseHangs: the process has ten seconds.
func TestDispatcherStopsInTimeWhileTheDatabaseHangs(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		var hangs atomic.Bool
		p := w.start(func(ctx context.Context, _ sinktest.Method, _ int) sinktest.Fault {
			if hangs.Load() {
				<-ctx.Done()
				return sinktest.NotStored
			}
			return sinktest.None
		})
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(time.Second)
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: time.Second})
		w.commit(execution("a", 1))
		synctest.Wait()
		hangs.Store(true)
		time.Sleep(1001 * time.Millisecond)
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > 3*stopTime {
			t.Errorf("stopping took %s", took)
		}
	})
}
