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
		"00005_compression.sql", "00006_numbers.sql"}
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

// A database of before runs had numbers keeps all it has, also the events of a run whose row somebody deleted.
func TestOlderSchemaIsMigratedWithItsEvents(t *testing.T) {
	t.Parallel()
	var list []events.Event
	for i := range 100 {
		for _, run := range []string{"r", "deleted"} {
			list = append(list, execution(run, fmt.Sprint(i)))
		}
	}
	url := olderDatabase(t, 4, list[:100])
	db := plainSQL(t, url)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM campaign_metrics WHERE run_id = 'deleted'; CREATE ROLE analyst;
GRANT SELECT ON agent_runs TO analyst; CREATE ROLE writer; GRANT INSERT ON campaign_metrics, event_chunks TO writer`); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP OWNED BY analyst, writer; DROP ROLE analyst, writer") })
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	var rights bool
	if err := db.QueryRowContext(t.Context(), `SELECT has_table_privilege('analyst', 'agent_runs', 'SELECT') AND
has_table_privilege('writer', 'event_chunks', 'INSERT') AND has_table_privilege('writer', 'run_numbers', 'UPDATE')`).Scan(&rights); err != nil || !rights {
		t.Errorf("rights were kept: %t, %v", rights, err)
	}
	store := openStore(t, url)
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), list[100:]...); err != nil {
		t.Fatal(err)
	}
	for first, run := range []string{"r", "deleted"} {
		var want []events.Event
		for i := first; i < len(list); i += 2 {
			want = append(want, list[i])
		}
		if got, err := sinks.EventsOf(t.Context(), store, want[0].Key.UUID()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read back of %s: %v, %v", run, got, err)
		}
	}
	var methods string
	if err := db.QueryRowContext(t.Context(), "SELECT string_agg(DISTINCT pg_column_compression(events), ' ') FROM event_chunks").
		Scan(&methods); err != nil || methods != "lz4" && methods != "lz4 pglz" {
		t.Errorf("compressed with %q, %v", methods, err)
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM agent_runs").Scan(&rows); err != nil || rows != len(list) {
		t.Errorf("%d rows of agent_runs, %v", rows, err)
	}
}

// olderDatabase has a schema of an older version with events in it. What the store writes today is brought into the form that
// it had then: the chunks of a run stood by its key.
func olderDatabase(t *testing.T, version int64, list []events.Event) (url string) {
	t.Helper()
	today := migrated(t)
	if err := sinktest.NewWriter(t, openStore(t, today), "RUN_EVENTS").Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	from, url := plainSQL(t, today), sinktest.SharedPostgres(t).CreateDatabase(t)
	into := plainSQL(t, url)
	older, err := goose.NewProvider(goose.DialectPostgres, into, migrations(), goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := older.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	for table, rows := range map[string]string{
		"stream_positions": "SELECT * FROM stream_positions",
		"campaign_metrics": "SELECT * FROM campaign_metrics",
		"event_chunks":     "SELECT m.run_key, c.version, c.events, c.latencies FROM event_chunks c JOIN campaign_metrics m USING (number)",
	} {
		var stored string
		if err := from.QueryRowContext(t.Context(), "SELECT json_agg(r) FROM ("+rows+") r").Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if _, err := into.ExecContext(t.Context(),
			fmt.Sprintf("INSERT INTO %s SELECT * FROM json_populate_recordset(NULL::%[1]s, $1)", table), stored); err != nil {
			t.Fatal(err)
		}
	}
	return url
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
