package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func openStore(t *testing.T, url string) *Store {
	t.Helper()
	store, err := Open(t.Context(), Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestSQLStateDecidesWhatAnErrorMeans(t *testing.T) {
	meanings := map[error][]string{
		sinks.ErrUnavailable: {"08000", "08003", "08006", "08P01", "25006", "40001", "40P01", "53000", "53100", "53300",
			"55P03", "57014", "57P01", "57P02", "57P03", "58030", "XX000"},
		sinks.ErrBlocked: {"28000", "28P01", "3D000", "3F000", "42P01", "42703", "42883", "42704", "42501", "0A000", "26000",
			"42P05", "P0001", "99999"},
		sinks.ErrRefused:       {"22001", "22003", "22021", "22P05", "23502", "23514"},
		sinks.ErrPositionMoved: {"RM001", "23505"},
	}
	for meaning, codes := range meanings {
		for _, code := range codes {
			err := failed("commit batch", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "words"}))
			for other := range meanings {
				if errors.Is(err, other) != (other == meaning) {
					t.Errorf("%s: %v", code, err)
				}
			}
			if errors.Is(err, sinks.ErrSchema) != schemaCodes[code] {
				t.Errorf("%s: %v", code, err)
			}
		}
	}
}

func TestWrongPasswordBlocks(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	db := plainSQL(t, url)
	role := sinktest.PasswordRole
	if _, err := db.ExecContext(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD '"+role+"'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.Exec("DROP ROLE " + role) })

	_, err := openStore(t, asRole(url, role+":hunter2")).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "hunter2")
	// With the password it still has no right to read.
	_, err = openStore(t, asRole(url, role+":"+role)).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "SELECT")
}

func asRole(url, user string) string { return strings.Replace(url, "postgres@", user+"@", 1) }

func TestMissingDatabaseBlocks(t *testing.T) {
	t.Parallel()
	_, err := openStore(t, sinktest.SharedPostgres(t).DSN("nowhere")).Identity(t.Context())
	wantError(t, err, sinks.ErrBlocked, "")
}

func TestMissingSchemaNamesTheCommand(t *testing.T) {
	t.Parallel()
	store := openStore(t, sinktest.SharedPostgres(t).CreateDatabase(t))
	_, err := store.Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "SELECT")
	if !errors.Is(err, sinks.ErrSchema) || !strings.Contains(err.Error(), "runmetrics setup") {
		t.Error(err)
	}
	batch := &sinks.Batch{Next: sinks.Position{Stream: "RUN_EVENTS", Epoch: 1}}
	wantError(t, store.Commit(t.Context(), sinks.Position{Stream: "RUN_EVENTS"}, batch), sinks.ErrBlocked, "")
}

func TestReadOnlyServerIsAway(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	w := sinktest.NewWriter(t, openStore(t, url+"&default_transaction_read_only=on"), "RUN_EVENTS")
	wantError(t, w.Commit(t.Context(), w.Fold(execution("r", "1"))), sinks.ErrUnavailable, "")
}

func TestPoolerThatTakesNoParametersBlocks(t *testing.T) {
	t.Parallel()
	bouncer := sinktest.StartPgBouncer(t, sinktest.SharedPostgres(t))
	url := bouncer.Route(t, migrated(t)) + "&statement_timeout=5000"
	_, err := openStore(t, url).Position(t.Context(), "RUN_EVENTS")
	wantError(t, err, sinks.ErrBlocked, "")
	if !strings.Contains(err.Error(), "ALTER ROLE") {
		t.Error(err)
	}
}

// wantError also looks for what must not be in the text.
func wantError(t *testing.T, err, want error, secret string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	} else if text := err.Error(); secret != "" && strings.Contains(text, secret) || strings.Contains(text, "\n") {
		t.Errorf("%q says too much", text)
	}
}
