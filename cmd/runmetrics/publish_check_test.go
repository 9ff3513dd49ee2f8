package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// noConfiguration is an environment with which every command that reads it ends.
var noConfiguration = map[string]string{"NATS_URL": "ftp://nowhere", "LOG_LEVEL": "loudest"}

func TestPublishCheckNamesWhatWouldBeRefused(t *testing.T) {
	t.Parallel()
	lines := strings.Join([]string{
		eventLine("one"),
		"",
		`{"id":"two","campaignId":"c","runId":"r","phase":"1"}`,
		"  " + eventLine("three") + "\r",
		`{"id":"` + strings.Repeat("x", events.MaxSize+100) + `"}`,
		`not JSON`,
		strings.Replace(eventLine("four"), "2026-01-01", "2126-01-01", 1),
		strings.Replace(eventLine("one"), `"latencyMs":5`, `"latencyMs":6`, 1),
		strings.Replace(eventLine("one"), `"latencyMs":5`, `"latencyMs":5.0,"attempt":1`, 1), // the same, written otherwise
		strings.Replace(eventLine("one"), `"runId":"r"`, `"runId":"s"`, 1),                   // another run
		`{"specversion":"1.0","id":"five","time":"2026-01-01T00:00:00Z",` +
			`"data":{"campaignId":"c","runId":"r","phase":"1","type":"run.started"}}`,
	}, "\n")
	r := call(t, noConfiguration, lines, "publish", "--check", "-")
	r.want(t, exitLeftovers)
	want := "checked 10, good 4, repeated 1, would be refused 5: malformed 1, too_large 1, invalid 2, conflicting_duplicate 1\n"
	if r.stdout != want {
		t.Errorf("summary %q, want %q", r.stdout, want)
	}
	for _, part := range []string{
		"line 3: invalid: occurredAt is required; agentId is required; status is required",
		"line 5: too_large: ",
		"line 6: malformed: ",
		"line 7: invalid: occurredAt must not lie more than 24 h ahead",
		"line 8: conflicting_duplicate: line 1 has the same id in the same run, with other content",
	} {
		if !strings.Contains(r.stderr, part) {
			t.Errorf("stderr does not say %q:\n%s", part, r.stderr)
		}
	}
	if n := strings.Count(r.stderr, "\n"); n != 5 {
		t.Errorf("%d lines, want one for each bad line:\n%s", n, r.stderr)
	}
}

func TestPublishCheckOfGoodEventsSaysNothingElse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	packed := gzip.NewWriter(file)
	for i := range 3000 {
		fmt.Fprintln(packed, eventLine(fmt.Sprint(i%2000)))
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	r := call(t, noConfiguration, "", "publish", "--check", path)
	r.want(t, exitOK)
	if r.stdout != "checked 3000, good 2000, repeated 1000, would be refused 0\n" || r.stderr != "" {
		t.Errorf("says %s%s", r.stdout, r.stderr)
	}
	if err := os.Truncate(path, 200); err != nil {
		t.Fatal(err)
	}
	r = call(t, noConfiguration, "", "publish", "--check", path)
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "breaks off") {
		t.Errorf("of a file that was cut it says %s", r.stderr)
	}
}

func TestPublishCheckOfRealEvents(t *testing.T) {
	t.Parallel()
	call(t, noConfiguration, "", "publish", "--check", "../../testdata/agent-benchmark/events.ndjson").want(t, exitOK)
}

func TestPublishCheckSaysHowFarItWasWhenInterrupted(t *testing.T) {
	t.Parallel()
	stdin, pipe := io.Pipe() // nothing more comes, and it does not end
	t.Cleanup(func() { pipe.Close() })
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"publish", "--check", "-"}, noConfiguration, stdin, &stdout, &stderr)
	}()
	fmt.Fprintln(pipe, eventLine("one"))
	fmt.Fprintln(pipe, "not JSON")
	eventually(t, "the bad line is named", func() bool { return strings.Contains(stderr.String(), "line 2: malformed") })
	interrupt()
	if code := <-done; code != exitLeftovers {
		t.Errorf("exit code %d", code)
	}
	if got := stdout.String(); got != "checked 2, good 1, repeated 0, would be refused 1: malformed 1\n" {
		t.Errorf("summary %q", got)
	}
	if got := stderr.String(); !strings.Contains(got, "interrupted: 2 events were checked, the rest was not") {
		t.Errorf("says %s", got)
	}
}

func TestPublishCheckRefusesFlagsThatSend(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"publish", "--check"}, {"publish", "--check", "a", "b"}, {"publish", "--check", "--generate", "5"},
		{"publish", "--check", "a", "--rate", "5"},
	} {
		call(t, nil, "", args...).want(t, exitUsage)
	}
	call(t, nil, "", "publish", "--check", "/nowhere").want(t, exitFailure)
}
