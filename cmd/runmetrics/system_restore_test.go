package main

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A load that goes on for six seconds.
const (
	restoreEvents = 48_000
	restoreRate   = 8_000
)

// testRestore puts databases back to a backup as operators do: the file of a service that ended in any way, and a Postgres
// database under a service that goes on. Every record ends as if that had not happened.
func testRestore(t *testing.T, s *system) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		restoreSQLite(t, s.onSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		restorePostgres(t, s.onPostgres(t))
	})
}

func restoreSQLite(t *testing.T, w *world) {
	file := filepath.Join(w.environ["DATA_DIR"], "runmetrics.db")
	backup := filepath.Join(t.TempDir(), "backup.db")
	p := w.run(t)
	publisher := w.publish(t, systemLoad, restoreEvents, restoreRate)
	total := uint64(systemLoad.Len(restoreEvents))
	p.reaches(t, total/3, patience)
	p.terminate(t)
	copyFile(t, file, backup)
	p = w.run(t)
	publisher.want(t, exitOK, patience)
	p.reaches(t, total, patience)
	p.kill(t) // its log stays and belongs to no backup
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	copyFile(t, backup, file)
	p = w.healed(t, total, "after kill -9")

	// Against the advice: under a service that goes on. It says what to do.
	if err := os.Rename(backup, file); err != nil {
		t.Fatal(err)
	}
	more := load{Seed: 1, Runs: 1, Agents: 1}
	w.publish(t, more, more.perRun(), 0).want(t, exitOK, patience)
	until(t, patience, "the service is blocked", func() bool {
		r := p.ready(t)
		return r.State == "blocked" && strings.Contains(strings.Join(r.Reasons, " "), "was replaced")
	})
	t.Logf("blocked: %q", p.ready(t).Reasons)
	p.terminate(t)
	w.healed(t, total+uint64(more.perRun()), "after a replaced file").terminate(t)
	want := standingOf(systemLoad, restoreEvents)
	want.sequence += int64(more.perRun())
	want.applied += int64(more.perRun())
	w.wantStanding(t, want)
}

// healed starts the service, which must catch up with a quiet stream by itself and say so.
func (w *world) healed(t *testing.T, total uint64, after string) *program {
	t.Helper()
	began := time.Now()
	p := w.run(t)
	p.reaches(t, total, patience)
	t.Logf("%s: started and read everything again within %s", after, time.Since(began).Round(time.Millisecond))
	if reasons := strings.Join(p.ready(t).Reasons, " "); !strings.Contains(reasons, "earlier state") {
		t.Errorf("/readyz does not say that the database is an earlier one: %q", reasons)
	}
	p.wantOracle(t, systemLoad, restoreEvents)
	return p
}

func restorePostgres(t *testing.T, w *world) {
	live, backup := nameOf(t, w.environ["DATABASE_URL"]), "backup"
	admin, err := sql.Open("pgx", w.postgres.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	do := func(statements ...string) {
		t.Helper()
		// Nobody may be connected to a database that is copied or dropped.
		keepAway := []string{"ALTER DATABASE " + live + " ALLOW_CONNECTIONS false",
			"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '" + live + "'"}
		for _, statement := range append(keepAway, statements...) {
			if _, err := admin.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	p := w.run(t)
	publisher := w.publish(t, systemLoad, restoreEvents, restoreRate)
	total := uint64(systemLoad.Len(restoreEvents))
	p.reaches(t, total/4, patience)
	do(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", backup, live), "ALTER DATABASE "+live+" ALLOW_CONNECTIONS true")
	p.reaches(t, total/2, patience)
	before := p.position(t)
	do("DROP DATABASE "+live, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", backup, live))
	began := time.Now()
	if publisher.over() {
		t.Fatal("the load was over before the database was put back")
	}
	until(t, patience, "the service is active again", func() bool { return p.ready(t).State == "active" })
	active := time.Since(began)
	publisher.want(t, exitOK, patience)
	p.reaches(t, total, patience)
	t.Logf("put back from %d on to about %d of %d: active after %s, %q", before, total/4, total, active.Round(time.Millisecond),
		p.ready(t).Reasons)
	p.wantOracle(t, systemLoad, restoreEvents)
	p.terminate(t)
	w.wantStanding(t, standingOf(systemLoad, restoreEvents))
}

// nameOf is the database that a URL names.
func nameOf(t *testing.T, source string) string {
	t.Helper()
	u, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
