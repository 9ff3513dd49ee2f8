package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

func TestAuditSaysHowACommandEnded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "runmetrics.db")
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for outcome, end := range map[string]error{"done": nil, "interrupted": context.Canceled, "failed": errors.New("away")} {
		args := []string{"prune", "--before", "2026-01-01", "--campaign", "it's " + outcome}
		record, err := beginAudit(t.Context(), store, outcome, args)
		if err != nil {
			t.Fatal(err)
		}
		wantAudit(t, db, outcome, `prune --before 2026-01-01 --campaign 'it'\''s `+outcome+`'|running|{}|false`)
		if err := record.end(map[string]int{"sealed": 7}, end); err != end {
			t.Fatal(err)
		}
		wantAudit(t, db, outcome, `prune --before 2026-01-01 --campaign 'it'\''s `+outcome+`'|`+outcome+`|{"sealed":7}|true`)
	}
}

// wantAudit looks at the only record of a command.
func wantAudit(t *testing.T, db *sql.DB, command, want string) {
	t.Helper()
	var got, who string
	err := db.QueryRowContext(t.Context(), `SELECT arguments || '|' || outcome || '|' || counts || '|' ||
		CASE WHEN ended_at IS NULL THEN 'false' ELSE 'true' END, who FROM audit_log WHERE command = ?`, command).Scan(&got, &who)
	if err != nil || got != want || !strings.Contains(who, "@") {
		t.Errorf("%s: %s by %s, error %v, want %s", command, got, who, err, want)
	}
}

// wantOutcome looks at how the only call of a command ended.
func wantOutcome(t *testing.T, db *sql.DB, command, want string) {
	t.Helper()
	var got string
	if err := db.QueryRowContext(t.Context(), "SELECT outcome FROM audit_log WHERE command = ?", command).Scan(&got); err != nil || got != want {
		t.Errorf("%s: %q, error %v, want %s", command, got, err, want)
	}
}
