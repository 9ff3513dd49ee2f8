package sinktest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) versionTests() []test {
	return []test{
		{"VersionConflictNamesEveryRunAndStoresNothing", s.everyConflict},
		{"NewRunThatExistsConflicts", s.newRunExists},
		{"ChangedRunThatIsAbsentConflicts", s.changedRunAbsent},
		{"RunThatAnotherStreamChangedConflicts", s.changedByAnotherStream},
		{"VersionCountsCommits", s.versionCounts},
		{"BatchWithoutRunsMovesThePosition", s.batchWithoutRuns},
	}
}

// conflicts fails the test if err is anything but a conflict of exactly these runs.
func conflicts(t testing.TB, err error, want ...uuid.UUID) {
	t.Helper()
	var conflict *sinks.VersionConflict
	if !errors.As(err, &conflict) {
		t.Errorf("%v, want a version conflict", err)
		return
	}
	byKey := func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
	got := slices.SortedFunc(slices.Values(conflict.Runs), byKey)
	if want = slices.SortedFunc(slices.Values(want), byKey); !slices.Equal(got, want) {
		t.Errorf("conflict of %v, want %v", got, want)
	}
}

// everyConflict mixes every way to conflict with runs that are right, and everything else that a batch may hold.
func (s suite) everyConflict(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	var list []events.Event
	for i := range 300 {
		list = append(list, execution(key(fmt.Sprint(i)), "1"))
	}
	if err := w.Write(t.Context(), list[:200]...); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)

	for i := range list {
		list[i].ID = "2"
	}
	void := events.Event{Key: key("0"), ID: "v", Type: events.ExecutionsVoided, OccurredAt: epoch, Voids: []string{"1"}}
	b := w.Fold(append(list, void)...)
	b.Next.Sequence, b.Next.DeadLetters = b.Next.Sequence+1, b.Next.DeadLetters+1
	b.DeadLetters = append(b.DeadLetters,
		sinks.DeadLetter{Sequence: b.Next.Sequence, Subject: "x", Reason: events.Malformed, Time: epoch})
	var want []uuid.UUID
	for i := range b.Runs {
		m := &b.Runs[i].Metrics
		switch i % 4 { // of the first 200 the new version is 2, of the others 1
		case 1: // as if new, or as if changed before
			m.Version = 3 - m.Version
			want = append(want, m.RunKey)
		case 2: // far ahead
			m.Version = 7
			want = append(want, m.RunKey)
		}
	}
	conflicts(t, w.Commit(t.Context(), b), want...)
	db.untouched(t, before)
}

func (s suite) newRunExists(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), execution(key("r"), "1")); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	conflicts(t, w.Commit(t.Context(), w.Fold(execution(key("r"), "2"))), key("r").UUID())
	db.untouched(t, before)

	// Loaded and folded again, it stands.
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution(key("r"), "2")); err != nil {
		t.Fatal(err)
	}
	if m := metricsOf(t, store, key("r").UUID()); m.Version != 2 || *m.Executions != 2 {
		t.Errorf("after the reload: %s", show(m))
	}
}

func (s suite) changedRunAbsent(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	before := db.dump(t)
	b := w.Fold(execution(key("r"), "1"))
	b.Runs[0].Metrics.Version = 2
	conflicts(t, w.Commit(t.Context(), b), key("r").UUID())
	db.untouched(t, before)
}

func (s suite) changedByAnotherStream(t *testing.T) {
	store, db := s.open(t, Options{})
	a, b := NewWriter(t, store, "A"), NewWriter(t, db.open(t, Options{}), "B")
	if err := a.Write(t.Context(), execution(key("r"), "1")); err != nil {
		t.Fatal(err)
	}
	if err := b.Write(t.Context(), execution(key("r"), "2")); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	conflicts(t, a.Commit(t.Context(), a.Fold(execution(key("r"), "3"))), key("r").UUID())
	db.untouched(t, before)
}

func (s suite) versionCounts(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	for i := range 5 {
		if err := w.Write(t.Context(), execution(key("r"), fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		at := w.At.Add(-time.Second)
		if m := metricsOf(t, store, key("r").UUID()); m.Version != int64(i+1) || !m.UpdatedAt.Equal(at) {
			t.Errorf("after commit %d at %v: %s", i+1, at, show(m))
		}
	}
	// A batch of duplicates changes no run.
	if err := w.Write(t.Context(), execution(key("r"), "3")); err != nil {
		t.Fatal(err)
	}
	if m := metricsOf(t, store, key("r").UUID()); m.Version != 5 {
		t.Errorf("a duplicate made version %d", m.Version)
	}
}

func (s suite) batchWithoutRuns(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	b := w.Fold()
	b.Next.Sequence, b.Next.Gone = 12, 12
	if err := w.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	samePosition(t, position(t, store, stream), b.Next)
	for _, table := range tables[1:] {
		if rows := db.rows(t, "SELECT * FROM "+table); len(rows) > 0 {
			t.Errorf("%s has rows: %q", table, rows)
		}
	}
}
