package main

import (
	"cmp"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
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

// share spreads the events over n streams as setup says, which are empty.
func (w *world) share(t *testing.T, n int) {
	t.Helper()
	if err := w.broker.server.GlobalAccount().AddMapping(mapping(n)); err != nil {
		t.Fatal(err)
	}
	said := w.call(t, w.environ, "setup", "--streams", strconv.Itoa(n)).stdout.String()
	streams := printedStreams.FindStringSubmatch(said)
	if streams == nil || strings.Count(streams[1], ",") != n-1 {
		t.Fatalf("setup says %s", said)
	}
	w.environ["STREAMS"] = streams[1]
}

// streams are the names of STREAMS, with commas between them.
func (w *world) streams() string { return cmp.Or(w.environ["STREAMS"], "RUN_EVENTS") }

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
func openDatabase(t testing.TB, environ map[string]string) *sql.DB {
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

// standing is how far streams were read, and what became of everything up to there, as stream_positions has it.
type standing struct {
	sequence, applied, duplicates, deadLetters, gone int64
}

// stands is how far all streams were read, taken together.
func (w *world) stands(t *testing.T, db *sql.DB) (streams int, sum standing) {
	t.Helper()
	err := db.QueryRowContext(t.Context(), `SELECT count(*), CAST(coalesce(sum(sequence), 0) AS bigint),
		CAST(coalesce(sum(applied), 0) AS bigint), CAST(coalesce(sum(duplicates), 0) AS bigint),
		CAST(coalesce(sum(dead_letters), 0) AS bigint), CAST(coalesce(sum(gone), 0) AS bigint) FROM stream_positions`).
		Scan(&streams, &sum.sequence, &sum.applied, &sum.duplicates, &sum.deadLetters, &sum.gone)
	if err != nil {
		t.Fatal(err)
	}
	return streams, sum
}

// wantStanding fails the test unless all streams were read, each in one epoch, to exactly there taken together.
func (w *world) wantStanding(t *testing.T, want standing) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	rows, got := w.stands(t, db)
	streams := 1 + strings.Count(w.streams(), ",")
	if rows != streams || got != want || got.sequence != got.applied+got.duplicates+got.deadLetters+got.gone {
		t.Errorf("%d rows in stream_positions, together %+v, want %d, %+v", rows, got, streams, want)
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
