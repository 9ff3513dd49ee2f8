package main

import (
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// replayLoad is what is replayed: runs of five agents, interleaved, with repeated events.
var replayLoad = load{Seed: 20261128, Runs: 50, Agents: 5, Duplicates: 3}

// testReplayKill fills an empty store from a full stream by replay --apply: interrupted behind a part of the runs, after
// which it goes on by the command that it prints, and then, with everything gone, killed at random points and run again.
// RUNMETRICS_TEST_KILLS is how often.
func testReplayKill(t *testing.T, s *system) {
	kills := int(setting(t, "RUNMETRICS_TEST_KILLS", 2))
	const n = 40_000 // sorted into three parts
	s.onEachStore(t, func(t *testing.T, w *world) {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		t.Logf("moments of seed %d", seed)
		w.publish(t, replayLoad, n, 0).want(t, exitOK, patience)
		w.interruptReplay(t, len(oracle(replayLoad, n))/2)
		w.wantReplayed(t)
		w.emptyRuns(t)
		killed := 0
		for range kills {
			p := w.start(t, w.environ, "replay", "--apply")
			select {
			case <-p.ended:
			case <-time.After(time.Duration(random.IntN(1500)) * time.Millisecond):
				p.kill(t)
				killed++
			}
		}
		w.call(t, w.environ, "replay", "--apply")
		t.Logf("killed %d times", killed)
		w.wantReplayed(t)
		// The service reads the whole stream, and knows all of it.
		p := w.run(t)
		total := int64(replayLoad.Len(n))
		p.reaches(t, uint64(total), patience)
		p.wantOracle(t, replayLoad, n)
		p.terminate(t)
		w.wantStanding(t, standing{sequence: total, duplicates: total})
	})
}

// emptyRuns removes all that is stored of runs.
func (w *world) emptyRuns(t *testing.T) {
	t.Helper()
	db := openWritable(t, w.environ)
	for _, table := range []string{"campaign_metrics", "event_chunks", "voided_events"} {
		if _, err := db.ExecContext(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
}

// interruptReplay sends SIGTERM to a replay when so many runs are repaired, and goes on by the command that it prints.
func (w *world) interruptReplay(t *testing.T, runs int) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	p := w.start(t, w.environ, "replay", "--apply")
	until(t, patience, "half of the runs are repaired", func() bool {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM campaign_metrics").Scan(&n)
		return err == nil && n >= runs
	})
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.want(t, exitLeftovers, patience)
	_, resume, found := strings.Cut(p.stderr.String(), "resume with: runmetrics ")
	if !found {
		t.Fatalf("does not say how to go on: %s", p.stderr.String())
	}
	line, _, _ := strings.Cut(resume, "\n")
	shell := exec.Command("sh", "-c", w.binary+" "+line)
	for name, value := range w.environ {
		shell.Env = append(shell.Env, name+"="+value)
	}
	said, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, said)
	}
	t.Logf("interrupted: …%s\nresumed: %s", p.stdout.String(), said)
}

// wantReplayed fails the test unless a dry run finds all runs equal.
func (w *world) wantReplayed(t *testing.T) {
	t.Helper()
	p := w.call(t, w.environ, "replay", "--output", "json")
	var report compareReport
	if err := json.Unmarshal([]byte(p.stdout.String()), &report); err != nil {
		t.Fatal(err)
	}
	if report.Counts.Equal != report.Counts.Runs || report.Counts.Runs == 0 {
		t.Errorf("in the end %+v", report.Counts)
	}
}

// manyReplayMemory is what the README promises that replay needs at most, in bytes, whatever the number of runs.
const manyReplayMemory = 500 << 20

// testReplayMany compares a day's stream of runs of one or two executions with an empty store, backfills that, and compares
// again; then it backfills another one from an archive. RUNMETRICS_TEST_RUNS=5000000 makes it a large day.
func testReplayMany(t *testing.T, s *system) {
	d := day{runs: sizeOf(t, "RUNMETRICS_TEST_RUNS", 5_000)}
	s.onEachStore(t, func(t *testing.T, w *world) {
		total := publishEach(t, testJetStream(t, w.broker), d.messages(), nil)
		t.Logf("%d events of %d runs", total, d.runs)
		w.measured(t, exitLeftovers, total, manyReplayMemory, "replay", "--limit", "0")
		w.measured(t, exitOK, total, manyReplayMemory, "replay", "--apply", "--limit", "0")
		w.wantSums(t, d)
		w.measured(t, exitOK, total, manyReplayMemory, "replay")

		archive := filepath.Join(t.TempDir(), "archive.ndjson.gz")
		w.call(t, w.environ, "export", archive)
		w.environ["DATA_DIR"] = t.TempDir()
		if w.postgres != nil {
			w.environ["DATABASE_URL"] = w.postgres.CreateDatabase(t)
		}
		w.environ["DEPLOYMENT"] = "other"
		w.call(t, w.environ, "setup")
		w.measured(t, exitOK, total, manyReplayMemory, "replay", archive, "--apply", "--limit", "0")
		w.wantSums(t, d)
	})
}

// measured runs the program, which must end with the code, and says how long it took for how many events. More memory than
// most, in bytes, fails the test.
func (w *world) measured(t *testing.T, code, total int, most int64, args ...string) {
	t.Helper()
	began, peak := time.Now(), int64(0)
	p := w.start(t, w.environ, args...)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p.over() {
		peak = max(peak, p.peakMemory(t))
		select {
		case <-tick.C:
		case <-p.ended:
		}
	}
	p.want(t, code, time.Second)
	took := time.Since(began)
	t.Logf("%v: %s, %.0f/s, peak %d MB", args, took.Round(time.Millisecond), float64(total)/took.Seconds(), peak>>20)
	if peak > most {
		t.Errorf("%v needed %d MB of memory, more than %d MB", args, peak>>20, most>>20)
	}
}
