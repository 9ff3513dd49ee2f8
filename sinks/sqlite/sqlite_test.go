package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

func TestStoreKeepsThePromise(t *testing.T) {
	sinktest.Run(t, fresh)
}

// fresh makes a database file in a directory whose name needs escaping.
func fresh(t testing.TB) sinktest.Database {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run metrics?#%41.db")
	open := func(ctx context.Context, o sinktest.Options) (sinks.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, DeadLetterLimit: o.DeadLetterLimit, Marks: o.Marks})
	}
	return sinktest.Database{Dialect: sinktest.SQLite, SQL: plainSQL(t, path), Open: open}
}

// plainSQL opens the file without the store.
func plainSQL(t testing.TB, path string) *sql.DB {
	t.Helper()
	name := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
