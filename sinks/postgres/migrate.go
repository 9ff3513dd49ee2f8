package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/apexsalesai/runmetrics/sinks"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Tables of our own, because others who use goose may live in the same database.
const (
	versionTable = "runmetrics_migrations"
	lockTable    = "runmetrics_migrations_lock"
)

// Migrate brings the schema up to date. Two at once are safe, also through a pooler: the second waits for the first. A
// schema of a later program is left alone and is ErrSchema.
func Migrate(ctx context.Context, url string) error {
	pending, err := Plan(ctx, url)
	if err != nil || len(pending) == 0 {
		return err
	}
	db, err := openSQL(url)
	if err != nil {
		return err
	}
	defer db.Close()
	// A lock in a table holds across the connections of a pooler, which one of the session would not. Its lease ends
	// 30 s after a setup died.
	locker, err := lock.NewPostgresTableLocker(lock.WithTableName(lockTable),
		lock.WithTableLockTimeout(250*time.Millisecond, 480))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations(), goose.WithTableName(versionTable),
		goose.WithLocker(locker), goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return failed("migrate schema", err)
	}
	return nil
}

// Plan returns the names of the migrations that Migrate would apply, and changes nothing.
func Plan(ctx context.Context, url string) ([]string, error) {
	db, err := openSQL(url)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var applied sql.NullInt64
	if err := noTable(db.QueryRowContext(ctx, appliedVersion).Scan(&applied)); err != nil {
		return nil, failed("read schema version", err)
	}
	known, err := knownVersions()
	if err != nil {
		return nil, err
	}
	if newest := known[len(known)-1].version; applied.Int64 > newest {
		return nil, schemaError(applied.Int64, newest)
	}
	var pending []string
	for _, m := range known {
		if m.version > applied.Int64 {
			pending = append(pending, m.name)
		}
	}
	return pending, nil
}

// CheckSchema tells whether the schema is this program's. Otherwise the error is ErrBlocked and ErrSchema, and says
// what to do.
func (s *Store) CheckSchema(ctx context.Context) error {
	ctx, done := s.alive(ctx)
	defer done()
	var applied sql.NullInt64
	if err := noTable(s.pool.QueryRow(ctx, appliedVersion).Scan(&applied)); err != nil {
		return failed("read schema version", err)
	}
	return checkVersion(applied.Int64)
}

// checkVersion compares the newest migration of a database with this program's.
func checkVersion(applied int64) error {
	known, err := knownVersions()
	if err != nil {
		return err
	}
	if newest := known[len(known)-1].version; applied != newest {
		return schemaError(applied, newest)
	}
	return nil
}

const appliedVersion = "SELECT max(version_id) FROM " + versionTable

// noTable forgives that the table of versions is missing: then nothing was applied.
func noTable(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "42P01" {
		return nil
	}
	return err
}

func schemaError(applied, known int64) error {
	advice := "run `runmetrics setup`"
	if applied > known {
		advice = "use a newer program"
	}
	return fmt.Errorf("check schema: %w: %w: it has version %d, this program needs %d; %s",
		sinks.ErrBlocked, sinks.ErrSchema, applied, known, advice)
}

type migration struct {
	version int64
	name    string
}

// knownVersions lists the embedded migrations, oldest first.
func knownVersions() ([]migration, error) {
	entries, err := fs.ReadDir(migrations(), ".")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	list := make([]migration, len(entries))
	for i, entry := range entries {
		version, err := goose.NumericComponent(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		list[i] = migration{version, entry.Name()}
	}
	return list, nil
}

func migrations() fs.FS {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		panic(err) // the name is a valid one
	}
	return files
}

func openSQL(url string) (*sql.DB, error) {
	config, err := parseConfig(url)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*config.ConnConfig), nil
}
