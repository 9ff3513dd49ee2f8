package sinktest

import (
	"context"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Databases lends databases with a schema to tests, one after another: to empty one takes a tenth of the time that it
// takes to make one.
type Databases struct {
	// Migrate makes the schema in a new database.
	Migrate func(ctx context.Context, dsn string) error
	// Empty is a statement that makes a used database as good as new.
	Empty string

	mu    sync.Mutex
	spare []string
}

// Get returns the DSN of a database of the shared server that the test has to itself. A test that changes the schema
// makes its own by CreateDatabase.
func (d *Databases) Get(t testing.TB) string {
	t.Helper()
	dsn := d.take()
	if dsn == "" {
		dsn = d.create(t)
	}
	t.Cleanup(func() {
		if err := d.giveBack(dsn); err != nil {
			t.Errorf("give the database back: %v", err)
		}
	})
	return dsn
}

func (d *Databases) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spare) == 0 {
		return ""
	}
	last := len(d.spare) - 1
	dsn := d.spare[last]
	d.spare = d.spare[:last]
	return dsn
}

func (d *Databases) create(t testing.TB) string {
	t.Helper()
	server := SharedPostgres(t)
	name, err := server.newDatabase(t.Context())
	if err == nil {
		err = d.Migrate(t.Context(), server.DSN(name))
	}
	if err != nil {
		t.Fatalf("make a database: %v", err)
	}
	return server.DSN(name)
}

// endOthers ends every other session and waits for it: a commit whose client was given up might still take place, in
// the next test's database.
const endOthers = `
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()`

func (d *Databases) giveBack(dsn string) error {
	ctx := context.Background() // the test's own has ended
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, endOthers); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, d.Empty); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spare = append(d.spare, dsn)
	return nil
}
