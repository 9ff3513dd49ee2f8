package consumer_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"; the driver "sqlite" comes with the store
	driver "modernc.org/sqlite"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// stored are the tables that hold anything of ours. A restore writes them in this order, which is the order of a commit.
var stored = []string{"stream_positions", "campaign_metrics", "event_chunks", "voided_events", "dead_letters",
	"dead_letter_counts", "deleted_runs", "ledger"}

// database is a store together with the way of an operator, past it.
type database struct {
	sinks.Store
	plain   *sql.DB
	dialect sinktest.Dialect
	saved   []string // the places of the backups
	name    string   // of the Postgres database, or the path of the file
	admin   *sql.DB  // another database of the Postgres server
}

// kinds are the stores that keep the promise, each with how a database of it is made. -short leaves out Postgres.
func kinds(t *testing.T) map[string]func(t *testing.T) *database {
	all := map[string]func(t *testing.T) *database{"SQLite": newSQLite}
	if !testing.Short() {
		server := sinktest.StartPostgres(t, "fsync=off")
		all["Postgres"] = func(t *testing.T) *database { return newPostgres(t, server) }
	}
	return all
}

func newSQLite(t *testing.T) *database {
	t.Helper()
	path := t.TempDir() + "/runmetrics.db"
	store := openSQLiteAt(t, path)
	file := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)&_txlock=immediate"}
	plain := openPlain(t, "sqlite", file.String())
	plain.SetMaxIdleConns(0) // one that is kept would not notice another file in the place
	return &database{Store: store, plain: plain, dialect: sinktest.SQLite, name: path}
}

func newPostgres(t *testing.T, server *sinktest.PostgresServer) *database {
	t.Helper()
	dsn := server.CreateDatabase(t)
	if err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	id, err := store.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &database{Store: store, plain: openPlain(t, "pgx", dsn), dialect: sinktest.Postgres, name: id.Database,
		admin: openPlain(t, "pgx", server.DSN("postgres"))}
}

func openPlain(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// save makes a backup, beside whatever goes on.
func (d *database) save(t *testing.T) (backup string) {
	t.Helper()
	if d.dialect == sinktest.SQLite {
		path := fmt.Sprintf("%s.backup%d", d.name, len(d.saved))
		d.exec(t, "VACUUM INTO '"+path+"'")
		d.saved = append(d.saved, path)
		return path
	}
	schema := fmt.Sprintf("backup%d", len(d.saved))
	statements := []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "CREATE SCHEMA " + schema}
	for _, table := range stored {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s.%s AS TABLE public.%[2]s", schema, table))
	}
	d.exec(t, append(statements, "COMMIT")...)
	d.saved = append(d.saved, schema)
	return schema
}

// restore puts a backup back in one transaction under whoever uses the database. No connection is lost by it.
func (d *database) restore(t *testing.T, backup string) {
	t.Helper()
	if d.dialect == sinktest.Postgres {
		statements := []string{"BEGIN", "TRUNCATE " + strings.Join(stored, ", ")}
		for _, table := range stored {
			statements = append(statements, fmt.Sprintf("INSERT INTO public.%s TABLE %s.%[1]s", table, backup))
		}
		d.exec(t, append(statements, "COMMIT")...)
		return
	}
	statements := []string{"ATTACH '" + backup + "' AS backup", "BEGIN IMMEDIATE"}
	for _, table := range stored {
		statements = append(statements, "DELETE FROM main."+table,
			fmt.Sprintf("INSERT INTO main.%s SELECT * FROM backup.%[1]s", table))
	}
	d.exec(t, append(statements, "COMMIT", "DETACH backup")...)
}

// saveWhole makes a copy of the whole Postgres database, from which it keeps everybody away meanwhile.
func (d *database) saveWhole(t *testing.T) (backup string) {
	t.Helper()
	backup = d.name + "_backup"
	d.endSessions(t)
	d.administer(t, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", backup, d.name),
		fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true", d.name))
	return backup
}

// restoreWhole drops the Postgres database and puts the copy in its place.
func (d *database) restoreWhole(t *testing.T, backup string) {
	t.Helper()
	d.endSessions(t)
	d.administer(t, "DROP DATABASE "+d.name, fmt.Sprintf("ALTER DATABASE %s RENAME TO %s", backup, d.name))
}

// endSessions ends all connections to the database and lets no new ones in.
func (d *database) endSessions(t *testing.T) {
	t.Helper()
	d.administer(t, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS false", d.name),
		fmt.Sprintf("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '%s'", d.name))
}

func (d *database) administer(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := d.admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// restorePages overwrites the SQLite database page by page with the backup, as the command .restore of its shell does.
func (d *database) restorePages(t *testing.T, backup string) {
	t.Helper()
	conn, err := d.plain.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		pages, err := c.(interface {
			NewRestore(source string) (*driver.Backup, error)
		}).NewRestore(backup)
		if err != nil {
			return err
		}
		more, err := pages.Step(-1)
		if err == nil && more {
			err = errors.New("pages are left")
		}
		return errors.Join(err, pages.Finish())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// exec runs statements on one connection.
func (d *database) exec(t *testing.T, statements ...string) {
	t.Helper()
	conn, err := d.plain.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// contents is all that the store holds, sorted, but for what says when and in how many steps it was committed.
func (d *database) contents(t *testing.T) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, from := range []string{"stream_positions", "campaign_metrics", "agent_runs", "run_events", "voided_events",
		"dead_letters", "dead_letter_counts"} {
		all[from] = d.rows(t, from)
	}
	all["event_chunks"] = d.events(t)
	return all
}

func (d *database) rows(t *testing.T, from string) []string {
	t.Helper()
	rows, err := d.plain.QueryContext(t.Context(), "SELECT * FROM "+from)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var line strings.Builder
		for i, column := range columns {
			if column != "version" && column != "updated_at" && column != "number" {
				fmt.Fprintf(&line, "%s=%v ", column, values[i])
			}
		}
		list = append(list, line.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// events reads what all runs were made of. Which commit brought an event depends on what happened.
func (d *database) events(t *testing.T) []string {
	t.Helper()
	rows, err := d.plain.QueryContext(t.Context(), "SELECT DISTINCT m.run_key FROM event_chunks c LEFT JOIN campaign_metrics m ON m.number = c.number")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var run uuid.UUID
		if err := rows.Scan(&run); err != nil {
			t.Fatal(err)
		}
		applied, err := sinks.EventsOf(context.Background(), d, run)
		if err != nil {
			t.Fatal(err)
		}
		for i := range applied {
			list = append(list, fmt.Sprintf("%s %s", run, events.Encode(&applied[i])))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// wantContents compares two databases table by table.
func wantContents(t *testing.T, got, want *database) {
	t.Helper()
	have, expected := got.contents(t), want.contents(t)
	for table, lines := range expected {
		if len(lines) == 0 && table != "dead_letter_counts" {
			t.Errorf("%s is empty, so nothing is compared", table)
		}
		if slices.Equal(have[table], lines) {
			continue
		}
		t.Errorf("%s has %d rows, want %d; that differ:", table, len(have[table]), len(lines))
		shown := 0
		for i := 0; i < max(len(have[table]), len(lines)) && shown < 2; i++ {
			a, b := lineAt(have[table], i), lineAt(lines, i)
			if a != b {
				shown++
				t.Errorf("\n got %s\nwant %s", a, b)
			}
		}
	}
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "nothing"
}
