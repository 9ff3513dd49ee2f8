package simulation

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// letterLimit is small, so that histories reach it.
const letterLimit = 3

// database is where a history is stored, with a way around the store to look at every table and to turn it back.
type database struct {
	store sinks.Store
	plain *sql.DB // one connection: backups are temporary tables of it
	empty string  // statements that remove every row
	saved bool    // there is a backup

	stamp string // a query for what is another value after whatever others write
	seen  string // the stamp of the last check, "" if exec wrote since

	prepared map[string]*sql.Stmt // by query: each is asked after many steps
}

// tables are all that commits write to, the position first: whoever removes rows waits for a commit under way there.
var tables = []string{"stream_positions", "campaign_metrics", "event_chunks", "voided_events", "dead_letters",
	"dead_letter_counts", "dataverse_outbox", "deleted_runs"}

// openSQLite makes a database in dir.
func openSQLite(ctx context.Context, dir string) (*database, error) {
	path := filepath.Join(dir, "runmetrics.db")
	store, err := sqlite.Open(ctx, sqlite.Config{Path: path, DeadLetterLimit: letterLimit, Marks: true})
	if err != nil {
		return nil, err
	}
	file := url.URL{Scheme: "file", Path: path, RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=temp_store(MEMORY)"}
	plain, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, err
	}
	plain.SetMaxOpenConns(1)
	return &database{store: store, plain: plain, empty: "DELETE FROM " + strings.Join(tables, "; DELETE FROM "),
		stamp: "PRAGMA data_version"}, nil
}

// openPostgres uses a database with a schema, and empties it first.
func openPostgres(ctx context.Context, dsn string) (*database, error) {
	store, err := postgres.Open(ctx, postgres.Config{URL: dsn, DeadLetterLimit: letterLimit, Marks: true})
	if err != nil {
		return nil, err
	}
	connector, err := new(stdlib.Driver).OpenConnector(dsn)
	if err != nil {
		return nil, err
	}
	d := &database{store: store, plain: sql.OpenDB(connector), empty: "TRUNCATE " + strings.Join(tables, ", "),
		stamp: "SELECT CAST(pg_current_wal_insert_lsn() AS text)"}
	d.plain.SetMaxOpenConns(1)
	return d, d.exec(ctx, d.empty)
}

func (d *database) close() error {
	if err := d.plain.Close(); err != nil {
		return err
	}
	return d.store.Close()
}

// exec runs statements as one transaction.
func (d *database) exec(ctx context.Context, statements ...string) error {
	d.seen = ""
	tx, err := d.plain.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return tx.Commit()
}

// backup keeps all rows as they are now.
func (d *database) backup(ctx context.Context) error {
	var statements []string
	for _, table := range tables {
		statements = append(statements, "DROP TABLE IF EXISTS saved_"+table,
			"CREATE TEMP TABLE saved_"+table+" AS SELECT * FROM "+table)
	}
	d.saved = true
	return d.exec(ctx, statements...)
}

// restore turns the database back to the backup, if there is one, under everybody who uses it.
func (d *database) restore(ctx context.Context) error {
	if !d.saved {
		return nil
	}
	statements := []string{d.empty}
	for _, table := range tables {
		statements = append(statements, "INSERT INTO "+table+" SELECT * FROM saved_"+table)
	}
	return d.exec(ctx, statements...)
}

// written tells whether anything may have been written since it was asked last. It errs on the side of yes.
func (d *database) written(ctx context.Context) (bool, error) {
	stamps, err := d.rows(ctx, d.stamp)
	if err != nil {
		return false, err
	}
	unseen := d.seen != stamps[0]
	d.seen = stamps[0]
	return unseen, nil
}

func (d *database) query(ctx context.Context, query string) (*sql.Rows, error) {
	if d.prepared == nil {
		d.prepared = make(map[string]*sql.Stmt)
	}
	if d.prepared[query] == nil {
		var err error
		if d.prepared[query], err = d.plain.PrepareContext(ctx, query); err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
	}
	return d.prepared[query].QueryContext(ctx)
}

// rows returns what a query finds, each row as its values separated by blanks, sorted by the query.
func (d *database) rows(ctx context.Context, query string) ([]string, error) {
	rows, err := d.query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		lines = append(lines, line(values...))
	}
	return lines, rows.Err()
}

// line writes values in one way, whichever database they come from.
func line(values ...any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case nil:
			texts[i] = "-"
		case []byte:
			texts[i] = fmt.Sprintf("%q", v)
		case bool:
			texts[i] = map[bool]string{false: "0", true: "1"}[v]
		default:
			texts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(texts, " ")
}

// roomy is a directory in memory where there is one: histories write much and keep nothing.
func roomy() string {
	if dir := "/dev/shm"; os.MkdirAll(dir, 0o700) == nil {
		return dir
	}
	return os.TempDir()
}
