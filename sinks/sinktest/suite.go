// Package sinktest is the proof that a store keeps the promise of package sinks: one suite for every store, a writer
// that builds batches as the consumer does, and a wrapper that breaks a store on purpose.
//
// The suite asks for an empty database for each test, opens stores on it through the same function that the program
// uses, and looks behind the store's back with plain SQL, as an operator would. Every promise has a file. Random
// histories print their seed; RUNMETRICS_TEST_SEED repeats one.
package sinktest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Dialect is the SQL that a database speaks.
type Dialect string

// The dialects that the suite knows.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Options say how a store is opened.
type Options struct {
	DeadLetterLimit int  // rows kept for each stream and reason; 0 is the store's default
	Marks           bool // commits write outbox marks
}

// Database is a database of its own without data. Its schema may be there, or be made by the first Open. Whoever made it
// removes it with the test's Cleanup.
type Database struct {
	Dialect Dialect
	// SQL runs plain statements, past the store.
	SQL *sql.DB
	// Open opens a store on the database. Several may be open at once; the caller closes them.
	Open func(ctx context.Context, o Options) (sinks.Store, error)
}

// Run proves the whole promise. Fresh makes an empty database each time it is called; tests run in parallel.
func Run(t *testing.T, fresh func(t testing.TB) Database) {
	s := suite{fresh: fresh}
	for _, part := range [][]test{
		s.ledgerTests(), s.atomicTests(), s.versionTests(), s.loadTests(), s.readerTests(), s.surveyTests(), s.deadLetterTests(), s.letterTests(),
		s.outboxTests(), s.dueTests(), s.ownerTests(), s.doubtTests(), s.rivalOwnerTests(), s.copyTests(), s.dispatchTests(),
		s.concurrencyTests(), s.crashTests(), s.sqlTests(), s.repairTests(), s.sealTests(),
	} {
		for _, test := range part {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t)
			})
		}
	}
}

// test is one promise. Its name says what is promised.
type test struct {
	name string
	run  func(t *testing.T)
}

type suite struct {
	fresh func(t testing.TB) Database
}

// open makes an empty database and opens a store on it.
func (s suite) open(t testing.TB, o Options) (sinks.Store, Database) {
	t.Helper()
	db := s.fresh(t)
	return db.open(t, o), db
}

// open opens one more store on the database and closes it with the test.
func (db Database) open(t testing.TB, o Options) sinks.Store {
	t.Helper()
	store, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	return store
}
