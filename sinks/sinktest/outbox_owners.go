package sinktest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) ownerTests() []test {
	return []test{
		{"AdoptedRunIsDueAtOnceAndOnceMoreAfterTheDoubt", s.adopted},
		{"AdoptLeavesOwnClaimsAndWhatWaits", s.adoptedOwn},
		{"LostClaimMakesTheRunDueAgain", s.lostClaim},
		{"LostClaimOfARunThatAnotherHoldsIsSentAfterThat", s.lostToAnother},
		{"OutcomeOfAnOlderClaimEndsNoNewerOne", s.olderOutcome},
		{"DeliveryFromBeforeARestoreHidesNoVersion", s.restored},
		{"LostAnswersOfTheOutboxAreErrors", s.lostOutboxAnswers},
	}
}

func (d *dispatcher) adopt(t testing.TB, now, doubtUntil float64) sinks.Standing {
	t.Helper()
	standing, err := d.store.Adopt(t.Context(), []uuid.UUID{d.owner}, at(now), at(doubtUntil))
	if err != nil {
		t.Fatal(err)
	}
	return standing
}

func (s suite) adopted(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, dead, heir := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	w.touch(t, at(0), "a")
	dead.claim(t, at(1), "a@1")
	next(t, heir.claim(t, at(1000)), never)
	heir.adopt(t, 5, 65)
	next(t, heir.claim(t, at(4)), at(5))
	heir.claim(t, at(5), "a@1")
	heir.settle(t, at(6), settled("a", 1, sinks.Delivered))
	next(t, heir.claim(t, at(64)), at(65))
	// A version of its own in between is one more.
	w.touch(t, at(20), "a")
	heir.claim(t, at(20), "a@2")
	heir.settle(t, at(21), settled("a", 2, sinks.Delivered))
	next(t, heir.claim(t, at(65), "a@2"), never)
	heir.settle(t, at(66), settled("a", 2, sinks.Delivered))
	next(t, heir.claim(t, at(1000)), never)
}

func (s suite) adoptedOwn(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, dead, heir := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	w.touch(t, at(0), "a")
	w.touch(t, at(1), "b")
	dead.claimAs(t, sinks.Claim{Now: at(2), NotBefore: at(2), Limit: 1}, "a@1")
	heir.claim(t, at(2), "b@1")
	w.touch(t, at(3), "c")
	want := sinks.Standing{Waiting: 3, Oldest: at(1)} // b is under way
	if got := heir.adopt(t, 4, 4); got != want {
		t.Errorf("standing %+v, want %+v", got, want)
	}
	next(t, heir.claim(t, at(4), "c@1", "a@1"), never)
	if lost := heir.settle(t, at(5), settled("a", 1, sinks.Delivered), settled("b", 1, sinks.Delivered),
		settled("c", 1, sinks.Delivered)); lost != 0 {
		t.Errorf("%d own claims lost", lost)
	}
	next(t, heir.claim(t, at(1000)), never)
}

func (s suite) lostClaim(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, slow, heir := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	for i, c := range []struct {
		outcome sinks.Outcome
		lost    bool
	}{
		{settled("a", 1, sinks.Delivered), true},
		{settled("a", 2, sinks.Parked), true},
		{doubtful(settled("a", 3, sinks.Released), at(250)), true},
		{settled("a", 4, sinks.Released), false}, // nothing was sent
	} {
		begin, run := float64(100*i), fmt.Sprint("a@", i+1)
		w.touch(t, at(begin), "a")
		slow.claim(t, at(begin+20), run)
		heir.adopt(t, begin+20, begin+20)
		heir.claim(t, at(begin+20), run)
		heir.settle(t, at(begin+21), settled("a", c.outcome.Version, sinks.Delivered))
		lost := slow.settle(t, at(begin+22), c.outcome)
		if lost != 0 != c.lost {
			t.Errorf("%+v: %d lost", c.outcome, lost)
		}
		parked(t, store, "a", "", c.lost)
		if !c.lost {
			next(t, heir.claim(t, at(begin+99)), never)
			continue
		}
		next(t, heir.claim(t, at(begin+22), run), never)
		heir.settle(t, at(begin+23), settled("a", c.outcome.Version, sinks.Delivered))
		if until := c.outcome.DoubtUntil; !until.IsZero() {
			next(t, heir.claim(t, at(begin+24)), until)
			heir.claim(t, until, run)
			heir.settle(t, until, settled("a", c.outcome.Version, sinks.Delivered))
		}
		next(t, heir.claim(t, at(begin+99)), never)
	}
}

func (s suite) lostToAnother(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, slow, heir := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	w.touch(t, at(0), "a")
	slow.claim(t, at(1), "a@1")
	heir.adopt(t, 1, 90)
	w.touch(t, at(1), "a")
	heir.claim(t, at(1), "a@2")
	if lost := slow.settle(t, at(1), settled("a", 1, sinks.Delivered)); lost != 1 {
		t.Errorf("%d lost", lost)
	}
	next(t, slow.claim(t, at(1000)), never) // the heir still holds it
	heir.settle(t, at(2), settled("a", 2, sinks.Delivered))
	if c := knownOf(t, store, "a"); c.Delivered != 2 {
		t.Errorf("version %d delivered", c.Delivered)
	}
	next(t, heir.claim(t, at(2), "a@2"), never)
	heir.settle(t, at(3), settled("a", 2, sinks.Delivered))
	next(t, heir.claim(t, at(3)), at(90))
}

// olderOutcome: an owner whose settlement was stored and its answer lost settles again, after it claimed the run anew.
func (s suite) olderOutcome(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d, other := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), settled("a", 1, sinks.Delivered))
	w.touch(t, at(20), "a")
	d.claim(t, at(20), "a@2")
	if lost := d.settle(t, at(21), settled("a", 1, sinks.Delivered)); lost != 1 {
		t.Errorf("%d lost", lost)
	}
	next(t, other.claim(t, at(1000)), never)
	if lost := d.settle(t, at(22), settled("a", 2, sinks.Delivered)); lost != 0 {
		t.Errorf("%d lost of what is held", lost)
	}
	next(t, other.claim(t, at(22), "a@2"), never)
}

// restored: a dispatcher that outlives a restore of the store to an earlier point delivers a version which the store
// will make once more, with other content.
func (s suite) restored(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	if lost := d.settle(t, at(1), settled("a", 5, sinks.Delivered)); lost != 1 {
		t.Errorf("%d lost", lost)
	}
	d.claim(t, at(1), "a@1")
	d.settle(t, at(2), settled("a", 1, sinks.Delivered))
	if c := knownOf(t, store, "a"); c.Delivered != 1 {
		t.Errorf("version %d delivered", c.Delivered)
	}
	w.touch(t, at(20), "a")
	d.claim(t, at(20), "a@2")
}

// lostOutboxAnswers: what was claimed under an answer that was lost is got back under another name.
func (s suite) lostOutboxAnswers(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	NewWriter(t, store, stream).touch(t, at(0), "a")
	faults := map[Method]Fault{Claim: Stored, Settle: NotStored, Adopt: StoredLater}
	faulty := NewFaulty(store, func(_ context.Context, m Method, n int) Fault {
		if n == 1 {
			return faults[m]
		}
		return None
	})
	owner, claim := uuid.New(), sinks.Claim{Now: at(1), NotBefore: at(1), Limit: 1}
	claim.Owner = owner
	_, claimErr := faulty.Claim(t.Context(), claim)
	_, settleErr := faulty.Settle(t.Context(), sinks.Settlement{Owner: owner, Now: at(1), Targets: 7})
	_, adoptErr := faulty.Adopt(t.Context(), nil, at(1), at(1))
	for call, err := range map[string]error{"Claim": claimErr, "Settle": settleErr, "Adopt": adoptErr} {
		if !errors.Is(err, sinks.ErrUnavailable) {
			t.Errorf("%s: %v", call, err)
		}
	}
	heir := newDispatcher(faulty)
	next(t, heir.claim(t, at(2)), never)
	if got := heir.adopt(t, 2, 2); got != (sinks.Standing{Waiting: 1, Oldest: at(2)}) {
		t.Errorf("standing %+v", got)
	}
	heir.claim(t, at(2), "a@1")
}
