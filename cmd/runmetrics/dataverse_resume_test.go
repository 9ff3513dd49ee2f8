package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// trap does something before requests are served. It is for one test at a time.
type trap struct {
	mu    sync.Mutex
	part  string // of their URLs
	skip  int    // how many come before
	times int    // how many they are
	snaps func()
}

// set makes the trap snap so many times, at requests with the part in their URL, after it has let some pass.
func (t *trap) set(part string, skip, times int, snaps func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.part, t.skip, t.times, t.snaps = part, skip, times, snaps
}

func (t *trap) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if snaps := t.meet(r.URL.RequestURI()); snaps != nil {
			snaps()
		}
		next.ServeHTTP(w, r)
	})
}

// meet returns what is to be done for this request, nil for nothing.
func (t *trap) meet(url string) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.times == 0 || !strings.Contains(url, t.part):
		return nil
	case t.skip > 0:
		t.skip--
		return nil
	}
	t.times--
	return t.snaps
}

// interrupted runs the command, presses Ctrl-C at the n-th request with the part, and returns the report and the flags by
// which it says how to go on.
func (w *copied) interrupted(trap *trap, part string, n int, args ...string) (reconcileReport, []string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	trap.set(part, n-1, 1, cancel)
	var stdout, stderr bytes.Buffer
	args = append([]string{"dataverse", "reconcile", "--output", "json"}, args...)
	if code := run(ctx, args, w.environ, strings.NewReader(""), &stdout, &stderr); code != exitLeftovers {
		w.t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	_, after, told := strings.Cut(stderr.String(), "resume with: runmetrics dataverse reconcile ")
	command, _, _ := strings.Cut(after, "\n")
	var report reconcileReport
	err := json.Unmarshal(stdout.Bytes(), &report)
	if err != nil || !told || !strings.HasSuffix(command, "--resume "+report.Resume) {
		w.t.Fatalf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	return report, strings.Fields(command)
}

func TestAnInterruptedReconcileGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	trap := new(trap)
	w := newCopied(t, testEmulator(t, false), trap.watch)
	runs := numbered(1300)
	w.commit(1, runs...)
	w.send()
	for i := 0; i < len(runs); i += 100 {
		w.remove(runs[i])
	}
	w.unknown(5100)
	whole := w.reconcile(exitLeftovers, "--campaign", "spring", "--until", "2027-01-01", "--limit", "10000")
	want := counts{Rows: 1287 + 5100, Unknown: 5100, Runs: 1300, Equal: 1287, Missing: 13}
	if whole.Counts != want {
		t.Fatalf("%+v", whole.Counts)
	}

	filter := []string{"--campaign", "spring", "--until", "2027-01-01"}
	first, command := w.interrupted(trap, "skiptoken", 1, append(filter, "--limit", "10000")...)
	if first.Counts.Rows != 5000 || first.Counts.Runs != 0 {
		t.Errorf("stopped in the middle of the rows, but: %+v", first.Counts)
	}
	second, command := w.interrupted(trap, "Dynamics.CRM.In", 3, append(command, "--limit", "10000")...)
	if second.Counts.Rows != want.Rows || second.Counts.Runs == 0 || second.Counts.Runs == want.Runs {
		t.Errorf("stopped in the middle of the runs, but: %+v", second.Counts)
	}
	third := w.reconcile(exitLeftovers, append(command, "--limit", "10000")...)
	if third.Counts != whole.Counts {
		t.Errorf("in three parts %+v\n       in one %+v", third.Counts, whole.Counts)
	}
	seen := make(map[uuid.UUID]int)
	for _, part := range []reconcileReport{first, second, third} {
		for _, d := range part.Differences {
			seen[d.RowID]++
		}
	}
	for _, d := range whole.Differences {
		if seen[d.RowID] != 1 {
			t.Fatalf("the row %s of %s was listed %d times", d.RowID, d.RunID, seen[d.RowID])
		}
	}
}

// unknown makes n rows of runs that the store does not have, in the campaign of those that it has.
func (w *copied) unknown(n int) {
	w.t.Helper()
	w.set()
	rows := make([]dataverse.Row, 0, n)
	for i := range n {
		key := events.Key{CampaignID: "spring", RunID: fmt.Sprint("unknown-", i), Phase: "p"}
		rows = append(rows, dataverse.Row{w.table.PrimaryID: key.UUID().String(), columnCampaign: key.CampaignID,
			columnRun: key.RunID, columnPhase: key.Phase, columnCreatedAt: "2026-03-01T00:00:00Z"})
	}
	if _, err := w.client.UpsertMultiple(w.t.Context(), w.table, rows); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnInterruptedReconcileGoesOnWithItsOwnFlags(t *testing.T) {
	t.Parallel()
	r := reconciling{app: &app{envFile: "the operator's.env"}, repair: true, limit: 5, output: jsonOutput}
	const want = `runmetrics dataverse reconcile --repair --limit 5 --output json --env-file 'the operator'\''s.env' --resume T`
	if got := r.resumeCommand("T"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestAnInterruptedRepairGoesOnToTheSameEnd(t *testing.T) {
	t.Parallel()
	trap := new(trap)
	w := newCopied(t, testEmulator(t, false), trap.watch)
	runs := numbered(700)
	w.commit(1, runs...)
	w.send()
	for i := 0; i < len(runs); i += 7 {
		w.remove(runs[i])
	}
	w.create(testKey(runs[1]))
	_, command := w.interrupted(trap, "UpsertMultiple", 2, "--adopt", "--repair")
	if got := w.reconcile(exitOK, command...).Counts; got.Equal != 700 || got.Adopted != 1 || got.Removed != 1 {
		t.Errorf("%+v", got)
	}
	w.wantOneRowARun()
}
