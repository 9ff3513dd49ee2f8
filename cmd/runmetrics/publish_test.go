package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

func eventLine(id string) string {
	return fmt.Sprintf(`{"id":%q,"campaignId":"c.1","runId":"r","phase":"1","occurredAt":"2026-01-01T00:00:00Z",`+
		`"agentId":"a","status":"succeeded","latencyMs":5,"unknown":"kept"}`, id)
}

func TestPublishSendsGoodLinesAndNamesBadOnes(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	stream := testStream(t, js, 1<<20)
	file := writeFile(t, strings.Join([]string{
		eventLine("one"),
		"",
		`{"id":"two","campaignId":"c","runId":"r","phase":"1"}`,
		"  " + eventLine("three") + "\r",
		`{"id":"` + strings.Repeat("x", events.MaxSize+100) + `"}`,
		`not JSON`,
		strings.Replace(eventLine("four"), "2026-01-01", "2126-01-01", 1),
		`{"specversion":"1.0","id":"five","time":"2026-01-01T00:00:00Z",` +
			`"data":{"campaignId":"c","runId":"r","phase":"1","type":"run.started"}}`,
		eventLine("six"),
	}, "\n"))
	r := call(t, environ, "", "publish", file)
	r.want(t, exitLeftovers)
	if !strings.HasPrefix(r.stdout, "published 4, duplicates 0, refused 4, ") {
		t.Errorf("summary %q", r.stdout)
	}
	for _, part := range []string{"line 3: invalid: occurredAt is required; agentId is required", "line 5: too_large",
		"line 6: malformed", "line 7: invalid: occurredAt"} {
		if !strings.Contains(r.stderr, part) {
			t.Errorf("stderr does not say %q:\n%s", part, r.stderr)
		}
	}
	first, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if first.Subject != "runs.c%2E1.r" || string(first.Data) != eventLine("one") ||
		first.Header.Get(jetstream.MsgIDHeader) != "c%2E1/r/1/one" {
		t.Errorf("stored %s %v %s", first.Subject, first.Header, first.Data)
	}

	again := call(t, environ, eventLine("one")+"\n"+eventLine("seven"), "publish", "-")
	again.want(t, exitOK)
	if !strings.HasPrefix(again.stdout, "published 1, duplicates 1, refused 0, ") || messages(t, stream) != 5 {
		t.Errorf("again: %q, %d messages", again.stdout, messages(t, stream))
	}
}

func TestPublishGeneratesTheSameEventsTwice(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	stream := testStream(t, testJetStream(t, b), 64<<20)
	args := []string{"publish", "--generate", "3000", "--runs", "3", "--agents", "50", "--seed", "9", "--duplicates", "4"}
	l := load{Seed: 9, Runs: 3, Agents: 50, Duplicates: 4}
	total := l.Len(3000)

	r := call(t, environ, "", args...)
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, fmt.Sprintf("published %d, duplicates 0, refused 0, ", total)) {
		t.Errorf("summary %q", r.stdout)
	}
	r = call(t, environ, "", args...)
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, fmt.Sprintf("published 0, duplicates %d, refused 0, ", total)) {
		t.Errorf("second summary %q", r.stdout)
	}
	if got := messages(t, stream); got != uint64(total) {
		t.Errorf("the stream has %d messages, want %d", got, total)
	}
}

func TestPublishKeepsTheRate(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	testStream(t, testJetStream(t, b), 64<<20)
	began := time.Now()
	call(t, environ, "", "publish", "--generate", "200", "--rate", "400").want(t, exitOK)
	if took := time.Since(began); took < 490*time.Millisecond {
		t.Errorf("200 events at 400/s took %v", took)
	}
}

func TestPublishWaitsForWhatIsUnderWayWhenInterrupted(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	stream := testStream(t, testJetStream(t, b), 64<<20)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var stdout, stderr syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"publish", "--generate", "1000000", "--rate", "2000"}, environ, strings.NewReader(""), &stdout, &stderr)
	}()
	eventually(t, "some events are stored", func() bool { return messages(t, stream) > 100 })
	interrupt()
	if code := <-done; code != exitLeftovers {
		t.Errorf("exit code %d", code)
	}
	var stored, sent int
	if _, err := fmt.Sscanf(stderr.String(), "runmetrics: interrupted: the stream has %d of the %d events sent", &stored, &sent); err != nil {
		t.Fatalf("says %q: %v", stderr.String(), err)
	}
	if stored != sent || uint64(stored) != messages(t, stream) {
		t.Errorf("says %d of %d, the stream has %d", stored, sent, messages(t, stream))
	}
}

func TestPublishStopsWhereTheStreamIsFull(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	stream := testStream(t, testJetStream(t, b), 16<<10)
	r := call(t, environ, "", "publish", "--generate", "5000")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "maximum bytes exceeded") || !strings.Contains(r.stderr, "--max-bytes") {
		t.Errorf("says %s", r.stderr)
	}
	if got := fmt.Sprintf("published %d, ", messages(t, stream)); !strings.HasPrefix(r.stdout, got) {
		t.Errorf("summary %q, the stream has %s", r.stdout, got)
	}
}

func TestPublishSurvivesARestartOfTheBroker(t *testing.T) {
	t.Parallel()
	cfg := &Config{DataDir: t.TempDir(), NATSListen: "127.0.0.1:0", Deployment: "test"}
	b, err := startBroker(cfg, SyncEvery(time.Minute), quiet())
	if err != nil {
		t.Fatal(err)
	}
	stream := testStream(t, testJetStream(t, b), 64<<20)
	cfg.NATSListen = strings.TrimPrefix(b.URL(), "nats://")
	var stdout, stderr syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- run(t.Context(), []string{"publish", "--generate", "4000", "--rate", "4000"},
			map[string]string{"NATS_URL": b.URL(), "DATA_DIR": t.TempDir()}, strings.NewReader(""), &stdout, &stderr)
	}()
	eventually(t, "some events are stored", func() bool { return messages(t, stream) > 500 })
	b.Stop()
	b, err = startBroker(cfg, SyncEvery(time.Minute), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	if code := <-done; code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	stream, err = testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if got := messages(t, stream); got != 4000 {
		t.Errorf("the stream has %d messages, want 4000: %s", got, stdout.String())
	}
}

func TestPublishWithoutAStreamSaysHowOneIsMade(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	r := call(t, environ, eventLine("one"), "publish", "-")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "runmetrics setup") || !strings.HasPrefix(r.stdout, "published 0, ") {
		t.Errorf("says %s%s", r.stdout, r.stderr)
	}
}

func TestPublishRefusesFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"publish"}, {"publish", "a", "b"}, {"publish", "a", "--generate", "5"}, {"publish", "--generate", "-1"},
		{"publish", "--generate", "5", "--agents", "0"}, {"publish", "--generate", "5", "--duplicates", "101"},
		{"publish", "--generate", "5", "--runs", "0"}, {"publish", "a", "--rate", "-1"}, {"publish", "a", "--speed", "1"},
	} {
		call(t, nil, "", args...).want(t, exitUsage)
	}
	call(t, nil, "", "publish", "/nowhere").want(t, exitFailure)
}
