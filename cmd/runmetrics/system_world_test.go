package main

import (
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; the driver "sqlite" comes with the store

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// world is what services run in: NATS in the test's process, so that it outlives them, and a database. Both are set up
// by the program.
type world struct {
	*system
	broker   *broker
	postgres *sinktest.PostgresServer // nil with SQLite
	environ  map[string]string        // of every program here
}

// onEachStore runs the test in a world with SQLite and in one with Postgres.
func (s *system) onEachStore(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, s.onSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, s.onPostgres(t))
	})
}

func (s *system) onSQLite(t *testing.T) *world {
	t.Helper()
	b, environ := testBroker(t)
	w := &world{system: s, broker: b, environ: environ}
	w.call(t, w.environ, "setup")
	return w
}

// onPostgres makes a world with a Postgres server of its own. Nobody pulls its plug, so it need not sync its writes.
func (s *system) onPostgres(t *testing.T, settings ...string) *world {
	t.Helper()
	server := sinktest.StartPostgres(t, append(settings, "fsync=off")...)
	b, environ := testBroker(t)
	w := &world{system: s, broker: b, postgres: server, environ: environ}
	w.environ["DATABASE_URL"] = server.CreateDatabase(t)
	w.call(t, w.environ, "setup")
	return w
}

// run starts the service.
func (w *world) run(t *testing.T) *program {
	t.Helper()
	return w.serve(t, w.environ, "run")
}

// publish starts to publish a load of n events, as fast as the rate says; 0 is as fast as it can be.
func (w *world) publish(t *testing.T, l load, n, rate int) *program {
	t.Helper()
	return w.start(t, w.environ, "publish", "--generate", strconv.Itoa(n), "--rate", strconv.Itoa(rate),
		"--seed", strconv.FormatUint(l.Seed, 10), "--runs", strconv.Itoa(l.Runs), "--agents", strconv.Itoa(l.Agents),
		"--duplicates", strconv.Itoa(l.Duplicates))
}

// openDatabase opens the database of an environment beside the services. With SQLite nobody may kill one meanwhile: who
// opens the file first after that mends it, and this is to be the service.
func openDatabase(t *testing.T, environ map[string]string) *sql.DB {
	t.Helper()
	driver, source := "pgx", environ["DATABASE_URL"]
	if source == "" {
		file := url.URL{Scheme: "file", Path: filepath.Join(environ["DATA_DIR"], "runmetrics.db"), RawQuery: "mode=ro"}
		driver, source = "sqlite", file.String()
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// standing is a row of stream_positions: how far a stream was read, and what became of everything up to there.
type standing struct {
	sequence, applied, duplicates, deadLetters, gone int64
}

// wantStanding fails the test unless one stream was read, in one epoch, to exactly there.
func (w *world) wantStanding(t *testing.T, want standing) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	var got standing
	var rows int
	err := db.QueryRowContext(t.Context(), `SELECT count(*), max(sequence), max(applied), max(duplicates), max(dead_letters), max(gone)
		FROM stream_positions`).Scan(&rows, &got.sequence, &got.applied, &got.duplicates, &got.deadLetters, &got.gone)
	if err != nil {
		t.Fatal(err)
	}
	if rows != 1 || got != want || got.sequence != got.applied+got.duplicates+got.deadLetters+got.gone {
		t.Errorf("%d rows in stream_positions, %+v, want 1, %+v", rows, got, want)
	}
}

// standingOf is where a stream stands after n events of the load and what it repeats of them.
func standingOf(l load, n int) standing {
	total := int64(l.Len(n))
	return standing{sequence: total, applied: int64(n), duplicates: total - int64(n)}
}

func (s standing) String() string {
	return fmt.Sprintf("%d = %d applied + %d duplicates + %d dead letters + %d gone", s.sequence, s.applied, s.duplicates, s.deadLetters, s.gone)
}
