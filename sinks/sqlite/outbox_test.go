package sqlite

import (
	"database/sql"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// An idle dispatcher looks often; it must not make those wait who commit, nor wait for them.
func TestClaimWithNothingDueTakesNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, err := Open(t.Context(), Config{Path: path, Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := sinktest.NewWriter(t, s, "S")
	due := w.At
	write(t, w, "1")
	other, err := sql.Open("sqlite", dsn(path, writerOptions))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	claim := sinks.Claim{Owner: uuid.New(), Now: due.Add(-time.Second), NotBefore: due, Limit: 10}
	for _, closingOnly := range []bool{false, true} {
		claim.ClosingOnly = closingOnly
		claimed, err := s.Claim(t.Context(), claim)
		if err != nil || len(claimed.Copies) > 0 || !claimed.Next.Equal(due) {
			t.Errorf("claim beside another's transaction: %+v, %v", claimed, err)
		}
		claim.Now = due // but it closes nothing
	}
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	claim.ClosingOnly = false
	if claimed, err := s.Claim(t.Context(), claim); err != nil || len(claimed.Copies) != 1 {
		t.Errorf("claim after that: %+v, %v", claimed, err)
	}
}

// TestRunThatWasRemovedByHandComesBack with version 1: what the outbox remembers of it must not refuse a commit.
func TestRunThatWasRemovedByHandComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	s, err := Open(t.Context(), Config{Path: path, Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := sinktest.NewWriter(t, s, "S")
	for n := range 3 {
		write(t, w, strconv.Itoa(n))
	}
	claim := sinks.Claim{Owner: uuid.New(), Now: w.At, NotBefore: w.At, Limit: 10}
	claimed, err := s.Claim(t.Context(), claim)
	if err != nil || len(claimed.Copies) != 1 {
		t.Fatalf("%+v, %v", claimed, err)
	}
	run := claimed.Copies[0].Metrics
	if _, err := s.Settle(t.Context(), sinks.Settlement{Owner: claim.Owner, Now: w.At,
		Outcomes: []sinks.Outcome{{RunKey: run.RunKey, Version: run.Version}}}); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", dsn(path, writerOptions))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.Exec("DELETE FROM campaign_metrics; DELETE FROM event_chunks"); err != nil {
		t.Fatal(err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, w, "4")
	claim.Now = w.At
	if claimed, err = s.Claim(t.Context(), claim); err != nil || len(claimed.Copies) != 1 ||
		claimed.Copies[0].Metrics.Version != 1 || claimed.Copies[0].Delivered != 0 {
		t.Errorf("claimed %+v, %v", claimed, err)
	}
}
