// Package postgres keeps the promise of package sinks in a Postgres database such as Neon, directly or through a pooler.
//
// # One round trip
//
// A commit is a pipeline of statements that the server takes as one transaction; its guards are functions of the schema
// that fail with SQLSTATEs of their own, and primary keys. On a connection that has sent such statements before it takes
// exactly one round trip, through a pooler too (TestCommitIsOneRoundTrip). The first use of a statement on a connection
// costs one more, to prepare or describe it. So does a refused commit, two on a direct connection, because the driver then
// forgets its statements; and one more where a run that was taken for new is there, to ask which others are. Nothing is
// sent while nothing is asked for: a database that sleeps when idle is left to sleep.
//
// # Chunks
//
// The events that one commit applies to one run are one row, a JSON array that views take apart again. Measured with
// Postgres 15 on two cores, 1,000,000 executions, ten of each run, commits of 10,000:
//
//	                      executions/s       server CPU   log     table and index
//	a row for each        67,000-101,000     8 µs         440 B   280 B
//	chunks, text          227,000-280,000    3 µs         226 B   164 B
//	chunks, json          214,000-232,000
//	chunks, jsonb         141,000-153,000
//	chunks, bytea         272,000-296,000                                 (no SQL can read them)
//
// Reading all of them back in SQL takes 0.09 s from rows and 1.1 s from chunks of text. The whole commit is measured by
//
//	go test -run '^$' -bench Commit ./sinks/postgres
//
// Of the processors' time an execution took 1.2 µs in this process, most of it to write the chunk, and 2.3 µs in the
// server, 1.0 µs of them for the five indexes of listings: in commits of 1,000 new runs, while others used both cores. 580
// bytes were allocated for each. A commit of a single one takes 0.6 ms, 1.1-2.0 ms where each statement is parsed anew for
// the sake of a pooler.
//
// Chunks stand in the order of their runs' numbers, which count up. Only the index of run keys, which are hashes, takes a new run
// at a random place: with ten million runs stored that costs 1 µs an execution more than with ten thousand, see docs/performance.md.
//
// # Outbox
//
// Claim and Settle are one round trip each, too. A claim takes what no commit has locked and waits for none. While a
// run waits, what commits write to its mark touches no index: of 1,000 runs marked 40 times 93 % of the updates
// stayed in their page. A mark takes 350 bytes and 6 µs of the server's processor time in commits of 1,000 new runs. 100 of
// 500,000 runs that waited were claimed in 5-15 ms and settled in 3-12 ms, with and without statistics of the tables.
//
// # Values
//
// Money is numeric, written and read as decimal text, never a float. Names that the database cannot keep are ErrRefused,
// except in dead letters, whose texts may be any bytes and are made valid.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Config says which database to use and what to keep in it.
type Config struct {
	// URL is postgres://user:password@host:port/database?sslmode=verify-full, or the same as keywords and values. The
	// settings of pgxpool (pool_max_conns) and pgx (default_query_exec_mode) may stand in it.
	URL string
	// DeadLetterLimit is how many dead letters of a stream and reason have a row; beyond it they are only counted.
	// 0 is DefaultDeadLetterLimit.
	DeadLetterLimit int
	// Marks makes commits write outbox marks.
	Marks bool
}

// DefaultDeadLetterLimit keeps a bad deploy from filling a small database.
const DefaultDeadLetterLimit = 100_000

// Store is a sinks.Store in a Postgres database.
type Store struct {
	pool            *pgxpool.Pool
	host, database  string
	deadLetterLimit int
	marks           bool
	full            fullReasons

	closing context.Context // ends when Close is called
	close   context.CancelFunc
}

var _ sinks.Store = (*Store)(nil)

// Open makes a store without connecting: a database that is away is not an error here, a URL that cannot be read is
// ErrBlocked. The schema must be there; CheckSchema tells.
func Open(ctx context.Context, c Config) (*Store, error) {
	config, err := parseConfig(c.URL)
	if err != nil {
		return nil, err
	}
	return open(ctx, c, config)
}

func open(ctx context.Context, c Config, config *pgxpool.Config) (*Store, error) {
	s := &Store{
		host:            directHost(config.ConnConfig),
		database:        config.ConnConfig.Database,
		deadLetterLimit: c.DeadLetterLimit,
		marks:           c.Marks,
	}
	if s.deadLetterLimit == 0 {
		s.deadLetterLimit = DefaultDeadLetterLimit
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.leaveReadOnly(config.ConnConfig)
	var err error
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, failed("open database", err)
	}
	return s, nil
}

// leaveReadOnly gives up all connections where one of them proves to be read-only: its session may stay so when the
// server takes writes again, and after a fail-over the name may lead to another server.
func (s *Store) leaveReadOnly(c *pgx.ConnConfig) {
	usable := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, answer *pgconn.PgError) bool {
		if answer.Code == readOnly {
			s.pool.Reset()
			return false
		}
		return usable(conn, answer)
	}
}

// Bounds of the pool. A database such as Neon's sleeps after five minutes without a statement: nothing here sends one by
// itself, and connections are given back long before, because they do not survive the sleep.
const (
	maxConns       = 6
	maxConnIdle    = 90 * time.Second
	maxConnLife    = 30 * time.Minute
	lifeJitter     = 5 * time.Minute
	healthCheck    = 30 * time.Second // looks at ages only
	pingTimeout    = 5 * time.Second
	connectTimeout = 15 * time.Second // a cold start and the queue before it

	// A connection that was idle for longer is asked whether it lives before a call depends on it. That is one more
	// round trip, so commits ask later: their caller deals with a lost connection anyway, a reader's would have to.
	pingBeforeRead   = time.Second
	pingBeforeCommit = 30 * time.Second
)

// committing marks the context of a commit.
type committing struct{}

func shouldPing(ctx context.Context, p pgxpool.ShouldPingParams) bool {
	if ctx.Value(committing{}) != nil {
		return p.IdleDuration > pingBeforeCommit
	}
	return p.IdleDuration > pingBeforeRead
}

// parseConfig reads the URL. The error does not quote it: a malformed URL hides where its password is.
func parseConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w: %s", sinks.ErrBlocked, urlFault(err))
	}
	said, err := pgconn.ParseConfig(url) // leaves the settings of pgx and of the pool where they can be seen
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w: %s", sinks.ErrBlocked, urlFault(err))
	}
	tune(config, func(setting string) bool { _, ok := said.RuntimeParams[setting]; return ok })
	return config, nil
}

// urlFault says what is wrong in the driver's words where they are about a setting, else how a URL looks.
func urlFault(err error) string {
	const form = "it must look like postgres://user:password@host/database?sslmode=verify-full, " +
		"with special characters of the password written %XX"
	var fault *pgconn.ParseConfigError
	if !errors.As(err, &fault) {
		return form
	}
	text := fault.Error() // cannot parse `URL`: what (why)
	what := text[strings.LastIndex(text, "`: ")+len("`: "):]
	if strings.HasPrefix(what, "failed to parse") {
		return form // and why may quote what it stumbled over
	}
	return what
}

// tune sets what the URL does not say.
func tune(config *pgxpool.Config, said func(setting string) bool) {
	if !said("pool_max_conns") {
		config.MaxConns = maxConns
	}
	if !said("pool_max_conn_idle_time") {
		config.MaxConnIdleTime = maxConnIdle
	}
	if !said("pool_max_conn_lifetime") {
		config.MaxConnLifetime, config.MaxConnLifetimeJitter = maxConnLife, lifeJitter
	}
	config.HealthCheckPeriod, config.PingTimeout = healthCheck, pingTimeout
	config.ShouldPing = shouldPing

	c := config.ConnConfig
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	if !said("application_name") {
		c.RuntimeParams["application_name"] = "runmetrics"
	}
	// A pooler in transaction mode shares server connections among clients: what one has prepared is not there for the
	// other. Only descriptions may be kept, which are ours.
	if !said("default_query_exec_mode") && strings.Contains(c.Host, poolerMark) {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
}

// poolerMark is what Neon puts into the name of a host that pools connections.
const poolerMark = "-pooler."

// directHost is the host without the pooler, with its port: both ways lead to one database.
func directHost(c *pgx.ConnConfig) string {
	host := strings.Replace(c.Host, poolerMark, ".", 1)
	return net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
}

// Identity names the database by where it is and by the id in its ledger table. It looks at the schema, too: one that is
// not this program's is the error of CheckSchema, which its caller may not have been able to ask.
func (s *Store) Identity(ctx context.Context) (sinks.Identity, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var (
		ledger  uuid.UUID
		applied sql.NullInt64
	)
	if err := s.pool.QueryRow(ctx, "SELECT id, ("+appliedVersion+") FROM ledger").Scan(&ledger, &applied); err != nil {
		return sinks.Identity{}, failed("read ledger id", err)
	}
	if err := checkVersion(applied.Int64); err != nil {
		return sinks.Identity{}, err
	}
	return sinks.Identity{Host: s.host, Database: s.database, Ledger: ledger}, nil
}

// Close releases the connections. Calls under way end at once.
func (s *Store) Close() error {
	s.close()
	s.pool.Close()
	return nil
}

// alive returns a context that also ends when the store is closed: the pool waits for calls under way.
func (s *Store) alive(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() { stop(); cancel() }
}
