package sinktest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) atomicTests() []test {
	return []test{
		{"PositionThatDoesNotAddUpIsNotStored", s.unbalancedPosition},
		{"MovedPositionIsToldBeforeVersions", s.positionBeforeVersions},
		{"CommitThatFailsInTheMiddleStoresNothing", s.missingTable},
		{"CanceledCommitStoresAllOrNothing", s.canceledCommit},
	}
}

// unbalancedPosition has each count of a position too great or too small, in the first commit of an epoch, which makes a
// row, and in one that goes on.
func (s suite) unbalancedPosition(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), executions(key("r"), 0, 3)...); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	b := w.Fold(execution(key("r"), "9"))
	first := succeed(w.Position)
	first.Sequence, first.Applied = 1, 1
	for _, right := range []sinks.Position{b.Next, first} {
		for _, off := range []sinks.Position{{Sequence: 1}, {Applied: 1}, {Applied: -1}, {Duplicates: 1}, {DeadLetters: 1}, {Gone: 1}} {
			wrong := *b
			wrong.Next = right
			wrong.Next.Sequence += off.Sequence
			wrong.Next.Applied += off.Applied
			wrong.Next.Duplicates += off.Duplicates
			wrong.Next.DeadLetters += off.DeadLetters
			wrong.Next.Gone += off.Gone
			if err := store.Commit(t.Context(), w.Position, &wrong); !errors.Is(err, sinks.ErrRefused) {
				t.Errorf("%+v is no sum: %v", wrong.Next, err)
			}
			db.untouched(t, before)
		}
	}
	if err := w.Commit(t.Context(), b); err != nil {
		t.Errorf("the sum itself: %v", err)
	}
}

func (s suite) positionBeforeVersions(t *testing.T) {
	store, db := s.open(t, Options{})
	if err := NewWriter(t, store, stream).Write(t.Context(), execution(key("r"), "1")); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	late := &Writer{Store: store, Position: sinks.Position{Stream: stream}, At: epoch, runs: map[uuid.UUID]sinks.StoredRun{}}
	if err := late.Commit(t.Context(), late.Fold(execution(key("r"), "2"))); !errors.Is(err, sinks.ErrPositionMoved) {
		t.Errorf("moved position and moved version: %v", err)
	}
	db.untouched(t, before)
}

// missingTable takes away what a commit writes to last: that is for a person to mend, and nothing of the rest stays.
func (s suite) missingTable(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), executions(key("r"), 0, 3)...); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.SQL.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	before := db.dump(t)
	b := w.Fold(append(executions(key("r"), 3, 3), executions(key("new"), 0, 3)...)...)
	b.Next.Sequence, b.Next.DeadLetters = b.Next.Sequence+1, 1
	b.DeadLetters = []sinks.DeadLetter{{Sequence: b.Next.Sequence, Subject: "x", Reason: events.Malformed, Time: epoch}}
	for _, table := range []string{"dead_letters", "event_chunks", "dataverse_outbox"} {
		rename(table, "away")
		if err := store.Commit(t.Context(), w.Position, b); !errors.Is(err, sinks.ErrBlocked) {
			t.Errorf("commit without the table %s: %v", table, err)
		}
		rename("away", table)
		db.untouched(t, before)
	}
	if err := w.Commit(t.Context(), b); err != nil {
		t.Errorf("commit after all tables are back: %v", err)
	}
}

// canceledCommit cancels commits at ever later moments, so that every statement is hit, until one is through.
func (s suite) canceledCommit(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	var list []events.Event
	for _, run := range []string{"a", "b", "c", "d"} {
		list = append(list, executions(key(run), 0, 200)...)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Commit(canceled, w.Fold(list...)); !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("canceled commit: %v", err)
	}
	for after := 50 * time.Microsecond; ; after = after * 5 / 4 {
		if err := w.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.Position.Epoch > 0 {
			break // stored, whatever the answer was
		}
		b := w.Fold(list...)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		err := w.Commit(ctx, b)
		cancel()
		// One that was given up before may take place only now, and be first.
		if err != nil && !errors.Is(err, sinks.ErrUnavailable) && !errors.Is(err, sinks.ErrPositionMoved) {
			t.Fatalf("commit canceled after %v: %v", after, err)
		}
		stored := loadNow(t, store, list[0].Key, list[200].Key, list[400].Key, list[600].Key)
		p := position(t, store, stream)
		if p.Epoch > 0 && len(stored) == 0 { // the commit took place between the two looks
			stored = loadNow(t, store, list[0].Key, list[200].Key, list[400].Key, list[600].Key)
		}
		if p.Epoch > 0 != (len(stored) == 4) || p.Epoch == 0 && len(stored) > 0 {
			t.Fatalf("position %+v with %d runs", p, len(stored))
		}
	}
	if n := position(t, store, stream).Applied; n != 800 {
		t.Errorf("%d events applied", n)
	}
}
