package postgres

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestConnectionLostWhileIdle(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db, store := plainSQL(t, url), openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	if err := w.Write(t.Context(), execution("r", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "+
		"WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	wantError(t, w.Commit(t.Context(), w.Fold(execution("r", "2"))), sinks.ErrUnavailable, "")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution("r", "2")); err != nil {
		t.Error(err)
	}
}

func TestConnectionLostDuringCommit(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db := plainSQL(t, url)
	w := sinktest.NewWriter(t, openStore(t, url), "RUN_EVENTS")
	if err := w.Write(t.Context(), execution("r", "1")); err != nil {
		t.Fatal(err)
	}
	before := w.Position
	release := lockPosition(t, db)
	outcome := make(chan error, 1)
	batch := w.Fold(execution("r", "2"))
	go func() { outcome <- w.Commit(t.Context(), batch) }()
	if _, err := db.ExecContext(t.Context(), "SELECT pg_terminate_backend($1)", waiting(t, db)); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-outcome, sinks.ErrUnavailable, "")
	release()
	if err := w.Reload(t.Context()); err != nil || w.Position != before {
		t.Errorf("%+v after %+v, %v", w.Position, before, err)
	}
}

func TestCallersOwnInterruptionStaysRecognisable(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db, store := plainSQL(t, url), openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	if err := w.Write(t.Context(), execution("r", "1")); err != nil {
		t.Fatal(err)
	}
	defer lockPosition(t, db)()
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan error, 1)
	batch := w.Fold(execution("r", "2"))
	go func() { outcome <- w.Commit(ctx, batch) }()
	waiting(t, db)
	cancel()
	if err := <-outcome; !errors.Is(err, context.Canceled) || !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("canceled: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := store.Position(late, "RUN_EVENTS")
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("too late: %v", err)
	}
}

func TestOutageEndsByItself(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t)
	url := server.CreateDatabase(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	if err := w.Write(t.Context(), execution("r", "1")); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	batch := w.Fold(execution("r", "2"))
	for range 2 { // on a connection that was there, and on none
		wantError(t, w.Commit(t.Context(), batch), sinks.ErrUnavailable, "postgres@")
	}
	_, err := store.List(t.Context(), sinks.Filter{}, nil, 10)
	wantError(t, err, sinks.ErrUnavailable, "postgres@")
	away, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatalf("a server that is away is an error of Open: %v", err)
	}
	defer away.Close()
	wantError(t, away.CheckSchema(t.Context()), sinks.ErrUnavailable, "")
	wantError(t, Migrate(t.Context(), url), sinks.ErrUnavailable, "")

	server.Start(t)
	if err := w.Reload(t.Context()); err != nil || w.Position.Sequence != 1 {
		t.Fatalf("position after the outage: %+v, %v", w.Position, err)
	}
	if err := w.Write(t.Context(), execution("r", "2")); err != nil {
		t.Error(err)
	}
}

func TestFailOverLeavesNoReadOnlyConnectionBehind(t *testing.T) {
	t.Parallel()
	url := sinktest.SharedPostgres(t).CreateDatabase(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db, store := plainSQL(t, url), openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	alter := func(setting string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I "+setting+
			"', current_database()); END $$"); err != nil {
			t.Fatal(err)
		}
	}
	alter("SET default_transaction_read_only = on")
	conns := make([]*pgxpool.Conn, maxConns)
	for i := range conns {
		var err error
		if conns[i], err = store.pool.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range conns {
		conn.Release()
	}
	batch := w.Fold(execution("r", "1"))
	wantError(t, w.Commit(t.Context(), batch), sinks.ErrUnavailable, "")
	alter("RESET default_transaction_read_only")
	if err := w.Commit(t.Context(), batch); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

// lockPosition holds the rows of all positions until release is called.
func lockPosition(t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err == nil {
		_, err = tx.ExecContext(t.Context(), "SELECT * FROM stream_positions FOR UPDATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

// waiting returns the backend that waits for a lock, as soon as there is one.
func waiting(t *testing.T, db *sql.DB) (pid int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		err := db.QueryRowContext(t.Context(), "SELECT pid FROM pg_stat_activity "+
			"WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&pid)
		if err == nil {
			return pid
		}
		if !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
	}
	t.Fatal("nobody waits for a lock")
	return 0
}
