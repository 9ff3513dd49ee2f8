package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/apexsalesai/runmetrics/sinks"
)

// examineDatabase opens the store, where that makes nothing new, and leaves it open for those who look into it.
func (d *doctor) examineDatabase(ctx context.Context) {
	kind := "sqlite"
	ready := d.sqliteReady
	if d.cfg.DatabaseURL.IsSet() {
		kind, ready = "postgres", d.postgresReady
	}
	if !ready(ctx) {
		return
	}
	store, err := openStore(ctx, d.cfg, d.log)
	if err != nil {
		d.fail("database", kind, err.Error(), "")
		return
	}
	identity, err := store.Identity(ctx)
	if err != nil {
		d.fail("database", kind, errors.Join(err, store.Close()).Error(), databaseFix(err))
		return
	}
	d.store, d.database = store, &identity
	d.ok("database", kind, "it answers, and its schema is this program's: "+identity.String())
}

// sqliteReady tells whether there is a file.
func (d *doctor) sqliteReady(context.Context) bool {
	_, err := os.Stat(sqlitePath(d.cfg))
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.warn("database", "sqlite", "there is no "+sqlitePath(d.cfg)+" yet",
			"runmetrics run and runmetrics setup make it; if it was there, set DATA_DIR, or DATABASE_URL for Postgres")
		return false
	case err != nil:
		d.fail("database", "sqlite", err.Error(), "give this user the right to read DATA_DIR")
		return false
	}
	return true
}

// postgresReady tells whether the schema is there. It asks as setup does, past a pooler.
func (d *doctor) postgresReady(ctx context.Context) bool {
	plan, err := planPostgres(ctx, d.cfg)
	switch {
	case err != nil:
		d.fail("database", "postgres", err.Error(), databaseFix(err))
		return false
	case plan.needed():
		d.fail("database", "postgres", "its schema is older than this program: it lacks "+strings.Join(plan.Differs, ", "),
			"runmetrics setup brings it up to date")
		return false
	}
	return true
}

// databaseFix is what to do about an error of the store that does not say it.
func databaseFix(err error) string {
	if errors.Is(err, sinks.ErrUnavailable) {
		return "start the database, or correct the host in DATABASE_URL and DATABASE_URL_DIRECT; events wait in NATS meanwhile"
	}
	return ""
}
