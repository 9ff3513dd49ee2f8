package dataverse

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func withBudget(rows int64) func(*DispatcherConfig) {
	return func(c *DispatcherConfig) { c.DailyBudget = rows }
}

func (w *world) commitRuns(name string, runs int) {
	w.t.Helper()
	var list []events.Event
	for n := range runs {
		list = append(list, execution(fmt.Sprint(name, "-", n), 0))
	}
	w.commit(list...)
}

// TestBudgetOfADayIsNotThatOfTheNext: a settlement of the last second is answered in the first one.
func TestBudgetOfADayIsNotThatOfTheNext(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
			if m == sinktest.Settle && n == 1 {
				time.Sleep(2 * time.Second)
			}
			return sinktest.None
		}, withBudget(10))
		p.Own(true)
		time.Sleep(time.Until(midnight(time.Now())) - time.Second)
		w.commitRuns("run", 18)
		w.eventually(time.Minute, "the new day's rows are sent", func() bool { return w.organization.Stats().Targets == 18 })
	})
}

// TestBudgetThatWasReservedAndNotUsedIsThereAgain: rows that do not fit are not sent.
func TestBudgetThatWasReservedAndNotUsedIsThereAgain(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		slow := 0
		p := w.start(func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
			if m == sinktest.Settle && n == slow {
				time.Sleep(2 * closingLook)
			}
			return sinktest.None
		}, withBudget(100))
		p.Own(true)
		for n := range 20 { // until several requests may go at once
			w.commit(execution(fmt.Sprint("before-", n), 0))
			w.settled()
		}
		p.Own(false)
		synctest.Wait()
		slow = p.outbox.Calls(sinktest.Settle) + 1
		for n := range 70 {
			e := execution(fmt.Sprint("rich-", n), 0)
			e.Cost = events.USD(100_000 * events.NanosPerUSD)
			w.commit(e)
		}
		time.Sleep(time.Millisecond)
		for n := range 30 {
			run := fmt.Sprint("closed-", n)
			w.commit(execution(run, 0), closing(run))
		}
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 3 * closingLook})
		p.Own(true)
		w.eventually(time.Minute, "closed runs are sent", func() bool { return w.organization.Stats().Targets == 50 })
	})
}

// TestBudgetIsShownAsLongAsItIsUsedUp, also by who begins to dispatch, and also when nothing is due at midnight.
func TestBudgetIsShownAsLongAsItIsUsedUp(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil, withBudget(10))
		p.Own(true)
		w.commitRuns("run", 9)
		w.settled()
		w.commit(execution("closed", 0), closing("closed"))
		w.settled()
		state := func(when string, want State) {
			t.Helper()
			time.Sleep(time.Second)
			if s := p.Status(); s.State != want {
				t.Errorf("%s: %+v", when, s)
			}
		}
		state("all is used", StateBudget)
		w.commit(execution("run-0", 1))
		state("a row waits", StateBudget)
		p.Own(false)
		p.Own(true)
		state("another pin", StateBudget)
		time.Sleep(time.Until(midnight(time.Now())))
		state("a row has waited for the new day", StateActive)
		if !w.copied("run-0") {
			t.Error("it is not sent")
		}
		w.commitRuns("other", 8)
		w.settled()
		w.commit(execution("closed-too", 0), closing("closed-too"))
		w.settled()
		state("all is used again", StateBudget)
		time.Sleep(time.Until(midnight(time.Now())))
		state("nothing has waited for the new day", StateActive)
	})
}
