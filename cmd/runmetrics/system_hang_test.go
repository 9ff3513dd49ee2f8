package main

import (
	"database/sql"
	"net/http"
	"testing"
	"time"
)

// testHang ends the service with SIGTERM while Postgres takes connections and answers nothing: what cannot be committed
// in time is left to the next start.
func testHang(t *testing.T, s *system) {
	w := s.onPostgres(t)
	p := w.run(t)
	const n, rate = 30_000, 2_000 // 15 s, where the drain takes at most 10
	const list = "/api/metrics/campaign?limit=5"
	total := uint64(systemLoad.Len(n))
	publisher := w.publish(t, systemLoad, n, rate)
	p.reaches(t, total/20, patience)

	release := w.lockTables(t)
	at := p.position(t)
	if a := p.get(t, list); a.status != http.StatusServiceUnavailable || a.took > 2*time.Second {
		t.Errorf("GET says %d after %s: %s", a.status, a.took, a.body)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := p.ask(list)
		asked <- err
	}()
	w.waitsForLock(t, "SELECT")
	took := p.terminate(t)
	if err := <-asked; err != nil {
		t.Errorf("GET under way at SIGTERM got no answer: %v", err)
	}
	release()
	t.Logf("SIGTERM behind %d of %d, with a database that hangs: ended in %s", at, total, took.Round(time.Millisecond))

	p = w.run(t)
	publisher.want(t, exitOK, patience)
	p.reaches(t, total, patience)
	p.wantOracle(t, systemLoad, n)
	p.terminate(t)
	w.wantStanding(t, standingOf(systemLoad, n))
}

// lockTables makes every statement on the main tables wait until release is called.
func (w *world) lockTables(t *testing.T) (release func()) {
	t.Helper()
	db := openDatabase(t, w.environ)
	t.Cleanup(func() { db.Close() })
	lock, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE stream_positions, campaign_metrics"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := lock.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// waitsForLock returns when a statement that begins so waits for a lock.
func (w *world) waitsForLock(t *testing.T, beginning string) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	until(t, patience, beginning+" waits", func() bool { return waits(t, db, beginning) })
}

// waits tells whether a statement that begins so waits for a lock.
func waits(t *testing.T, db *sql.DB, beginning string) bool {
	t.Helper()
	var n int
	err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_activity
		WHERE wait_event_type = 'Lock' AND query LIKE '%'||$1||'%campaign_metrics%'`, beginning).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
