package sqlite

import (
	"database/sql"
	"path/filepath"
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
