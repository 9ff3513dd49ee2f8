package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func openStore(t *testing.T, url string) *Store {
	t.Helper()
	store, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestSQLStateDecidesWhatAnErrorMeans(t *testing.T) {
	meanings := map[error][]string{
		sinks.ErrUnavailable: {"08000", "08003", "08006", "08P01", "25006", "40001", "40P01", "53000", "53100", "53300",
			"55P03", "57014", "57P01", "57P02", "57P03", "58030", "XX000"},
		sinks.ErrBlocked: {"28000", "28P01", "3D000", "3F000", "42P01", "42703", "42883", "42501", "0A000", "26000",
			"42P05", "P0001", "99999"},
		sinks.ErrRefused:       {"22001", "22003", "22021", "22P05", "23502", "23514"},
		sinks.ErrPositionMoved: {"RM001", "23505"},
	}
	for meaning, codes := range meanings {
		for _, code := range codes {
			err := failed("commit batch", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "words"}))
			for other := range meanings {
				if errors.Is(err, other) != (other == meaning) {
					t.Errorf("%s: %v", code, err)
				}
			}
			if errors.Is(err, sinks.ErrSchema) != (code == "42P01" || code == "42703" || code == "42883") {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
}

func TestWrongPasswordBlocks(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db := plainSQL(t, url)
	role := sinktest.PasswordRole
	if _, err := db.ExecContext(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD '"+role+"'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP ROLE " + role) })

	_, err := openStore(t, asRole(url, role+":hunter2")).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "hunter2")
	// With the password it still has no right to read.
	_, err = openStore(t, asRole(url, role+":"+role)).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "SELECT")
}

func asRole(url, user string) string { return strings.Replace(url, "postgres@", user+"@", 1) }

func TestMissingDatabaseBlocks(t *testing.T) {
	t.Parallel()
	_, err := openStore(t, sinktest.SharedPostgres(t).DSN("nowhere")).Identity(t.Context())
	wantError(t, err, sinks.ErrBlocked, "")
}

func TestMissingSchemaNamesTheCommand(t *testing.T) {
	t.Parallel()
	store := openStore(t, sinktest.SharedPostgres(t).CreateDatabase(t))
	_, err := store.Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "SELECT")
	if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "runmetrics setup") {
		t.Error(err)
	}
	w := &sinktest.Writer{Store: store, Position: sinks.Position{Stream: "RUN_EVENTS"}}
	wantError(t, w.Commit(t.Context(), &sinks.Batch{Next: sinks.Position{Stream: "RUN_EVENTS", Epoch: 1}}), sinks.ErrBlocked, "")
}

func TestReadOnlyServerIsAway(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	w := sinktest.NewWriter(t, openStore(t, url+"&default_transaction_read_only=on"), "RUN_EVENTS")
	wantError(t, w.Commit(t.Context(), w.Fold(execution("r", "1"))), sinks.ErrUnavailable, "")
}

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
	if _, err := store.Position(late, "RUN_EVENTS"); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sinks.ErrUnavailable) {
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

func TestPoolerThatTakesNoParametersBlocks(t *testing.T) {
	t.Parallel()
	bouncer := sinktest.StartPgBouncer(t, sinktest.SharedPostgres(t))
	url := bouncer.Route(t, migrated(t)) + "&statement_timeout=5000"
	_, err := openStore(t, url).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "")
	if !strings.Contains(err.Error(), "ALTER ROLE") {
		t.Error(err)
	}
}

// A value of the wrong kind is refused, whichever side finds it, and stores nothing.
func TestUnfitValuesAreRefused(t *testing.T) {
	for _, mode := range []mode{cacheStatement, cacheDescribe, exec, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			db := plainSQL(t, url)
			w := sinktest.NewWriter(t, openStore(t, url+mode.setting), "RUN_EVENTS")
			for name, spoil := range map[string]func(m *aggregate.Metrics){
				"invalid text": func(m *aggregate.Metrics) { m.RunID = "a\xffb" },
				"too much":     func(m *aggregate.Metrics) { m.CostUSD = dollars(t, "100000000000000000000000000000") },
				"unknown":      func(m *aggregate.Metrics) { m.Status = "odd" },
			} {
				batch := w.Fold(execution("r", "1"))
				spoil(&batch.Runs[0].Metrics)
				if err := w.Commit(t.Context(), batch); !errors.Is(err, sinks.ErrRefused) {
					t.Errorf("%s: %v", name, err)
				}
				if err := w.Reload(t.Context()); err != nil || w.Position.Epoch != 0 {
					t.Errorf("%s: position %+v, %v", name, w.Position, err)
				}
			}
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM campaign_metrics").Scan(&n); err != nil || n != 0 {
				t.Errorf("%d runs, %v", n, err)
			}
		})
	}
}

func TestNamesThatNobodyHasMatchNothing(t *testing.T) {
	for _, mode := range []mode{cacheStatement, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, migrated(t)+mode.setting)
			if err := sinktest.NewWriter(t, store, "RUN_EVENTS").Write(t.Context(), execution("r", "1")); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a\x00b", "a\xffb"} {
				if list, err := store.List(t.Context(), sinks.Filter{CampaignID: name}, nil, 10); err != nil || len(list) > 0 {
					t.Errorf("List(%q): %v, %v", name, list, err)
				}
				if list, err := store.Phases(t.Context(), "spring", name); err != nil || len(list) > 0 {
					t.Errorf("Phases(%q): %v, %v", name, list, err)
				}
				if n, err := store.CountDeadLetters(t.Context(), name, "r"); err != nil || n > 0 {
					t.Errorf("CountDeadLetters(%q): %v, %v", name, n, err)
				}
			}
			if list, err := store.Phases(t.Context(), "", ""); err != nil || len(list) > 0 {
				t.Errorf("no name: %v, %v", list, err)
			}
		})
	}
}

func TestLargestNumbersComeBack(t *testing.T) {
	for _, mode := range []mode{cacheStatement, exec} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, migrated(t)+mode.setting)
			w := sinktest.NewWriter(t, store, "RUN_EVENTS")
			batch := w.Fold(execution("r", "1"))
			m := &batch.Runs[0].Metrics
			m.CostUSD = dollars(t, "99999999999999999999999999999.999999999") // numeric(38,9) has no more
			m.TokensIn, m.LatencyMaxMs = math.MaxInt64, new(int64(math.MaxInt64))
			m.SuccessRate = new(aggregate.Percent(10_000))
			if err := w.Commit(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			got, found, err := store.Get(t.Context(), m.RunKey)
			if err != nil || !found || !reflect.DeepEqual(got, *m) {
				t.Errorf("%+v, %v, want %+v", got, err, *m)
			}
		})
	}
}

// wantError also looks for what must not be in the text.
func wantError(t *testing.T, err, want error, secret string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	} else if text := err.Error(); secret != "" && strings.Contains(text, secret) || strings.Contains(text, "\n") {
		t.Errorf("%q says too much", text)
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

func dollars(t *testing.T, s string) aggregate.Money {
	t.Helper()
	m, err := aggregate.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
