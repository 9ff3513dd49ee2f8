package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testCopy starts a copy of the production database beside production, on the same NATS. It is refused and does no harm;
// as a deployment of its own it is welcome.
func testCopy(t *testing.T, s *system) {
	s.onEachStore(t, func(t *testing.T, w *world) {
		l := load{Seed: 4, Runs: 5, Agents: 40, Duplicates: 2}
		const before, after, both = 1_000, 1_001, 3_000
		w.publish(t, l, before, 0).want(t, exitOK, patience)
		production := w.run(t)
		production.reaches(t, uint64(l.Len(before)), patience)
		environ, names := w.copyDatabase(t, production)
		if w.postgres != nil { // it was away to be copied
			production = w.run(t)
		}

		intruder := w.start(t, environ, "run")
		intruder.want(t, exitFailure, patience)
		for _, part := range append(names, "DEPLOYMENT", "setup --adopt") {
			if !strings.Contains(intruder.stderr.String(), part) {
				t.Errorf("the copy does not say %q: %s", part, intruder.stderr.String())
			}
		}
		until(t, patience, "production is active", func() bool { return production.ready(t).State == "active" })
		began := time.Now()
		w.publish(t, l, after, 0).want(t, exitOK, patience) // the stream has all but the last
		published := time.Now()
		production.reaches(t, uint64(l.Len(after)), patience)
		if took := time.Since(published); took > 5*time.Second { // the life of a pin that the intruder took would be ten
			t.Errorf("production's next event took %s", took)
		}
		t.Logf("refused: %s", lastLine(intruder.stderr.String()))
		t.Logf("production's next event was committed %s after it was published, which took %s",
			time.Since(published).Round(time.Millisecond), published.Sub(began).Round(time.Millisecond))

		environ["DEPLOYMENT"] = "staging"
		staging := w.serve(t, environ, "run")
		w.publish(t, l, both, 0).want(t, exitOK, patience)
		for _, p := range []*program{production, staging} {
			p.reaches(t, uint64(l.Len(both)), patience)
			p.wantOracle(t, l, both)
		}
		t.Logf("production and staging both have the oracle's records of %d events", both)
	})
}

// copyDatabase copies production's database as an operator would. It returns the environment of a service on the copy and
// the names of both databases. Postgres copies only what nobody uses, so production is stopped for it.
func (w *world) copyDatabase(t *testing.T, production *program) (map[string]string, []string) {
	t.Helper()
	if w.postgres == nil {
		dir := t.TempDir()
		w.execute(t, w.environ, "VACUUM INTO '"+filepath.Join(dir, "runmetrics.db")+"'")
		return with(w.environ, map[string]string{"DATA_DIR": dir}),
			[]string{filepath.Join(w.environ["DATA_DIR"], "runmetrics.db"), filepath.Join(dir, "runmetrics.db")}
	}
	production.terminate(t)
	name := filepath.Base(strings.TrimSuffix(w.environ["DATABASE_URL"], "?sslmode=disable"))
	w.execute(t, map[string]string{"DATABASE_URL": w.postgres.DSN("postgres")}, "CREATE DATABASE staging TEMPLATE "+name)
	return with(w.environ, map[string]string{"DATABASE_URL": w.postgres.DSN("staging")}), []string{"/" + name + "#", "/staging#"}
}

// execute sends one statement to the database of an environment.
func (w *world) execute(t *testing.T, environ map[string]string, statement string) {
	t.Helper()
	db := openDatabase(t, environ)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
