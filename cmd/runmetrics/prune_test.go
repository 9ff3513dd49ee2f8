package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

// prunedLoad is a load whose runs finish one after the other.
var prunedLoad = load{Seed: 3, Runs: 1, Agents: 20}

const prunedRuns = 30

// systemToPrune has finished runs, whose table rows it returns, and one that is not closed.
func systemToPrune(t *testing.T) (*broker, map[string]string) {
	t.Helper()
	b, environ := setUp(t)
	call(t, environ, "", "publish", "--generate", fmt.Sprint(prunedRuns*prunedLoad.perRun()+5), "--seed", "3", "--runs", "1",
		"--agents", "20").want(t, exitOK)
	readOut(t, b, environ)
	return b, environ
}

func TestPruneDropsExecutionsAndKeepsFigures(t *testing.T) {
	t.Parallel()
	_, environ := systemToPrune(t)
	before := tablesOf(t, environ)
	half := prunedLoad.At(prunedRuns / 2 * prunedLoad.perRun()).OccurredAt.Format("2006-01-02T15:04:05.999999Z07:00")

	r := call(t, environ, "", "prune", "--before", half)
	r.want(t, exitOK)
	executions := prunedRuns / 2 * (prunedLoad.Agents + prunedLoad.retries())
	if want := fmt.Sprintf("%d runs with %d executions finished before 2026-01-01T00:00:0", prunedRuns/2, executions); !strings.HasPrefix(r.stdout, want) ||
		!strings.Contains(r.stdout, "nothing was changed") {
		t.Errorf("says %s, want %s", r.stdout, want)
	}
	if after := tablesOf(t, environ); !slices.Equal(after["agent_runs"], before["agent_runs"]) {
		t.Error("a dry run changed something")
	}

	file := filepath.Join(t.TempDir(), "pruned.ndjson.gz")
	r = call(t, environ, "", "prune", "--before", half, "--apply", "--export", file, "--output", "json")
	r.want(t, exitOK)
	t.Log(r.stdout)
	if !strings.Contains(r.stdout, fmt.Sprintf(`"sealed": %d,`, prunedRuns/2)) ||
		!strings.Contains(r.stdout, fmt.Sprintf(`"exported": %d,`, prunedRuns/2*prunedLoad.perRun())) {
		t.Errorf("says %s", r.stdout)
	}
	after := tablesOf(t, environ)
	if len(after["agent_runs"]) != len(before["agent_runs"])-executions {
		t.Errorf("%d executions are left of %d", len(after["agent_runs"]), len(before["agent_runs"]))
	}
	if !slices.Equal(unsealed(after), unsealed(before)) {
		t.Error("figures were changed")
	}
	db := openDatabase(t, environ)
	defer db.Close()
	wantAudit(t, db, "prune", "prune --before "+half+" --apply --export "+file+" --output json|done|"+oneLine(r.stdout)+"|true")

	call(t, environ, "", "prune", "--before", half, "--apply", "--export", file).want(t, exitFailure)
	r = call(t, environ, "", "prune", "--before", half, "--apply")
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, "0 runs with 0 executions") {
		t.Errorf("the second time: %s", r.stdout)
	}

	empty, emptyEnviron := setUp(t)
	call(t, emptyEnviron, "", "publish", file).want(t, exitOK)
	readOut(t, empty, emptyEnviron)
	kept := tablesOf(t, emptyEnviron)
	all := slices.Sorted(slices.Values(append(kept["agent_runs"], after["agent_runs"]...)))
	if !slices.Equal(all, before["agent_runs"]) {
		t.Error("the file and the store do not have all executions together")
	}
}

// unsealed are the rows of campaign_metrics without their seals.
func unsealed(tables map[string][]string) []string {
	list := slices.Clone(tables["campaign_metrics"])
	for i, row := range list {
		list[i], _, _ = strings.Cut(row, "sealed_at=")
	}
	return list
}

// oneLine is indented JSON without its white space.
func oneLine(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Replace(strings.TrimSpace(line), `": `, `":`, 1))
	}
	return b.String()
}

func TestPruneOfACampaignLeavesTheOthers(t *testing.T) {
	t.Parallel()
	_, environ := systemToPrune(t)
	r := call(t, environ, "", "prune", "--before", "2026-02-01", "--campaign", "other", "--apply")
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, "0 runs") {
		t.Errorf("says %s", r.stdout)
	}
	call(t, environ, "", "prune", "--before", "2026-02-01", "--run", "run-000007", "--apply").want(t, exitOK)
	for _, row := range tablesOf(t, environ)["agent_runs"] {
		if strings.Contains(row, "run_id=run-000007 ") {
			t.Errorf("left %s", row)
		}
	}
}

func TestPruneSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"DATA_DIR": t.TempDir()}
	for _, c := range []struct{ args, want string }{
		{"", "--before says which runs"},
		{"--before 2126-01-01", "must not lie in the future"},
		{"--before 2026-01-01 --export file", "--export goes with --apply"},
		{"--before yesterday", "write a time such as"},
	} {
		r := call(t, environ, "", append([]string{"prune"}, strings.Fields(c.args)...)...)
		r.want(t, exitUsage)
		if !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q says %s", c.args, r.stderr)
		}
	}
	call(t, environ, "", "prune", "--before", "2026-01-01").want(t, exitFailure) // there is no store
}

// A killed prune leaves the last part of its file cut. All that was flushed, which stands before it, can be read.
func TestWhatWasFlushedCanBeReadFromACutArchive(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	a := newArchive(&text, true)
	for i := range 300 {
		e := prunedLoad.At(i)
		if err := a.write(&e); err != nil {
			t.Fatal(err)
		}
		if i == 99 || i == 199 || i == 299 {
			if err := a.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := writeFile(t, text.String())
	info, err := os.Stat(file)
	if err == nil {
		err = os.Truncate(file, info.Size()-100)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = replay.OpenFile(file, nil, replay.Filter{}).Read(t.Context(), func(r *replay.Record) error {
		want := prunedLoad.At(n)
		if r.Rejected != nil || string(events.Encode(&r.Event)) != string(events.Encode(&want)) {
			t.Errorf("line %d: %v", r.Sequence, r.Rejected)
		}
		n++
		return nil
	})
	if n < 200 || n >= 300 || err == nil || !strings.Contains(err.Error(), "breaks off") {
		t.Errorf("%d events, error %v", n, err)
	}
}
