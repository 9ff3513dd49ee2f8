package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// schemaCheckTime is how long a start waits for an outside database: a cold start of a small one, not an outage.
const schemaCheckTime = 5 * time.Second

// openStore opens the store that the configuration names. The embedded one sets itself up. An outside one that is away
// is waited for by whoever uses it, but one with another schema is refused with the command that fixes it.
func openStore(ctx context.Context, cfg *Config, log *slog.Logger) (sinks.Store, error) {
	if !cfg.DatabaseURL.IsSet() {
		return sqlite.Open(ctx, sqliteConfig(cfg))
	}
	store, err := postgres.Open(ctx, postgresConfig(cfg))
	if err != nil {
		return nil, err
	}
	brief, cancel := context.WithTimeout(ctx, schemaCheckTime)
	defer cancel()
	err = store.CheckSchema(brief)
	if errors.Is(err, sinks.ErrSchema) {
		return nil, errors.Join(err, store.Close())
	}
	if err != nil {
		log.Warn("the database cannot be used yet", "error", err)
	}
	return store, nil
}

func postgresConfig(cfg *Config) postgres.Config {
	return postgres.Config{URL: cfg.DatabaseURL.Reveal(), DeadLetterLimit: int(cfg.DeadLetterLimit), Marks: cfg.copied()}
}

// sqlitePath is the file of the embedded store.
func sqlitePath(cfg *Config) string { return filepath.Join(cfg.DataDir, "runmetrics.db") }

// sqliteConfig says how the embedded store is opened.
func sqliteConfig(cfg *Config) sqlite.Config {
	c := sqlite.Config{Path: sqlitePath(cfg), DeadLetterLimit: int(cfg.DeadLetterLimit), Marks: cfg.copied()}
	if !cfg.NATSURL.IsSet() {
		// Broker and store lie in one directory, so no other machine can have the same pair: the fingerprint must
		// survive a new host name, which containers get at each start.
		c.Host = "embedded"
	}
	return c
}

// planPostgres compares the schema of the outside database with this program's. Migrations take the way of
// DATABASE_URL_DIRECT, which must lead to the same database.
func planPostgres(ctx context.Context, cfg *Config) (change, error) {
	if err := oneDatabase(ctx, cfg); err != nil {
		return change{}, err
	}
	url := cfg.directURL().Reveal()
	pending, err := postgres.Plan(ctx, url)
	var c change
	for _, name := range pending {
		c.Differs = append(c.Differs, "migration "+name)
	}
	c.apply = func(ctx context.Context) error { return postgres.Migrate(ctx, url) }
	return c, err
}

// oneDatabase refuses a DATABASE_URL_DIRECT that leads to another database than DATABASE_URL: who set one of them alone, for a
// branch, would have the other one changed. What is away is for those to report who need it.
func oneDatabase(ctx context.Context, cfg *Config) error {
	if !cfg.DatabaseURLDirect.IsSet() {
		return nil
	}
	said, err := postgres.Inspect(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return nil
	}
	direct, err := postgres.Inspect(ctx, cfg.DatabaseURLDirect.Reveal())
	if err != nil || direct.Instance == said.Instance {
		return nil
	}
	return fmt.Errorf("DATABASE_URL leads to database %s at %s, DATABASE_URL_DIRECT to %s at %s: set both to the same one, "+
		"or DATABASE_URL alone", said.Database, said.Address, direct.Database, direct.Address)
}

// planSQLite tells whether there is a file. Opening one brings its schema up to date.
func planSQLite(cfg *Config) (change, error) {
	c := change{apply: func(ctx context.Context) error {
		if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
			return err
		}
		store, err := sqlite.Open(ctx, sqliteConfig(cfg))
		if err != nil {
			return err
		}
		return store.Close()
	}}
	_, err := os.Stat(sqlitePath(cfg))
	if errors.Is(err, os.ErrNotExist) {
		c.Created = true
		return c, nil
	}
	return c, err
}

// identityOf asks the store, which must be set up, for its name.
func identityOf(ctx context.Context, cfg *Config, log *slog.Logger) (_ sinks.Identity, err error) {
	store, err := openStore(ctx, cfg, log)
	if err != nil {
		return sinks.Identity{}, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Identity(ctx)
}
