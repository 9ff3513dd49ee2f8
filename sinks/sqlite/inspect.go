package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"strings"
)

// inspectOptions write nothing, and do not wait for another process.
var inspectOptions = url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(0)"}}

// Inspect looks whether the pages of a database file hang together, and changes nothing. It returns what is wrong with them,
// empty where nothing is. It takes about a second for each GB; the context may end it.
func Inspect(ctx context.Context, path string) (problem string, err error) {
	db, err := sql.Open("sqlite", dsn(path, inspectOptions))
	if err != nil {
		return "", classify(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&problem); err != nil {
		return "", classify(err)
	}
	if problem == "ok" {
		return "", nil
	}
	return strings.Join(strings.Fields(problem), " "), nil
}
