package postgres

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestPlanChangesNothing(t *testing.T) {
	t.Parallel()
	url := sinktest.SharedPostgres(t).CreateDatabase(t)
	db := plainSQL(t, url)
	all := []string{"00001_init.sql", "00002_outbox.sql", "00003_replay.sql", "00004_summary.sql",
		"00005_compression.sql"}
	for range 2 {
		if plan, err := Plan(t.Context(), url); err != nil || !slices.Equal(plan, all) {
			t.Fatalf("%v, %v", plan, err)
		}
		var tables int
		if err := db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
			t.Fatalf("%d tables, %v", tables, err)
		}
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if plan, err := Plan(t.Context(), url); err != nil || len(plan) != 0 {
		t.Errorf("still planned: %v, %v", plan, err)
	}
}

// A database of before chunks were compressed with lz4 keeps what it has, and compresses what comes.
func TestOlderSchemaIsMigratedWithItsEvents(t *testing.T) {
	t.Parallel()
	url := sinktest.SharedPostgres(t).CreateDatabase(t)
	db := plainSQL(t, url)
	older, err := goose.NewProvider(goose.DialectPostgres, db, migrations(), goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := older.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	var list []events.Event
	for i := range 100 {
		list = append(list, execution("r", fmt.Sprint(i)))
	}
	if err := w.Write(t.Context(), list[:50]...); err != nil {
		t.Fatal(err)
	}
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), list[50:]...); err != nil {
		t.Fatal(err)
	}
	var methods string
	err = db.QueryRowContext(t.Context(),
		"SELECT string_agg(pg_column_compression(events), ' ' ORDER BY version) FROM event_chunks").Scan(&methods)
	if err != nil || methods != "pglz lz4" {
		t.Errorf("compressed with %q, %v", methods, err)
	}
	if got, err := sinks.EventsOf(t.Context(), store, list[0].Key.UUID()); err != nil || !reflect.DeepEqual(got, list) {
		t.Errorf("read back %v, %v", got, err)
	}
}

func TestSetupsAtOnceAreOne(t *testing.T) {
	t.Parallel()
	server := sinktest.SharedPostgres(t)
	direct := server.CreateDatabase(t)
	pooled := sinktest.StartPgBouncer(t, server).Route(t, direct) + cacheDescribe.setting
	var all errgroup.Group
	for i := range 6 {
		url := []string{direct, pooled}[i%2]
		all.Go(func() error { return Migrate(t.Context(), url) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	var ledgers int
	err := plainSQL(t, direct).QueryRowContext(t.Context(), "SELECT count(*) FROM ledger").Scan(&ledgers)
	if err != nil || ledgers != 1 {
		t.Errorf("%d ledger ids, %v", ledgers, err)
	}
	if err := openStore(t, pooled).CheckSchema(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOldSchemaNamesTheCommand(t *testing.T) {
	t.Parallel()
	store := openStore(t, sinktest.SharedPostgres(t).CreateDatabase(t))
	err := store.CheckSchema(t.Context())
	wantError(t, err, sinks.ErrBlocked, "SELECT")
	if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "runmetrics setup") {
		t.Error(err)
	}
}

func TestSchemaOfALaterProgramIsLeftAlone(t *testing.T) {
	t.Parallel()
	url := sinktest.SharedPostgres(t).CreateDatabase(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	db := plainSQL(t, url)
	if _, err := db.ExecContext(t.Context(),
		"INSERT INTO runmetrics_migrations (version_id, is_applied) VALUES (999, true)"); err != nil {
		t.Fatal(err)
	}
	store := openStore(t, url)
	_, planned := Plan(t.Context(), url)
	_, identified := store.Identity(t.Context())
	for _, err := range []error{store.CheckSchema(t.Context()), Migrate(t.Context(), url), planned, identified} {
		wantError(t, err, sinks.ErrBlocked, "SELECT")
		if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "newer program") {
			t.Error(err)
		}
	}
}

func TestDatabaseInAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	server := sinktest.SharedPostgres(t)
	db := plainSQL(t, server.DSN("postgres"))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP DATABASE latin WITH (FORCE)") })
	err := Migrate(t.Context(), server.DSN("latin"))
	if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "UTF8") {
		t.Error(err)
	}
}
