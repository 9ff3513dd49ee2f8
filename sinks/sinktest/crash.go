package sinktest

import (
	"context"
	"errors"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) crashTests() []test {
	return []test{
		{"LostAnswersAndLateCommitsDoNoHarm", s.lostAnswers},
		{"LateCommitAfterItsSuccessorIsRefused", s.lateCommit},
	}
}

// lostAnswers writes a history through a store that fails at every turn, and goes on as the consumer does: forget, reload,
// go on from the position.
func (s suite) lostAnswers(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	h := newHistory(t, 6)
	all := h.take(300)
	faulty := NewFaulty(store, func(_ context.Context, m Method, _ int) Fault {
		if m != Commit {
			return []Fault{None, None, None, NotStored}[h.IntN(4)]
		}
		return []Fault{None, NotStored, Stored, StoredLater}[h.IntN(4)]
	})
	w := NewWriter(t, store, stream)
	w.Store = faulty
	for done := false; !done; {
		_, err := readOn(t.Context(), w, all, 1+h.IntN(9))
		if err != nil && !errors.Is(err, sinks.ErrUnavailable) {
			t.Fatal(err)
		}
		done = err == nil
		if h.IntN(3) == 0 || done {
			for _, err := range faulty.Release(t.Context()) {
				if err != nil && !isConflict(err) {
					t.Errorf("late commit: %v", err)
				}
			}
		}
	}
	applied := 0
	for _, list := range appliedOf(all) {
		applied += len(list)
		foldsBack(t, store, list)
	}
	if p := position(t, store, stream); p.Sequence != uint64(len(all)) || p.Applied != int64(applied) {
		t.Errorf("position %+v, want %d applied of %d", p, applied, len(all))
	}
	t.Logf("%d commits for %d events", faulty.Calls(Commit), len(all))
}

func (s suite) lateCommit(t *testing.T) {
	store, db := s.open(t, Options{})
	dying := NewFaulty(store, func(_ context.Context, m Method, n int) Fault {
		if m == Commit {
			return StoredLater
		}
		return None
	})
	w := NewWriter(t, dying, stream)
	if err := w.Write(t.Context(), executions(key("r"), 0, 5)...); !errors.Is(err, sinks.ErrUnavailable) {
		t.Fatalf("commit of the dying: %v", err)
	}
	successor := NewWriter(t, store, stream)
	if err := successor.Write(t.Context(), executions(key("r"), 0, 2)...); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	if errs := dying.Release(t.Context()); len(errs) != 1 || !errors.Is(errs[0], sinks.ErrPositionMoved) {
		t.Errorf("late commit: %v", errs)
	}
	db.untouched(t, before)
}
