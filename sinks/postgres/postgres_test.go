package postgres

import (
	"context"
	"database/sql"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestMain(m *testing.M) { sinktest.Main(m) }

// modes are the ways in which the driver can talk to the server. Not one of them may change what is stored.
var modes = []struct{ name, setting string }{
	{"CacheStatement", ""},
	{"CacheDescribe", "&default_query_exec_mode=cache_describe"},
	{"Exec", "&default_query_exec_mode=exec"},
	{"SimpleProtocol", "&default_query_exec_mode=simple_protocol"},
}

func TestStore(t *testing.T) {
	for _, mode := range modes {
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
	for _, mode := range modes[1:] {
		t.Run(mode.name, func(t *testing.T) {
			sinktest.Run(t, func(t testing.TB) sinktest.Database {
				url := migrated(t)
				return database(t, url, bouncer.Route(t, url)+mode.setting)
			})
		})
	}
}

// migrated makes a database with our schema and returns its URL.
func migrated(t testing.TB) string {
	t.Helper()
	url := sinktest.SharedPostgres(t).CreateDatabase(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
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
