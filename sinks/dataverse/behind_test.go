package dataverse

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// wantBehind wants the copy to be behind since a time; zero: not at all.
func wantBehind(t *testing.T, p *process, when string, since time.Time) {
	t.Helper()
	synctest.Wait()
	got := p.Status().BehindSince
	if since.IsZero() != got.IsZero() || got.Sub(since).Abs() > time.Second {
		t.Errorf("%s: behind since %v, want %v", when, got, since)
	}
}

// owner starts a process that has copied a first record.
func (w *world) owner(plan sinktest.Plan, changes ...func(*DispatcherConfig)) *process {
	w.t.Helper()
	p := w.start(plan, changes...)
	p.Own(true)
	w.commit(execution("a", 0))
	w.settled()
	wantBehind(w.t, p, "everything is copied", time.Time{})
	return p
}

// TestCopyIsBehindFromTheFirstCommitOfAnOutageUntilItIsOver, whatever is committed meanwhile, and nobody is asked.
func TestCopyIsBehindFromTheFirstCommitOfAnOutageUntilItIsOver(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.owner(nil)
		time.Sleep(time.Hour)
		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		wantBehind(t, p, "nothing is due in the outage", time.Time{})
		began := time.Now()
		for n := 1; n < 5; n++ {
			w.commit(execution("a", n), execution("b", n))
			wantBehind(t, p, "in the outage", began)
			time.Sleep(time.Hour)
		}
		calls := func() string {
			return fmt.Sprint(p.outbox.Calls(sinktest.Claim), p.outbox.Calls(sinktest.Settle), w.organization.Stats().Requests)
		}
		before := calls()
		for range 100 {
			p.Status()
		}
		if after := calls(); after != before {
			t.Errorf("claims, settlements, requests: %s, later %s", before, after)
		}
		w.network.down.Store(false)
		w.settled()
		wantBehind(t, p, "after the outage", time.Time{})
	})
}

func TestCopyIsBehindWhileTheOrganizationThrottles(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.owner(nil)
		time.Sleep(time.Minute)
		w.organization.Inject(emulator.Fault{Kind: "throttle", Times: 1, RetryAfter: 5 * time.Minute})
		began := time.Now()
		w.commit(execution("a", 1))
		time.Sleep(4 * time.Minute)
		wantBehind(t, p, "in the pause", began)
		w.settled()
		wantBehind(t, p, "after it", time.Time{})
	})
}

func TestCopyIsBehindWhileTheStoreFails(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		var away atomic.Bool
		p := w.owner(func(context.Context, sinktest.Method, int) sinktest.Fault {
			if away.Load() {
				return sinktest.NotStored
			}
			return sinktest.None
		})
		time.Sleep(time.Minute)
		away.Store(true)
		began := time.Now()
		w.commit(execution("a", 1))
		time.Sleep(10 * time.Minute)
		wantBehind(t, p, "claims fail", began)
		away.Store(false)
		w.settled()
		wantBehind(t, p, "claims succeed", time.Time{})
	})
}

// TestCopyIsNotBehindInWhatItHoldsBack: the next version of a row waits for its interval.
func TestCopyIsNotBehindInWhatItHoldsBack(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.owner(nil, func(c *DispatcherConfig) { c.Interval = time.Hour })
		w.commit(execution("a", 1))
		for range 3 {
			time.Sleep(15 * time.Minute)
			wantBehind(t, p, "it is held back", time.Time{})
		}
		time.Sleep(14 * time.Minute)
		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		due := time.Now().Add(time.Minute)
		time.Sleep(10 * time.Minute)
		wantBehind(t, p, "it is due, and Dataverse away", due)
		w.network.down.Store(false)
		w.settled()
		wantBehind(t, p, "it is sent", time.Time{})
	})
}

// TestNewOwnerIsBehindSinceTheOldestMark, of before it was there; a standby is not, whatever it hears.
func TestNewOwnerIsBehindSinceTheOldestMark(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		began := time.Now()
		w.commit(execution("a", 0))
		time.Sleep(time.Hour)
		standby, p := w.start(nil), w.start(nil)
		w.commit(execution("b", 0))
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 30 * time.Second})
		p.Own(true)
		time.Sleep(10 * time.Second)
		wantBehind(t, p, "under way", began)
		wantBehind(t, standby, "another dispatches", time.Time{})
		w.settled()
		wantBehind(t, p, "copied", time.Time{})

		time.Sleep(time.Hour)
		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		w.commit(execution("a", 1))
		time.Sleep(time.Hour)
		p.Own(false)
		wantBehind(t, p, "it is not the owner any more", time.Time{})
	})
}

// TestCopyIsBehindInWhatTheBudgetHoldsBack, but for closing records.
func TestCopyIsBehindInWhatTheBudgetHoldsBack(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil, withBudget(10))
		p.Own(true)
		for n := range 9 {
			w.commit(execution(fmt.Sprint("run-", n), 0))
		}
		w.settled()
		began := time.Now()
		w.commit(execution("late", 0))
		time.Sleep(5 * time.Minute)
		wantBehind(t, p, "the budget is used up", began)
		w.commit(closing("run-0"))
		w.eventually(time.Minute, "the closing record is sent", func() bool { return w.copied("run-0") })
		wantBehind(t, p, "all of it is used up", began)
		w.eventually(25*time.Hour, "a new day", func() bool { return w.standing().Waiting == 0 })
		wantBehind(t, p, "a new day", time.Time{})
	})
}

// TestCopyIsNotBehindInWhatItCannotGet: rows that are refused, and marks of runs that somebody removed from the store.
func TestCopyIsNotBehindInWhatItCannotGet(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		w.commit(execution("removed", 0))
		db, err := sql.Open("sqlite", w.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("DELETE FROM campaign_metrics WHERE run_id = 'removed'"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		p := w.start(nil)
		p.Own(true)
		rich := execution("rich", 0)
		rich.Cost = events.USD(100_000 * events.NanosPerUSD)
		w.commit(rich)
		w.eventually(time.Minute, "it is parked", func() bool { return p.Status().Parked == 1 })
		for range 5 {
			time.Sleep(time.Hour)
			wantBehind(t, p, "one is parked, one removed", time.Time{})
		}
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 30 * time.Second})
		began := time.Now()
		w.commit(execution("a", 0))
		time.Sleep(20 * time.Second)
		wantBehind(t, p, "another is under way", began)
		w.eventually(time.Minute, "it is there", func() bool { return w.copied("a") })
		time.Sleep(time.Second)
		wantBehind(t, p, "it is there", time.Time{})
	})
}

// TestWakesBehindAnotherDispatcherAreForgotten by who becomes the owner: they were of what the other sent.
func TestWakesBehindAnotherDispatcherAreForgotten(t *testing.T) {
	b := behind{sent: map[uuid.UUID]time.Time{}}
	old, now := time.Now().Add(-time.Hour), time.Now()
	b.wake(old)
	b.own(true)
	if got := b.since(now); !got.IsZero() {
		t.Errorf("behind since %v", got)
	}
	b.wake(now)
	b.own(true) // another pin
	if got := b.since(now); !got.Equal(now) {
		t.Errorf("behind since %v, want %v", got, now)
	}
}
