package postgres

import (
	"context"
	"database/sql"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestMain(m *testing.M) { sinktest.Main(m) }

// mode is a way in which the driver can talk to the server. None may change what is stored.
type mode struct {
	name    string
	setting string // of the URL
}

var (
	cacheStatement = mode{"CacheStatement", ""}
	cacheDescribe  = mode{"CacheDescribe", "&default_query_exec_mode=cache_describe"}
	exec           = mode{"Exec", "&default_query_exec_mode=exec"}
	simpleProtocol = mode{"SimpleProtocol", "&default_query_exec_mode=simple_protocol"}
)

// tried are the modes to run the suite in. One is enough to find races, because our code is the same in all: -short
// leaves out the others.
func tried(modes ...mode) []mode {
	if testing.Short() {
		return modes[:1]
	}
	return modes
}

func TestStore(t *testing.T) {
	for _, mode := range tried(cacheStatement, cacheDescribe, exec) {
		t.Run(mode.name, func(t *testing.T) {
			sinktest.Run(t, func(t testing.TB) sinktest.Database {
				url := migrated(t)
				return database(t, url, url+mode.setting)
			})
		})
	}
}

func TestStoreThroughPgBouncer(t *testing.T) {
	bouncer := sinktest.StartPgBouncer(t, sinktest.SharedPostgres(t))
	for _, mode := range tried(simpleProtocol, cacheDescribe) {
		t.Run(mode.name, func(t *testing.T) {
			sinktest.Run(t, func(t testing.TB) sinktest.Database {
				url := migrated(t)
				return database(t, url, bouncer.Route(t, url)+mode.setting)
			})
		})
	}
}

var databases = sinktest.Databases{
	Migrate: Migrate,
	Empty: `
DO $$ BEGIN
	TRUNCATE audit_log, stream_positions, campaign_metrics, event_chunks, voided_events, dead_letters, dead_letter_counts,
		dataverse_outbox, dataverse_targets, deleted_runs;
	UPDATE ledger SET id = gen_random_uuid();
END $$`,
}

// migrated returns the URL of an empty database with our schema.
func migrated(t testing.TB) string {
	t.Helper()
	return databases.Get(t)
}

func database(t testing.TB, plain, url string) sinktest.Database {
	t.Helper()
	return sinktest.Database{
		Dialect: sinktest.Postgres,
		SQL:     plainSQL(t, plain),
		Open: func(ctx context.Context, o sinktest.Options) (sinks.Store, error) {
			return Open(ctx, Config{URL: url, DeadLetterLimit: o.DeadLetterLimit, Marks: o.Marks})
		},
	}
}

// plainSQL runs statements past the store.
func plainSQL(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := openSQL(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
