package main

import (
	"context"
	"errors"
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

// planPostgres compares the schema of the outside database with this program's.
func planPostgres(ctx context.Context, cfg *Config) (change, error) {
	url := cfg.directURL().Reveal()
	pending, err := postgres.Plan(ctx, url)
	var c change
	for _, name := range pending {
		c.Differs = append(c.Differs, "migration "+name)
	}
	c.apply = func(ctx context.Context) error { return postgres.Migrate(ctx, url) }
	return c, err
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
