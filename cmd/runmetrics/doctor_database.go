package main

import (
	"context"
	"errors"

	"github.com/apexsalesai/runmetrics/sinks"
)

// examineDatabase opens the store, where that makes nothing new, and leaves it open for those who look into it.
func (d *doctor) examineDatabase(ctx context.Context) {
	kind := "sqlite"
	ready, fix := d.sqliteReady, d.sqliteFix
	if d.cfg.DatabaseURL.IsSet() {
		kind, ready, fix = "postgres", d.postgresReady, databaseFix
	}
	if !ready(ctx) {
		return
	}
	store, err := openStore(ctx, d.cfg, d.log)
	if err != nil {
		d.fail(areaDatabase, kind, err.Error(), fix(err))
		return
	}
	identity, err := store.Identity(ctx)
	if err != nil {
		d.fail(areaDatabase, kind, errors.Join(err, store.Close()).Error(), fix(err))
		return
	}
	d.store, d.database = store, &identity
	d.ok(areaDatabase, kind, "it answers, and its schema is this program's: "+identity.String())
}

// databaseFix is what to do about an error of the store that does not say it.
func databaseFix(err error) string {
	if errors.Is(err, sinks.ErrUnavailable) {
		return "start the database, or correct the host in DATABASE_URL and DATABASE_URL_DIRECT; events wait in " +
			"NATS meanwhile"
	}
	return ""
}
