package dataverse

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestDispatcherCopiesWhatIsCommitted(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		for i := range 5 {
			w.commit(execution("a", i), execution("b", i))
			w.eventually(2*time.Second, "both rows are up to date", func() bool { return w.copied("a") && w.copied("b") })
		}
		if s := p.Status(); s.State != StateActive || s.Delivered != s.TargetsToday || s.Parked != 0 || s.Reason != "" {
			t.Errorf("status %+v", s)
		}
		w.settled()
	})
}

// TestDispatcherIsSilentWhileNothingIsDue: neither the database nor Dataverse is asked anything, for a day.
func TestDispatcherIsSilentWhileNothingIsDue(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0))
		w.eventually(time.Second, "the row is there", func() bool { return w.copied("a") })
		time.Sleep(2 * testLinger) // the second look for claims of the dead is over
		calls := func() string {
			return fmt.Sprint(p.outbox.Calls(sinktest.Adopt), p.outbox.Calls(sinktest.Claim), p.outbox.Calls(sinktest.Settle),
				w.organization.Stats().Requests)
		}
		before := calls()
		time.Sleep(24 * time.Hour)
		if after := calls(); after != before {
			t.Errorf("adopted, claimed, settled, requests: %s, a day later %s", before, after)
		}
	})
}

func TestDispatcherSendsNothingUnlessItOwnsAStream(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		w.commit(execution("a", 0))
		time.Sleep(time.Minute)
		if n := w.organization.Stats().Requests; n > 0 || p.outbox.Calls(sinktest.Claim) > 0 {
			t.Errorf("%d requests, %d claims", n, p.outbox.Calls(sinktest.Claim))
		}
		p.Own(true)
		w.eventually(time.Second, "the new owner sends what waits", func() bool { return w.copied("a") })
		p.Own(false)
		synctest.Wait()
		w.commit(execution("a", 1))
		time.Sleep(time.Minute)
		if w.copied("a") || p.Status().State != StateStandby {
			t.Errorf("it goes on, %+v", p.Status())
		}
	})
}

// TestDispatcherSendsFirstAndClosingRecordsAtOnceAndOthersAtIntervals: the numbers of rows written are what a tenant pays.
func TestDispatcherSendsFirstAndClosingRecordsAtOnceAndOthersAtIntervals(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil, func(c *DispatcherConfig) { c.Interval = 10 * time.Second })
		p.Own(true)
		began := time.Now()
		for n := range 250 { // 25 seconds
			w.commit(execution("a", n))
			if n == 0 {
				w.eventually(50*time.Millisecond, "the first record is there", func() bool { return w.copied("a") })
			}
			time.Sleep(100*time.Millisecond - time.Since(began)%(100*time.Millisecond))
		}
		targets := w.organization.Stats().Targets
		if targets != 3 { // at 0, 10 and 20 seconds
			t.Errorf("%d rows were sent in 25 seconds", targets)
		}
		w.commit(closing("a"))
		w.eventually(50*time.Millisecond, "the closing record is there", func() bool { return w.copied("a") })
		w.commit(execution("a", 1000))
		time.Sleep(5 * time.Second)
		if w.copied("a") {
			t.Error("a late event is sent at once, as if it closed the run again")
		}
		w.eventually(10*time.Second, "the late event is there", func() bool { return w.copied("a") })
	})
}

// TestDispatcherKeepsItsBudgetForClosingRecords over two days.
func TestDispatcherKeepsItsBudgetForClosingRecords(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil, func(c *DispatcherConfig) { c.DailyBudget = 100 })
		p.Own(true)
		for n := range 120 {
			w.commit(execution(fmt.Sprint("run-", n), 0))
			time.Sleep(time.Millisecond) // so that they are due one after the other
		}
		w.eventually(time.Minute, "all but the reserve is used", func() bool { return w.organization.Stats().Targets == 90 })
		time.Sleep(time.Minute)
		if s := p.Status(); s.State != StateBudget || s.Reason == "" || w.organization.Stats().Targets != 90 {
			t.Fatalf("%+v after %d rows", s, w.organization.Stats().Targets)
		}
		for n := 100; n < 112; n++ {
			w.commit(closing(fmt.Sprint("run-", n)))
		}
		w.eventually(time.Minute, "closing records use the reserve", func() bool { return w.organization.Stats().Targets == 100 })
		time.Sleep(time.Minute)
		if n := w.organization.Stats().Targets; n != 100 {
			t.Errorf("%d rows were sent on one day", n)
		}
		time.Sleep(time.Until(midnight(time.Now())))
		w.settled()
		if s := p.Status(); s.State != StateActive || w.organization.Stats().Targets != 120 {
			t.Errorf("%+v after %d rows", s, w.organization.Stats().Targets)
		}
	})
}

// TestDispatcherParksWhatDoesNotFit: the rest of the request passes, and a version that fits is taken later.
func TestDispatcherParksWhatDoesNotFit(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		w.key(w.start(nil), "apex_campaignid", "apex_runid", "apex_phase")
		w.insert(Row{"apex_campaignid": "campaign", "apex_runid": "taken", "apex_phase": "1"})
		var list []events.Event
		for n := range 60 {
			list = append(list, execution(fmt.Sprint("run-", n), 0))
		}
		rich := execution("rich", 0)
		rich.Cost = events.USD(100_000 * events.NanosPerUSD)
		w.commit(append(list, rich, execution("taken", 0))...)
		p := w.processes[0]
		p.Own(true)
		w.settled()
		w.wantCopied(60)
		s := p.Status()
		if s.Parked != 2 || len(s.ParkedRows) != 2 || w.standing().Parked != 2 {
			t.Fatalf("status %+v", s)
		}
		parked, err := w.store.Parked(context.Background(), 10)
		if err != nil || len(parked) != 2 {
			t.Fatalf("%d parked, %v", len(parked), err)
		}
		reasons := map[string]string{}
		for _, c := range parked {
			reasons[c.Metrics.RunID] = c.Parked
		}
		wantText(t, reasons["rich"], `apex_costusd: "100000" does not fit, the column takes at most 99999.99999`)
		wantText(t, reasons["taken"], codeKeyTaken, "reconcile --adopt")

		// A refused row is tried alone: it must not make a request fail for others again.
		time.Sleep(parkedRetry)
		before := w.organization.Stats().Requests
		list = []events.Event{execution("taken", 1)}
		for n := range 60 {
			list = append(list, execution(fmt.Sprint("run-", n), 1))
		}
		w.commit(list...)
		w.settled()
		if n := w.organization.Stats().Requests - before; n > 2+3 { // three read the table's definition
			t.Errorf("%d requests for 60 rows and one that was refused before", n)
		}

		// What is in the way goes, and both runs get another version, one of which closes its run.
		w.removeAll("apex_runid eq 'taken'")
		w.commit(execution("taken", 2), events.Event{Key: runKey("rich"), ID: "void", Type: events.ExecutionsVoided,
			OccurredAt: time.Now().UTC(), Voids: []string{"0"}}, closing("rich"))
		w.eventually(time.Second, "the closing record is tried at once", func() bool { return w.copied("rich") })
		w.eventually(parkedRetry, "the other one after a while", func() bool { return w.copied("taken") })
		if s := p.Status(); s.Parked != 0 || len(s.ParkedRows) != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestDispatcherWaitsForATableThatLacksAColumn: parking each row would mend nothing.
func TestDispatcherWaitsForATableThatLacksAColumn(t *testing.T) {
	inWorld(t, emulator.Config{Empty: true}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0), execution("b", 0))
		w.eventually(time.Second, "it says what is missing", func() bool { return p.Status().State == StateBlocked })
		wantText(t, p.Status().Reason, testTable)
		d := Wanted(testTable)
		last := d.Columns[len(d.Columns)-1]
		d.Columns = d.Columns[:len(d.Columns)-1]
		if err := p.Client.CreateTable(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		w.eventually(longestBlocked, "it says which column is missing", func() bool {
			return p.Status().State == StateBlocked && contains(p.Status().Reason, last.Name)
		})
		if err := p.Client.CreateColumn(context.Background(), testTable, last); err != nil {
			t.Fatal(err)
		}
		w.eventually(longestBlocked, "it goes on by itself", func() bool { return w.copied("a") && w.copied("b") })
		if w.standing().Parked != 0 {
			t.Error("rows were parked")
		}
	})
}

// TestDispatcherLooksAtTheTableWhenRowsAreRefused: a column that somebody removed is no fault of the rows.
func TestDispatcherLooksAtTheTableWhenRowsAreRefused(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(tableTime)
		w.network.without.Store(true)
		w.commit(execution("a", 1), execution("b", 0))
		w.eventually(time.Second, "it says which column is missing", func() bool {
			return p.Status().State == StateBlocked && contains(p.Status().Reason, "apex_costusd")
		})
		w.network.without.Store(false)
		w.eventually(longestBlocked, "it goes on by itself", func() bool { return w.copied("a") && w.copied("b") })
		if w.standing().Parked != 0 {
			t.Error("rows were parked")
		}
	})
}

// TestDispatcherSendsAgainWhatMayHaveBeenLost: a request without an answer is repeated, and once more when the first can
// not take place any more: here it does, after the second.
func TestDispatcherSendsAgainWhatMayHaveBeenLost(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 2 * time.Minute})
		time.Sleep(time.Second)
		w.commit(execution("a", 1))
		time.Sleep(time.Second) // it is on its way
		w.commit(execution("a", 2))
		w.eventually(requestTime+5*time.Second, "the second request took place", func() bool { return w.copied("a") })
		w.eventually(2*time.Minute, "the first one took place after it", func() bool { return !w.copied("a") })
		w.eventually(testLinger, "the row is put right", func() bool { return w.copied("a") })
		w.settled()
	})
}

// TestAProcessThatWakesUpDoesNoHarm: it was stopped in the middle of a request, and its successor wrote a newer version.
func TestAProcessThatWakesUpDoesNoHarm(t *testing.T) {
	for _, pause := range []time.Duration{20 * time.Second, 50 * time.Minute} {
		inWorld(t, emulator.Config{}, func(w *world) {
			first := w.start(nil)
			first.Own(true)
			w.commit(execution("a", 0))
			w.settled()
			time.Sleep(time.Second)
			resume := first.pauseIn("UpsertMultiple")
			w.commit(execution("a", 1))
			synctest.Wait()
			// The commit of another process, which takes over.
			second := w.start(nil)
			second.Own(true)
			w.commit(execution("a", 2))
			w.eventually(3*time.Second, "the successor writes the newest version", func() bool { return w.copied("a") })
			time.Sleep(pause)
			first.Own(false) // it learns that when it wakes, while its request takes place
			written := w.organization.Stats().Targets
			resume()
			w.eventually(time.Minute, "the newest version is written over the older one", func() bool {
				return w.organization.Stats().Targets > written+1 && w.copied("a")
			})
			w.settled()
			if !w.copied("a") {
				t.Errorf("after a pause of %s an older version stands", pause)
			}
			if !w.copied("a") {
				t.Errorf("after a pause of %s an older version stands", pause)
			}
		})
	}
}

// TestDispatcherTakesOverFromWhoeverEnds: what was under way is sent again, at once and once more.
func TestDispatcherTakesOverFromWhoeverEnds(t *testing.T) {
	for name, end := range map[string]func(*process){"SIGKILL": (*process).kill, "SIGTERM": (*process).stop} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, emulator.Config{}, func(w *world) {
				first := w.start(nil)
				first.Own(true)
				w.commit(execution("a", 0))
				w.settled()
				w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 30 * time.Second})
				time.Sleep(time.Second)
				w.commit(execution("a", 1))
				synctest.Wait()
				end(first)
				second := w.start(nil)
				second.Own(true)
				w.commit(execution("a", 2))
				w.eventually(3*time.Second, "the successor writes the newest version", func() bool { return w.copied("a") })
				w.eventually(time.Minute, "the late request takes place", func() bool { return !w.copied("a") })
				w.eventually(testLinger, "the row is put right", func() bool { return w.copied("a") })
				w.settled()
			})
		})
	}
}

// TestDispatcherKeepsItsOwnClaims when it gets another pin: nothing is sent twice for that.
func TestDispatcherKeepsItsOwnClaims(t *testing.T) {
	inWorld(t, emulator.Config{Latency: 5 * time.Second}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.eventually(time.Minute, "it is ready", func() bool { return p.Status().State == StateActive })
		w.commit(execution("a", 0))
		synctest.Wait()
		p.Own(true)
		w.settled()
		time.Sleep(2 * testLinger)
		if n := w.organization.Stats().Targets; n != 1 {
			t.Errorf("one row was sent %d times", n)
		}
	})
}

// TestDispatcherLooksRarelyForWhatNobodyCanClaim: a run that was removed from the store by hand leaves its mark.
func TestDispatcherLooksRarelyForWhatNobodyCanClaim(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		w.commit(execution("a", 0), execution("b", 0))
		db, err := sql.Open("sqlite", w.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("DELETE FROM campaign_metrics WHERE run_id = 'a'"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		p := w.start(nil)
		p.Own(true)
		w.eventually(time.Second, "the other run is copied", func() bool { return w.copied("b") })
		time.Sleep(24 * time.Hour)
		if n := p.outbox.Calls(sinktest.Claim); n > 60 {
			t.Errorf("%d looks within a day", n)
		}
	})
}

// TestDispatcherGivesBackWhatItHoldsWhenItIsNotTheOwnerAnyMore, though Dataverse is away.
func TestDispatcherGivesBackWhatItHoldsWhenItIsNotTheOwnerAnyMore(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		first := w.start(nil)
		first.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(time.Second)
		w.network.down.Store(true)
		first.transport.CloseIdleConnections()
		w.commit(execution("a", 1))
		w.eventually(time.Second, "it notices", func() bool { return first.Status().State == StateDegraded })
		settled := first.outbox.Calls(sinktest.Settle)
		time.Sleep(time.Hour)
		if first.outbox.Calls(sinktest.Settle) != settled {
			t.Error("an outage of Dataverse keeps the database awake")
		}
		first.Own(false)
		w.eventually(time.Second, "nothing is claimed", func() bool {
			list, err := w.store.Claim(context.Background(), sinks.Claim{Owner: uuid.New(), Now: time.Now(), Limit: 0})
			return err == nil && !list.Next.IsZero()
		})
	})
}

// TestDispatcherSurvivesADatabaseThatFails at every call, whether or not the call took place.
func TestDispatcherSurvivesADatabaseThatFails(t *testing.T) {
	for _, method := range []sinktest.Method{sinktest.Adopt, sinktest.Claim, sinktest.Settle} {
		for _, fault := range []sinktest.Fault{sinktest.NotStored, sinktest.Stored} {
			t.Run(fmt.Sprint(method, fault), func(t *testing.T) {
				inWorld(t, emulator.Config{}, func(w *world) {
					p := w.start(func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
						if m == method && n%3 == 1 && n < 20 {
							return fault
						}
						return sinktest.None
					})
					p.Own(true)
					for n := range 5 {
						w.commit(execution("a", n), execution(fmt.Sprint("run-", n), 0))
						w.eventually(10*time.Second, "the rows are up to date", func() bool {
							return w.copied("a") && w.copied(fmt.Sprint("run-", n))
						})
					}
					w.settled()
				})
			})
		}
	}
}

// TestDispatcherSplitsRequestsThatAreTooMuch for the service, in bytes or in time.
func TestDispatcherSplitsRequestsThatAreTooMuch(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		var list []events.Event
		for n := range 400 {
			list = append(list, execution(fmt.Sprint("run-", n), 0))
		}
		w.commit(list...)
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 413, Path: "UpsertMultiple", Times: 3})
		p.Own(true)
		w.settled()
		w.organization.Inject(emulator.Fault{Kind: "slow", Delay: 90 * time.Second, Path: "UpsertMultiple", Times: 2})
		w.commit(execution("run-0", 1), execution("run-1", 1), execution("run-2", 1))
		w.settled()
		w.wantCopied(400)
		if w.standing().Parked != 0 {
			t.Error("rows were parked")
		}
	})
}
