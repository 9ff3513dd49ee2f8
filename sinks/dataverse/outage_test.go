package dataverse

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestAnHourWithoutDataverse, while 50,000 runs change. The dispatcher leaves the store alone meanwhile, holds no more than
// it had under way, and brings everything afterwards, within the limits of the service.
func TestAnHourWithoutDataverse(t *testing.T) {
	runs := 50_000
	if testing.Short() {
		runs = 5_000
	}
	inWorld(t, emulator.Config{Limits: emulator.DefaultLimits(), Latency: 100 * time.Millisecond}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("before", 0))
		w.settled()
		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		w.commit(execution("before", 1))
		w.eventually(time.Minute, "it notices", func() bool { return p.Status().State == StateDegraded })
		before := w.organization.Stats()
		calls := func() int {
			return p.outbox.Calls(sinktest.Adopt) + p.outbox.Calls(sinktest.Claim) + p.outbox.Calls(sinktest.Settle)
		}
		asked, held := calls(), heap()
		const part = 500
		for from := 0; from < runs; from += part {
			list := make([]events.Event, part)
			for i := range list {
				list[i] = execution(fmt.Sprint("run-", from+i), 0)
			}
			w.commit(list...)
			w.forget() // what the writer remembers is not what is measured
			time.Sleep(time.Hour / time.Duration(runs/part))
		}
		synctest.Wait()
		if n := calls() - asked; n > 1 { // for a second sender
			t.Errorf("the store was asked %d times during the outage", n)
		}
		if grown := heap() - held; grown > 16<<20 {
			t.Errorf("%d MB of memory for what waits in the store", grown>>20)
		}
		if waiting := w.standing().Waiting; waiting != int64(runs)+1 {
			t.Errorf("%d runs wait, want %d", waiting, runs+1)
		}
		back := time.Now()
		w.network.down.Store(false)
		w.settled()
		after := w.organization.Stats()
		t.Logf("%d runs arrived within %s of the first look, by %d requests", runs, time.Since(back).Round(time.Millisecond),
			after.Requests-before.Requests)
		if n := len(w.rows()); n != runs+1 {
			t.Errorf("%d rows, want %d", n, runs+1)
		}
		if len(after.Throttled) > 0 {
			t.Errorf("throttled: %v", after.Throttled)
		}
		for _, run := range []string{"before", "run-0", fmt.Sprint("run-", runs-1)} {
			if !w.copied(run) {
				t.Errorf("%s is not up to date", run)
			}
		}
	})
}

// TestThrottlingThatDoesNotSayForHowLong: each request that is sent meanwhile lengthens the wait.
func TestThrottlingThatDoesNotSayForHowLong(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(time.Second)
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 429, Path: "UpsertMultiple"})
		before := w.organization.Stats().Requests
		w.commit(execution("a", 1))
		time.Sleep(10 * time.Minute)
		if n := w.organization.Stats().Requests - before; n > 30 {
			t.Errorf("%d requests within ten minutes", n)
		}
		if s := p.Status(); s.State != StateThrottled {
			t.Errorf("%+v", s)
		}
		w.organization.ClearFaults()
		w.settled()
	})
}

// TestRowThatDataverseCannotWriteHoldsUpNoOthers: with it requests fail, or hang, for no fault of Dataverse as a whole.
func TestRowThatDataverseCannotWriteHoldsUpNoOthers(t *testing.T) {
	for name, hangs := range map[string]time.Duration{"500": 0, "time-out": 2 * requestTime} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, emulator.Config{}, func(w *world) {
				var mended atomic.Bool
				w.refuse(500, "0x80040216", func(_, body string) bool {
					if mended.Load() || !strings.Contains(body, "poison") {
						return false
					}
					time.Sleep(hangs)
					return true
				})
				p := w.start(nil)
				p.Own(true)
				w.commit(execution("poison-0", 0))
				time.Sleep(time.Minute)
				w.commit(execution("poison-1", 0))
				w.commitRuns("run", 30)
				w.eventually(time.Hour, "the others are copied", func() bool { return len(w.rows()) == 30 })
				w.eventually(time.Hour, "only these two wait", func() bool { return w.standing().Waiting == 2 })
				if s := p.Status(); s.State != StateActive || s.Parked != 2 {
					t.Errorf("%+v", s)
				}
				mended.Store(true)
				w.settled()
				if s := p.Status(); len(w.rows()) != 32 || s.State != StateActive || s.Parked != 0 {
					t.Errorf("%d rows, %+v", len(w.rows()), s)
				}
			})
		})
	}
}

// heap is how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
