package postgres

import (
	"database/sql"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// waitingRuns opens a store with runs that are due.
func waitingRuns(t *testing.T, url string, runs ...string) *Store {
	t.Helper()
	store, err := Open(t.Context(), Config{URL: url, Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var list []events.Event
	for _, run := range runs {
		list = append(list, execution(run, "1"))
	}
	if err := sinktest.NewWriter(t, store, "RUN_EVENTS").Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	return store
}

// claimed claims all that can be had and returns the runs.
func claimed(t *testing.T, store *Store) (runs []string, next time.Time) {
	t.Helper()
	now := time.Now()
	got, err := store.Claim(t.Context(), sinks.Claim{Owner: uuid.New(), Now: now, NotBefore: now, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got.Copies {
		runs = append(runs, c.Metrics.RunID)
	}
	return runs, got.Next
}

func TestClaimWaitsForNoCommit(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	store, db := waitingRuns(t, url, "a", "b"), plainSQL(t, url)
	release := lockOutbox(t, db, execution("a", "1").UUID())
	runs, next := claimed(t, store)
	if len(runs) != 1 || runs[0] != "b" || next.IsZero() {
		t.Errorf("claimed %v, next %v", runs, next)
	}
	release()
	if runs, next := claimed(t, store); len(runs) != 1 || runs[0] != "a" || !next.IsZero() {
		t.Errorf("claimed %v after that, next %v", runs, next)
	}
}

// lockOutbox holds the row of a run, as a commit does, until release is called.
func lockOutbox(t *testing.T, db *sql.DB, run uuid.UUID) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), "SELECT * FROM dataverse_outbox WHERE run_key = $1 FOR UPDATE", run)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

// A commit may end between the moment whose records a claim reads and the one in which it has the row.
func TestClaimTakesNoRecordOlderThanItsMark(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	store, db := waitingRuns(t, url, "a"), plainSQL(t, url)
	if _, err := db.ExecContext(t.Context(), "UPDATE dataverse_outbox SET version = 2"); err != nil {
		t.Fatal(err)
	}
	if runs, next := claimed(t, store); len(runs) > 0 || next.IsZero() {
		t.Errorf("claimed %v, next %v", runs, next)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE campaign_metrics SET version = 2"); err != nil {
		t.Fatal(err)
	}
	if runs, _ := claimed(t, store); len(runs) != 1 {
		t.Errorf("claimed %v after the record is there", runs)
	}
}

// TestRunThatWasRemovedByHandComesBack with version 1: what the outbox remembers of it must not refuse a commit.
func TestRunThatWasRemovedByHandComesBack(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	store, db := waitingRuns(t, url, "a"), plainSQL(t, url)
	for _, statement := range []string{"UPDATE dataverse_outbox SET version = 3, delivered = 3, pending = false",
		"DELETE FROM campaign_metrics", "DELETE FROM event_chunks"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := sinktest.NewWriter(t, store, "RUN_EVENTS").Write(t.Context(), execution("a", "2")); err != nil {
		t.Fatal(err)
	}
	if runs, _ := claimed(t, store); len(runs) != 1 {
		t.Errorf("claimed %v", runs)
	}
}
