package postgres

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// Two streams may carry the first events of a run at the same moment: the second waits for the first, and is then told which
// runs to read. Here the first is a transaction by hand, which turns another run's row into the new one's.
func TestRunThatAppearsWhileItsCommitWaitsConflicts(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	w := sinktest.NewWriter(t, openStore(t, url), "RUN_EVENTS")
	if err := w.Write(t.Context(), execution("other", "1")); err != nil {
		t.Fatal(err)
	}
	db := plainSQL(t, url)
	first, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Rollback() }()
	run := execution("r", "1").Key.UUID()
	if _, err := first.ExecContext(t.Context(), "UPDATE campaign_metrics SET run_key = $1::uuid", run); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		second <- w.Commit(t.Context(), w.Fold(execution("r", "1"), execution("new", "1")))
	}()
	for waiting, deadline := 0, time.Now().Add(10*time.Second); waiting == 0; {
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the second does not wait for the first")
		}
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	var conflict *sinks.VersionConflict
	if err := <-second; !errors.As(err, &conflict) || !slices.Equal(conflict.Runs, []uuid.UUID{run}) {
		t.Errorf("%v, want a conflict of %v alone", err, run)
	}
}
