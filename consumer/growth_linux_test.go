package consumer_test

import (
	"crypto/md5"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; the driver "sqlite" comes with the store

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// The benchmarks of growth are run by `make growth`: of runs stored and under way, of executions in a run, of messages in the
// stream, of bytes. Each compares sizes by turns, round by round, because other programs use the machine too, and each
// fails where the store does not hold in the end what was to be written.

// growingTo are sizes from the first one on, each so many times the one before, and the last one.
func growingTo(first, times, last int) []int {
	var sizes []int
	for n := first; n < last; n *= times {
		sizes = append(sizes, n)
	}
	return append(sizes, last)
}

// growthExecution is an execution of agent n of a run as runtimes report it: 10 of them are stored in 1,700 bytes.
func growthExecution(key events.Key, id string, n int) events.Event {
	e := events.Event{Key: key, ID: id, Type: events.AgentFinished,
		OccurredAt: time.Date(2026, 4, 1, 0, 0, 0, n%1000*1_000_000, time.UTC),
		AgentID:    fmt.Sprintf("agent-%05d", n), AgentName: "Copywriter", Model: "atlas-large", Attempt: 1, Status: events.Succeeded,
		LatencyMs: int64(900 + n*7919%9_000), TokensIn: int64(2_000 + n%1_999), TokensOut: int64(600 + n%601),
		AssetsGenerated: int64(n % 4), Cost: events.USD(events.Nanos(17_250_000 + n*2_500))}
	if n%8 == 7 {
		e.Status, e.AssetsGenerated, e.Error = events.Failed, 0, "tool call timed out after 30 s"
	}
	return e
}

// growthID is an event's id as runtimes make it, the same for the same numbers.
func growthID(series, n int) string {
	return uuid.UUID(md5.Sum(fmt.Append(nil, series, "-", n))).String()
}

// grownDatabase is an empty database of a store that can be opened, closed and opened again, and looked into.
type grownDatabase struct {
	name   string
	server *sinktest.PostgresServer // nil for SQLite
	dsn    string                   // the path for SQLite
	marks  bool
}

func newPostgresDatabase(b *testing.B, server *sinktest.PostgresServer, marks bool) grownDatabase {
	b.Helper()
	dsn := server.CreateDatabase(b)
	if err := postgres.Migrate(b.Context(), dsn); err != nil {
		b.Fatal(err)
	}
	return grownDatabase{"Postgres", server, dsn, marks}
}

func newSQLiteDatabase(b *testing.B, marks bool) grownDatabase {
	b.Helper()
	return grownDatabase{"SQLite", nil, filepath.Join(b.TempDir(), "growth.db"), marks}
}

func (d grownDatabase) open(b *testing.B) sinks.Store {
	b.Helper()
	var (
		store sinks.Store
		err   error
	)
	if d.server != nil {
		store, err = postgres.Open(b.Context(), postgres.Config{URL: d.dsn, Marks: d.marks})
	} else {
		store, err = sqlite.Open(b.Context(), sqlite.Config{Path: d.dsn, Marks: d.marks})
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// sql connects to the database beside its store. Options are SQLite's.
func (d grownDatabase) sql(b *testing.B, options string) *sql.DB {
	b.Helper()
	driver, dsn := "pgx", d.dsn
	if d.server == nil {
		driver, dsn = "sqlite", "file:"+d.dsn+options
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1) // so settings of a session hold
	b.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(b *testing.B, db *sql.DB, statement string, args ...any) {
	b.Helper()
	if _, err := db.ExecContext(b.Context(), statement, args...); err != nil {
		b.Fatalf("%.200s: %v", statement, err)
	}
}

func number(b *testing.B, db *sql.DB, query string, args ...any) (n int64) {
	b.Helper()
	if err := db.QueryRowContext(b.Context(), query, args...).Scan(&n); err != nil {
		b.Fatalf("%.200s: %v", query, err)
	}
	return n
}

// cost is what a stretch of work took.
type cost struct {
	events  int
	wall    time.Duration
	process time.Duration // processor time of this process, in which are pipeline, broker, driver and SQLite
	server  time.Duration // processor time of Postgres
	log     int64         // bytes of the log of Postgres
}

// plus adds up two stretches.
func (c cost) plus(o cost) cost {
	return cost{c.events + o.events, c.wall + o.wall, c.process + o.process, c.server + o.server, c.log + o.log}
}

// each is a time per event in microseconds.
func (c cost) each(t time.Duration) float64 { return t.Seconds() * 1e6 / float64(c.events) }

// meter measures what work with a database takes.
type meter struct {
	server *sinktest.PostgresServer // nil for SQLite
	db     *sql.DB
}

// measure does a stretch of work, of which only what is given to timed counts; all that the server does counts.
func (m meter) measure(b *testing.B, n int, work func(timed func(func() error))) cost {
	b.Helper()
	server, log := m.serverTime(b), m.logged(b)
	c := cost{events: n}
	work(func(step func() error) {
		began, used := time.Now(), sinktest.OwnTime(b)
		if err := step(); err != nil {
			b.Fatal(err)
		}
		c.wall, c.process = c.wall+time.Since(began), c.process+sinktest.OwnTime(b)-used
	})
	c.server, c.log = m.serverTime(b)-server, m.logged(b)-log
	return c
}

func (m meter) serverTime(b *testing.B) time.Duration {
	if m.server == nil {
		return 0
	}
	return m.server.ProcessorTime(b)
}

func (m meter) logged(b *testing.B) int64 {
	if m.server == nil {
		return 0
	}
	return number(b, m.db, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
}

// spread is a median with the least and the greatest value.
type spread struct{ median, least, most float64 }

func spreadOf[T any](list []T, value func(T) float64) spread {
	values := make([]float64, len(list))
	for i, v := range list {
		values[i] = value(v)
	}
	slices.Sort(values)
	return spread{values[len(values)/2], values[0], values[len(values)-1]}
}

func (s spread) String() string {
	if s.least >= 1000 {
		return fmt.Sprintf("%.0f (%.0f-%.0f)", s.median, s.least, s.most)
	}
	return fmt.Sprintf("%.1f (%.1f-%.1f)", s.median, s.least, s.most)
}
