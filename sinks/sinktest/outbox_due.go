package sinktest

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) dueTests() []test {
	return []test{
		{"FirstAndClosingRecordsAreDueAtOnceOthersAfterTheInterval", s.dueTimes},
		{"ClosingRecordIsDueAtOnceWhateverWaits", s.closingWhileWaiting},
		{"RecordCommittedDuringAClaimIsDueAfterIt", s.dueAfterClaim},
		{"SettlementSaysWhenTheNextRunIsDue", s.settledNext},
		{"ReleasedRunIsDueAtOnce", s.released},
		{"ParkedRunWaitsForAnotherVersion", s.parkedWaits},
		{"ParkedRunHasANewVersionAlready", s.parkedWithNewer},
		{"ClosingOnlyLeavesTheRest", s.closingOnly},
		{"RunThatWasSentClosedIsOrdinary", s.sentClosed},
	}
}

// never is when nothing waits.
var never time.Time

func (s suite) dueTimes(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	next(t, d.claim(t, at(0), "a@1"), never)
	d.settle(t, at(1), settled("a", 1, sinks.Delivered))
	w.touch(t, at(2), "a")
	next(t, d.claim(t, at(9.9)), at(10))
	next(t, d.claim(t, at(10), "a@2"), never)
	d.settle(t, at(11), settled("a", 2, sinks.Delivered))
	// Once the interval is over there is nothing to wait for.
	w.touch(t, at(25), "a")
	next(t, d.claim(t, at(25), "a@3"), never)
	d.settle(t, at(25), settled("a", 3, sinks.Delivered))
	w.finish(t, at(26), "a")
	next(t, d.claim(t, at(26), "a@4"), never)
}

func (s suite) closingWhileWaiting(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(0), "a@1")
	d.settle(t, at(1), settled("a", 1, sinks.Delivered))
	w.touch(t, at(2), "a")
	next(t, d.claim(t, at(3)), at(10))
	w.finish(t, at(4), "a")
	next(t, d.claim(t, at(3.9)), at(4))
	w.touch(t, at(5), "a") // late, and it keeps its place
	next(t, d.claim(t, at(4), "a@4"), never)
}

func (s suite) dueAfterClaim(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	w.touch(t, at(2), "a", "a")
	next(t, d.claim(t, at(100)), never)
	d.settle(t, at(3), settled("a", 1, sinks.Delivered))
	next(t, d.claim(t, at(10)), at(11))
	d.claim(t, at(11), "a@3")
	w.touch(t, at(30), "a") // after the interval, which is over before the claim
	d.settle(t, at(31), settled("a", 3, sinks.Delivered))
	next(t, d.claim(t, at(29)), at(30))
	d.claim(t, at(31), "a@4")
	w.finish(t, at(32), "a")
	d.settle(t, at(33), settled("a", 4, sinks.Delivered))
	next(t, d.claim(t, at(32), "a@5"), never)
	w.touch(t, at(33), "a") // the closing one is under way already
	d.settle(t, at(34), closing(settled("a", 5, sinks.Delivered)))
	next(t, d.claim(t, at(34)), at(42))
}

func (s suite) settledNext(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	settle := func(now, want time.Time, outcomes ...sinks.Outcome) {
		t.Helper()
		answer, err := store.Settle(t.Context(),
			sinks.Settlement{Owner: d.owner, Now: now, Outcomes: outcomes, RetryParked: now})
		if err != nil || !answer.Next.Equal(want) {
			t.Errorf("next is due at %v, %v, want %v", answer.Next, err, want)
		}
	}
	settle(at(0), never)
	w.touch(t, at(1), "a")
	w.touch(t, at(2), "b")
	settle(at(3), at(1))
	d.claim(t, at(3), "a@1", "b@1")
	w.touch(t, at(4), "a")
	settle(at(5), never) // both are claimed
	settle(at(5), at(13), settled("a", 1, sinks.Delivered))
	settle(at(6), at(6), settled("b", 1, sinks.Released))
}

func (s suite) released(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), settled("a", 1, sinks.Released))
	next(t, d.claim(t, at(1.9)), at(2))
	d.claim(t, at(2), "a@1")
	w.touch(t, at(3), "a")
	d.settle(t, at(4), settled("a", 1, sinks.Released))
	next(t, d.claim(t, at(4), "a@2"), never)
	if c := knownOf(t, store, "a"); c.Delivered != 0 || !c.Waiting {
		t.Errorf("nothing was delivered, and it waits: %+v", c)
	}
}

// parked checks what is known of why a run's copy was refused.
func parked(t testing.TB, store sinks.Outbox, run, reason string, waiting bool) {
	t.Helper()
	if c := knownOf(t, store, run); c.Parked != reason || c.Waiting != waiting {
		t.Errorf("%s is parked for %q, waiting %v; want %q, %v", run, c.Parked, c.Waiting, reason, waiting)
	}
}

func (s suite) parkedWaits(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	refused := settled("a", 1, sinks.Parked)
	refused.Reason = "too \x00long\xff" // as it came
	d.settle(t, at(2), refused)
	next(t, d.claim(t, at(1000)), never)
	parked(t, store, "a", "too long\uFFFD", false)
	w.touch(t, at(3), "a")
	parked(t, store, "a", "too long\uFFFD", true)
	next(t, d.claim(t, at(61.9)), at(62))
	d.claim(t, at(62), "a@2")
	d.settle(t, at(63), settled("a", 2, sinks.Parked))
	parked(t, store, "a", "too long: a", false)
	w.finish(t, at(64), "a")
	next(t, d.claim(t, at(64), "a@3"), never)
	d.settle(t, at(65), closing(settled("a", 3, sinks.Delivered)))
	parked(t, store, "a", "", false)
	// After that the interval holds again: the retry of what was parked is over.
	w.touch(t, at(66), "a")
	next(t, d.claim(t, at(67)), at(74))
}

func (s suite) parkedWithNewer(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a", "b")
	d.claim(t, at(1), "b@1", "a@1")
	w.touch(t, at(2), "a")
	w.finish(t, at(3), "b")
	d.settle(t, at(4), settled("a", 1, sinks.Parked), settled("b", 1, sinks.Parked))
	parked(t, store, "a", "too long: a", true)
	next(t, d.claim(t, at(3), "b@2"), at(64))
	// A parked closing record: another one is still the first that the copy would take.
	d.settle(t, at(5), closing(settled("b", 2, sinks.Parked)))
	w.touch(t, at(6), "b")
	next(t, d.claim(t, at(6), "b@3"), at(64))
}

func (s suite) closingOnly(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	for i, run := range []string{"b", "c", "d"} {
		w.touch(t, at(float64(i+1)), run)
		w.finish(t, at(float64(i+1)), run)
	}
	claim := sinks.Claim{Now: at(2), NotBefore: at(100), ClosingOnly: true, Limit: 100}
	next(t, d.claimAs(t, claim, "b@2", "c@2"), at(0))
	claim.Now = at(10)
	next(t, d.claimAs(t, claim, "d@2"), at(0))
	next(t, d.claimAs(t, claim), at(0))
	d.settle(t, at(11), closing(settled("b", 2, sinks.Delivered)), closing(settled("c", 2, sinks.Released)),
		closing(settled("d", 2, sinks.Parked)))
	w.touch(t, at(12), "b", "d")
	claim.Now = at(12)
	next(t, d.claimAs(t, claim, "c@2", "d@3"), at(0))
	d.claim(t, at(12), "a@1")
	claim.Now = at(1000) // b waits, and a closed version of it was delivered
	next(t, d.claimAs(t, claim), at(100))
}

func (s suite) sentClosed(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	w.finish(t, at(0), "a")
	d.claim(t, at(0), "a@2")
	d.settle(t, at(1), closing(settled("a", 2, sinks.Delivered)))
	w.touch(t, at(2), "a")
	next(t, d.claim(t, at(3)), at(10))
	w.finish(t, at(4), "a")
	next(t, d.claim(t, at(5)), at(10))
	d.claim(t, at(10), "a@4")
	d.settle(t, at(11), closing(settled("a", 4, sinks.Parked)))
	w.finish(t, at(12), "a")
	next(t, d.claim(t, at(12)), at(71))
}
