package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// natsTool builds the nats command line tool and returns the directory that it is in, or "" where tests do without it.
// The go command keeps what it built. Call it before t.Parallel, so that it builds once.
func natsTool(t *testing.T) string {
	t.Helper()
	if os.Getenv("RUNMETRICS_TEST_ALL") != "1" || testing.Short() {
		return ""
	}
	began := time.Now()
	build := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/go.mod", "-n", "nats")
	build.Dir = "../.."
	path, err := build.Output()
	if err != nil {
		t.Fatalf("%v: %v", build.Args, err)
	}
	t.Logf("the nats tool is there after %s", time.Since(began).Round(time.Millisecond))
	return filepath.Dir(strings.TrimSpace(string(path)))
}

// shell runs a command line where the tool is in PATH, and wants it to succeed.
func shell(t *testing.T, tool, line, stdin string) (said string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "sh", "-c", line)
	command.Stdin = strings.NewReader(stdin)
	home := t.TempDir() // the tool's contexts are there
	command.Env = []string{"PATH=" + tool + ":" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "NO_PROXY=*"}
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	return string(out)
}

// TestReadmePublishes runs the README's commands that publish, twice, as they stand there but for addresses.
func TestReadmePublishes(t *testing.T) {
	tool := natsTool(t)
	t.Parallel()
	at := startDev(t)
	_, err := exec.LookPath("curl")
	curl := err == nil
	shown := shownCommands(section(t, readFile(t, "../../README.md"), "## Publish events"))
	if len(shown) != 7 {
		t.Fatalf("%d commands: %q", len(shown), shown)
	}
	for _, line := range slices.Concat(shown, shown) {
		line = strings.NewReplacer("nats://127.0.0.1:4222", at.NATS, "http://localhost:8080", at.API).Replace(line)
		program, _, _ := strings.Cut(line, " ")
		own, isOwn := strings.CutPrefix(line, "go run ./cmd/runmetrics ")
		switch {
		case isOwn:
			args := strings.Fields(strings.ReplaceAll(own, "testdata/", "../../testdata/"))
			call(t, map[string]string{"NATS_URL": at.NATS}, "", args...).want(t, exitOK)
		case program == "nats" && tool != "":
			wantParts(t, shell(t, tool, line, ""), "Stored in Stream: RUN_EVENTS")
		case program == "curl" && curl:
			shell(t, "", line, "")
		default:
			t.Logf("not run: %.60s…", line)
		}
	}
	want := map[string]int64{"summer-sale": 0,
		"fs-agent-benchmark": int64(strings.Count(readFile(t, benchmarkDir+"events.ndjson"), "\n"))}
	for _, has := range []bool{curl, tool != ""} {
		if has {
			want["summer-sale"]++
		}
	}
	wantExecutions(t, at.API, want)
}

// wantExecutions waits until each campaign has so many executions.
func wantExecutions(t *testing.T, api string, want map[string]int64) {
	t.Helper()
	for campaign, n := range want {
		eventually(t, fmt.Sprintf("%s has %d executions", campaign, n), func() bool {
			return executions(list(t, api, campaign)) == n
		})
	}
}

// TestNATSToolPublishesRuns publishes 1,000 executions of 100 runs with the tool, some runs twice, with a publisher's rights
// and no more.
func TestNATSToolPublishesRuns(t *testing.T) {
	tool := natsTool(t)
	if tool == "" {
		t.Skip("builds the nats command line tool, which takes a minute: RUNMETRICS_TEST_ALL=1, without -short")
	}
	t.Parallel()
	g, api := guardedService(t)
	byRun := oddRuns(100, 1000)
	var sent []events.Event
	publish := func(key events.Key) {
		var lines bytes.Buffer
		for i := range byRun[key] {
			lines.Write(append(events.Encode(&byRun[key][i]), '\n'))
		}
		said := shell(t, tool, fmt.Sprintf("nats pub --server %s --inbox-prefix _INBOX_publish --jetstream --no-templates "+
			"--send-on newline %s", g.url("publisher"), events.Subject(key.CampaignID, key.RunID)), lines.String())
		if n := strings.Count(said, "Stored in Stream: RUN_EVENTS"); n != len(byRun[key]) {
			t.Fatalf("%d of %d stored: %s", n, len(byRun[key]), said)
		}
	}
	again := 0
	for key, list := range byRun {
		publish(key)
		if again < 10 {
			publish(key)
			again++
		}
		sent = append(sent, list...)
	}
	want := foldAll(sent)
	eventually(t, "everything is committed", func() bool { return len(differingRuns(t, api, want)) == 0 })
	t.Logf("%d events of %d runs", len(sent), len(want))
}

// oddRuns is a load of so many runs with executions in all, whose names are as odd as names may be.
func oddRuns(runs, executions int) map[events.Key][]events.Event {
	// One agent in eight is retried.
	l := load{Seed: 7, Runs: runs, Agents: executions / runs}
	for l.Agents+l.retries() > executions/runs {
		l.Agents--
	}
	names := []string{"a.b/🚀 %s", "run * %s >", "é%%2F %s", "{{Count}} %s", " lead %s"}
	byRun := make(map[events.Key][]events.Event)
	for e := range l.All(runs * l.perRun()) {
		number := strings.TrimPrefix(e.RunID, "run-")
		e.CampaignID = "nats tool/🚀.{{ID}}"
		e.RunID = fmt.Sprintf(names[int(number[len(number)-1])%len(names)], number)
		e.Phase = "2.3 / é"
		if e.AgentID != "" {
			e.ID = fmt.Sprintf("%s/%d", e.AgentID, e.Attempt)
		}
		byRun[e.Key] = append(byRun[e.Key], e)
	}
	return byRun
}

// differingRuns compares what the API lists of a campaign with what it should, and returns the runs that differ.
func differingRuns(t *testing.T, api string, want map[events.Key]aggregate.Metrics) []string {
	t.Helper()
	left := maps.Clone(want)
	var different []string
	var page struct{ Metrics []aggregate.Metrics }
	for key := range want {
		get(t, api+"/api/metrics/campaign?limit=500&campaignId="+url.QueryEscape(key.CampaignID), &page)
		break
	}
	for _, got := range page.Metrics {
		expected := left[got.Key()]
		delete(left, got.Key())
		got.Version, got.UpdatedAt = 0, time.Time{}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(expected)
		if !bytes.Equal(a, b) {
			different = append(different, got.RunID)
		}
	}
	for key := range left {
		different = append(different, key.RunID)
	}
	return different
}
