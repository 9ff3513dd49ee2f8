package sinktest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) outboxTests() []test {
	return []test{
		{"NoMarksUnlessAskedFor", s.noMarks},
		{"MarkIsTheNewestVersion", s.newestMark},
		{"OldestMarkComesFirst", s.oldestMark},
		{"DeliveredNeverLowers", s.deliveredNeverLowers},
		{"DeliveryOfAnOlderVersionLeavesTheMark", s.olderDelivered},
		{"DeliveryFromBeforeARestoreHidesNoVersion", s.deliveredBeyondNewest},
	}
}

// undelivered checks the outbox: runs by name with their newest version.
func undelivered(t testing.TB, store sinks.Outbox, limit int, want ...string) []sinks.Mark {
	t.Helper()
	marks, err := store.Undelivered(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range marks {
		name := m.RunKey.String()
		for _, run := range []string{"a", "b", "c", "d", "e"} {
			if m.RunKey == key(run).UUID() {
				name = run
			}
		}
		got = append(got, fmt.Sprintf("%s@%d", name, m.Version))
	}
	if !slices.Equal(got, want) {
		t.Errorf("undelivered %v, want %v", got, want)
	}
	return marks
}

// touch changes the runs once more, in one commit.
func touch(t testing.TB, w *Writer, runs ...string) {
	t.Helper()
	for _, run := range runs {
		id := fmt.Sprint(w.Position.Sequence, run)
		if err := w.Write(t.Context(), execution(key(run), id)); err != nil {
			t.Fatal(err)
		}
	}
}

func deliver(t testing.TB, store sinks.Outbox, run string, version int64) {
	t.Helper()
	if err := store.Delivered(t.Context(), []sinks.Mark{{RunKey: key(run).UUID(), Version: version}}); err != nil {
		t.Fatal(err)
	}
}

func (s suite) noMarks(t *testing.T) {
	store, db := s.open(t, Options{})
	touch(t, NewWriter(t, store, stream), "a", "b")
	undelivered(t, store, 10)
	if rows := db.rows(t, "SELECT * FROM dataverse_outbox"); len(rows) > 0 {
		t.Errorf("marks %q", rows)
	}
	// Turned on, the next commit of a run marks it; what was committed before is another tool's to repair.
	touch(t, NewWriter(t, db.open(t, Options{Marks: true}), stream), "b")
	undelivered(t, store, 10, "b@2")
}

func (s suite) newestMark(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	touch(t, w, "a", "a", "a")
	undelivered(t, store, 10, "a@3")
	undelivered(t, db.open(t, Options{}), 10, "a@3")
	deliver(t, store, "a", 3)
	undelivered(t, store, 10)
	touch(t, w, "a")
	undelivered(t, store, 10, "a@4")
	// A batch that changes nothing marks nothing.
	deliver(t, store, "a", 4)
	if err := w.Write(t.Context(), execution(key("a"), "0a")); err != nil {
		t.Fatal(err)
	}
	undelivered(t, store, 10)
}

func (s suite) oldestMark(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	touch(t, w, "c", "a", "d", "b")
	undelivered(t, store, 10, "c@1", "a@1", "d@1", "b@1")
	undelivered(t, store, 2, "c@1", "a@1")
	// Whoever waits keeps its place when it changes; who was delivered queues anew.
	touch(t, w, "c")
	deliver(t, store, "a", 1)
	touch(t, w, "a", "e")
	undelivered(t, store, 10, "c@2", "d@1", "b@1", "a@2", "e@1")
	if err := store.Delivered(t.Context(), undelivered(t, store, 3, "c@2", "d@1", "b@1")); err != nil {
		t.Fatal(err)
	}
	undelivered(t, store, 10, "a@2", "e@1")
}

func (s suite) deliveredNeverLowers(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	touch(t, w, "a", "a", "a")
	deliver(t, store, "a", 3)
	deliver(t, store, "a", 1)
	undelivered(t, store, 10)
	// A run without a mark is nobody's fault, and neither is an empty list.
	deliver(t, store, "b", 1)
	if err := store.Delivered(t.Context(), nil); err != nil {
		t.Error(err)
	}
	undelivered(t, store, 10)
}

func (s suite) olderDelivered(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	touch(t, w, "a", "b")
	touch(t, w, "a") // while version 1 is on its way
	deliver(t, store, "a", 1)
	undelivered(t, store, 10, "a@2", "b@1")
}

// deliveredBeyondNewest: a dispatcher that outlives a restore of the store to an earlier point delivers a version which
// the store will make once more, with other content.
func (s suite) deliveredBeyondNewest(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	touch(t, w, "a")
	deliver(t, store, "a", 5)
	undelivered(t, store, 10)
	touch(t, w, "a")
	undelivered(t, store, 10, "a@2")
}
