package main

import (
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// runbookLoad is what the runbooks are tried with.
var runbookLoad = load{Seed: 20261129, Runs: 8, Agents: 4}

const runbookEvents = 400

// testRunbooks does what RUNBOOKS.md says, line by line in a shell, in a world of its own for each section: with a service
// that runs all the while, and something to be done.
func testRunbooks(t *testing.T, s *system) {
	books := readRunbooks(t)
	for name, tried := range map[string]func(t *testing.T, b *runbook){
		"Prove what is stored":                    tryProve,
		"Last month into a new Neon branch":       tryBranch,
		"A new sink":                              trySink,
		"A restored database":                     tryRestored,
		"A definition changed":                    tryDefinition,
		"Wrong events were published for an hour": tryWrong,
		"Dead letters after a bad deploy":         tryLetters,
		"Archive and prune":                       tryArchive,
	} {
		lines, found := books[name]
		if !found {
			t.Errorf("RUNBOOKS.md has no section %q", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tried(t, &runbook{T: t, system: s, lines: lines, dir: t.TempDir()})
		})
		delete(books, name)
	}
	if len(books) > 0 {
		t.Errorf("not tried: %q", slices.Collect(maps.Keys(books)))
	}
}

// readRunbooks returns the lines of the shell blocks of each section.
func readRunbooks(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../RUNBOOKS.md")
	if err != nil {
		t.Fatal(err)
	}
	books := make(map[string][]string)
	section, shell := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "## "):
			section = line[3:]
		case line == "```sh":
			shell = true
		case line == "```":
			shell = false
		case shell:
			books[section] = append(books[section], line)
		}
	}
	return books
}

// runbook is one section while it is tried.
type runbook struct {
	*testing.T
	*system
	lines []string
	dir   string // where the shell is
	world *world
	bound map[string]string // what the lines with export are to say
}

// follow runs the section's lines. Each must end with 0, or with 3 as dry runs do that found something.
func (b *runbook) follow() (said string) {
	b.Helper()
	for _, line := range b.lines {
		if strings.HasPrefix(line, "export ") {
			continue
		}
		shell := exec.Command("sh", "-c", line)
		shell.Dir = b.dir
		shell.Env = []string{"PATH=" + filepath.Dir(b.binary) + ":" + os.Getenv("PATH")}
		for _, variables := range []map[string]string{b.world.environ, b.bound} {
			for name, value := range variables {
				shell.Env = append(shell.Env, name+"="+value)
			}
		}
		out, err := shell.CombinedOutput()
		said += "$ " + line + "\n" + string(out)
		if code := shell.ProcessState.ExitCode(); err != nil && code != exitLeftovers {
			b.Fatalf("%s\nends with %d: %s", line, code, out)
		}
	}
	b.Logf("%s", said)
	return said
}

// begin publishes the load and lets a service commit it, which goes on until the test ends.
func (b *runbook) begin(w *world) *program {
	b.Helper()
	b.world = w
	w.publish(b.T, runbookLoad, runbookEvents, 0).want(b.T, exitOK, patience)
	p := w.run(b.T)
	p.reaches(b.T, uint64(runbookLoad.Len(runbookEvents)), patience)
	b.bound = map[string]string{"FROM": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
		"TO": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "CAMPAIGN": runbookLoad.At(0).CampaignID,
		"RUN": runbookLoad.At(0).RunID}
	return p
}

func (b *runbook) exec(environ map[string]string, statement string) {
	b.Helper()
	if _, err := openWritable(b.T, environ).ExecContext(b.Context(), statement); err != nil {
		b.Fatalf("%s: %v", statement, err)
	}
}

// wantCount fails the test unless a statement counts so many.
func (b *runbook) wantCount(environ map[string]string, want int, statement string) {
	b.Helper()
	db := openDatabase(b.T, environ)
	defer db.Close()
	var n int
	if err := db.QueryRowContext(b.Context(), statement).Scan(&n); err != nil {
		b.Fatalf("%s: %v", statement, err)
	}
	if n != want {
		b.Errorf("%s: %d, want %d", statement, n, want)
	}
}

func tryProve(t *testing.T, b *runbook) {
	p := b.begin(b.onSQLite(t))
	b.exec(b.world.environ, "UPDATE campaign_metrics SET cost_usd = '1000000' WHERE run_id = '"+b.bound["RUN"]+"'")
	said := b.follow()
	wantParts(t, said, "different", "costUSD 1000000 → ", "different, repaired", "1 runs repaired with 0 events, 0 differences left")
	p.wantOracle(t, runbookLoad, runbookEvents)
	b.wantCount(b.world.environ, 1, "SELECT count(*) FROM audit_log WHERE command = 'replay' AND outcome = 'done'")
}

func tryBranch(t *testing.T, b *runbook) {
	w := b.onPostgres(t)
	b.begin(w)
	b.bound["NEW"] = w.postgres.CreateDatabase(t)
	archive := filepath.Join(b.dir, "old.ndjson")
	old := finishedLine("old", 1)
	if err := os.WriteFile(archive, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	b.bound["ARCHIVE"] = archive
	said := b.follow()
	runs := len(oracle(runbookLoad, runbookEvents))
	wantParts(t, said, fmt.Sprintf("%d runs: 0 equal, %d missing", runs, runs), fmt.Sprintf("%d runs: %d equal\n", runs, runs),
		"1 runs repaired with 1 events")
	branch := with(w.environ, map[string]string{"DATABASE_URL": b.bound["NEW"]})
	b.wantCount(branch, runs+1, "SELECT count(*) FROM campaign_metrics")
	b.wantCount(w.environ, runs, "SELECT count(*) FROM campaign_metrics")
}

// finishedLine is an execution as a line of an archive.
func finishedLine(run string, n int) string {
	e := runbookLoad.At(2)
	e.Key = events.Key{CampaignID: "archived", RunID: run, Phase: "1"}
	e.ID, e.AgentID, e.Type, e.Attempt, e.Status = fmt.Sprint(run, n), fmt.Sprint("agent ", n), events.AgentFinished, 1, events.Succeeded
	e.LatencyMs = 1200
	return string(events.Encode(&e)) + "\n"
}

func trySink(t *testing.T, b *runbook) {
	w := b.onPostgres(t)
	organization, err := emulator.New(emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(organization)
	t.Cleanup(server.Close)
	b.begin(w)
	maps.Copy(b.bound, emulatorEnviron(server.URL))
	b.bound["USE_DATAVERSE"] = "true"
	b.bound["NEW"] = w.postgres.CreateDatabase(t)
	said := b.follow()
	runs := len(oracle(runbookLoad, runbookEvents))
	wantParts(t, said, fmt.Sprintf("%d runs: 0 equal, %d missing", runs, runs), fmt.Sprintf("%d runs: %d equal\n", runs, runs))
	moved := with(w.environ, map[string]string{"DATABASE_URL": b.bound["NEW"], "DEPLOYMENT": "new"})
	p := w.serve(t, moved, "run")
	p.reaches(t, uint64(runbookLoad.Len(runbookEvents)), patience)
	p.wantOracle(t, runbookLoad, runbookEvents)
}

// tryRestored sets the database back by hand: it lacks runs of the stream, which the service reads again, and one that is in
// an archive alone.
func tryRestored(t *testing.T, b *runbook) {
	w := b.onPostgres(t)
	p := b.begin(w)
	archive := filepath.Join(b.dir, "old.ndjson")
	if err := os.WriteFile(archive, []byte(finishedLine("old", 1)+finishedLine("old", 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.terminate(t)
	for _, table := range []string{"campaign_metrics", "event_chunks", "stream_positions"} {
		b.exec(w.environ, "DELETE FROM "+table)
	}
	p = w.run(t)
	p.reaches(t, uint64(runbookLoad.Len(runbookEvents)), patience)
	b.bound["ARCHIVE"] = archive
	wantParts(t, b.follow(), "1 missing", "1 runs repaired with 2 events, 0 differences left")
	p.wantOracle(t, runbookLoad, runbookEvents)
	b.wantCount(w.environ, 2, "SELECT count(*) FROM agent_runs WHERE run_id = 'old'")
}

// tryDefinition changes a figure of every run by hand: what a definition was before.
func tryDefinition(t *testing.T, b *runbook) {
	w := b.onSQLite(t)
	p := b.begin(w)
	runs := len(oracle(runbookLoad, runbookEvents))
	b.exec(w.environ, "UPDATE campaign_metrics SET agents_total = agents_total + 1000")
	wantParts(t, b.follow(), fmt.Sprintf("%d runs: 0 equal, %d different", runs, runs),
		fmt.Sprintf("%d runs repaired with 0 events, 0 differences left", runs), fmt.Sprintf("%d runs: %d equal\n", runs, runs))
	p.wantOracle(t, runbookLoad, runbookEvents)
}

func tryWrong(t *testing.T, b *runbook) {
	w := b.onSQLite(t)
	p := b.begin(w)
	wantParts(t, b.follow(), "tokensIn")
	until(t, patience, "no execution of the campaign counts", func() bool {
		for _, m := range p.list(t, b.bound["CAMPAIGN"]) {
			if m.Executions == nil || *m.Executions != 0 {
				return false
			}
		}
		return true
	})
	b.wantCount(w.environ, 0, "SELECT count(*) FROM agent_runs")
}

func tryLetters(t *testing.T, b *runbook) {
	w := b.onSQLite(t)
	p := b.begin(w)
	js := testJetStream(t, w.broker)
	good := finishedLine("good", 1)
	for _, m := range []struct{ subject, data string }{
		{"runs.archived.wrong", good}, // a wrong subject: it would be refused again
		{"runs.archived.good", strings.Replace(good, `"latencyMs":`, `"latencyMs":-`, 1)}, // edited below
		{"runs.archived.x", "{"}, // given up
	} {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: m.subject, Data: []byte(m.data)}); err != nil {
			t.Fatal(err)
		}
	}
	total := runbookLoad.Len(runbookEvents)
	p.reaches(t, uint64(total)+3, patience)
	editor := filepath.Join(b.dir, "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\nsed -i 's/\"latencyMs\":-/\"latencyMs\":/' \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.bound["EDITOR"], b.bound["SEQUENCE"] = editor, fmt.Sprint(total+2)
	wantParts(t, b.follow(), "invalid", "malformed", "requeued as sequence", "latencyMs must be")
	until(t, patience, "the edited event counts", func() bool {
		list := p.list(t, "archived")
		return len(list) == 1 && *list[0].Executions == 1
	})
	b.wantCount(w.environ, 0, "SELECT count(*) FROM dead_letters WHERE reason = 'malformed' AND resolved_at IS NULL")
}

func tryArchive(t *testing.T, b *runbook) {
	w := b.onSQLite(t)
	p := b.begin(w)
	b.bound["BEFORE"] = time.Now().UTC().Format(time.RFC3339)
	b.follow()
	closed := 0
	for _, m := range oracle(runbookLoad, runbookEvents) {
		if m.FinishedAt != nil {
			closed++
		}
	}
	b.wantCount(w.environ, closed, "SELECT count(*) FROM campaign_metrics WHERE sealed_at IS NOT NULL")
	p.wantOracle(t, runbookLoad, runbookEvents)
	// The archive fills an empty system.
	empty, environ := setUp(t)
	w.call(t, environ, "publish", filepath.Join(b.dir, "archive-2026-10.ndjson.gz"))
	fresh := w.serve(t, environ, "run")
	fresh.reaches(t, uint64(runbookLoad.Len(runbookEvents)), patience)
	fresh.wantOracle(t, runbookLoad, runbookEvents)
	fresh.terminate(t)
	empty.Stop()
}
