package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/apexsalesai/runmetrics/sinks"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. It touches nothing of a later program's.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", classify(err))
	}
	if current > target {
		return fmt.Errorf("%w: %w: the schema has version %d, this program knows %d; use a newer program",
			sinks.ErrBlocked, sinks.ErrSchema, current, target)
	}
	for {
		if _, err = p.Up(ctx); err == nil {
			return nil
		}
		// Another process may do the same; a step that it took made ours fail. It may not be at the end yet.
		before := current
		if current, _, _ = p.GetVersions(ctx); current <= before {
			return fmt.Errorf("migrate schema: %w", classify(err))
		}
	}
}
