package postgres

import (
	"errors"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// bury makes a batch of one malformed message.
func bury(w *sinktest.Writer) *sinks.Batch {
	b := w.Fold()
	b.Next.Sequence++
	b.Next.DeadLetters++
	b.DeadLetters = []sinks.DeadLetter{{Sequence: b.Next.Sequence, Reason: events.Malformed, Time: w.At, Payload: []byte("{")}}
	return b
}

// TestARestoredDatabaseKeepsDeadLettersAgain: what the process knew to be full is not.
func TestARestoredDatabaseKeepsDeadLettersAgain(t *testing.T) {
	t.Parallel()
	store, err := Open(t.Context(), Config{URL: migrated(t), DeadLetterLimit: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	count := func(statement string) (n int) {
		t.Helper()
		if err := store.pool.QueryRow(t.Context(), statement).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	for range 5 {
		if err := w.Commit(t.Context(), bury(w)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count("SELECT dropped FROM dead_letter_counts"); n != 3 {
		t.Fatalf("%d dropped, want 3", n)
	}
	if len(store.full.streams["RUN_EVENTS"]) != 1 {
		t.Errorf("full are %q", store.full.streams)
	}
	for _, statement := range []string{"DELETE FROM dead_letters WHERE sequence > 1",
		"UPDATE dead_letter_counts SET kept = 1, dropped = 0, first_dropped = NULL, last_dropped = NULL",
		"UPDATE stream_positions SET sequence = 1, dead_letters = 1"} {
		if _, err := store.pool.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(t.Context(), bury(w)); !errors.Is(err, sinks.ErrPositionMoved) {
		t.Fatalf("a commit on the old position: %v", err)
	}
	w = sinktest.NewWriter(t, store, "RUN_EVENTS")
	for range 2 {
		if err := w.Commit(t.Context(), bury(w)); err != nil {
			t.Fatal(err)
		}
	}
	if rows, dropped := count("SELECT count(*) FROM dead_letters WHERE payload = '{'"), count("SELECT dropped FROM dead_letter_counts"); rows != 2 || dropped != 1 {
		t.Errorf("%d rows and %d dropped, want 2 and 1", rows, dropped)
	}
}
