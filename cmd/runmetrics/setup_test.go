package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// verdicts are what setup says of each thing, by its first two words.
func verdicts(out string) map[string]string {
	said := make(map[string]string)
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if words := strings.Fields(line); !strings.HasPrefix(line, " ") && len(words) > 2 {
			said[words[0]+" "+words[1]] = strings.Join(words[2:], " ")
		}
	}
	return said
}

func wantVerdicts(t *testing.T, r result, want map[string]string) {
	t.Helper()
	got := verdicts(r.stdout)
	if len(got) != len(want) {
		t.Errorf("speaks of %d things, want %d:\n%s%s", len(got), len(want), r.stdout, r.stderr)
	}
	for thing, verdict := range want {
		if !strings.HasPrefix(got[thing], verdict) {
			t.Errorf("%s: %q, want %q", thing, got[thing], verdict)
		}
	}
}

const (
	testConsumer = "consumer RUN_EVENTS/runmetrics-main"
	testMessages = "consumer RUN_EVENTS/runmetrics_messages-main"
)

func TestSetupMakesWhatIsMissingOnceAndNothingInADryRun(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)

	dry := call(t, environ, "", "setup", "--dry-run")
	dry.want(t, exitOK)
	wantVerdicts(t, dry, map[string]string{"schema sqlite": "would be created", "stream RUN_EVENTS": "would be created",
		testConsumer: "depends on the database's identity", testMessages: "depends on the database's identity"})
	if _, err := js.Stream(t.Context(), "RUN_EVENTS"); err == nil {
		t.Fatal("the dry run made a stream")
	}
	if again := call(t, environ, "", "setup", "--dry-run"); again.stdout != dry.stdout {
		t.Errorf("the dry run changed something:\n%s", again.stdout)
	}

	r := call(t, environ, "", "setup")
	r.want(t, exitOK)
	wantVerdicts(t, r, map[string]string{"schema sqlite": "created", "stream RUN_EVENTS": "created", testConsumer: "created", testMessages: "created"})
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	if c.Retention != jetstream.LimitsPolicy || c.Discard != jetstream.DiscardNew || c.MaxAge != 30*24*time.Hour ||
		c.MaxBytes != defaultStreamBytes || c.MaxMsgSize != 1<<20 || !c.DenyDelete || c.Duplicates != 2*time.Minute ||
		len(c.Subjects) != 1 || c.Subjects[0] != "runs.>" {
		t.Errorf("stream %+v", c)
	}

	same := map[string]string{"schema sqlite": "unchanged", "stream RUN_EVENTS": "unchanged", testConsumer: "unchanged", testMessages: "unchanged"}
	for _, args := range [][]string{{"setup"}, {"setup", "--dry-run"}, {"setup", "--adopt"}} {
		again := call(t, environ, "", args...)
		again.want(t, exitOK)
		wantVerdicts(t, again, same)
	}
}

func TestSetupMendsAStreamAndSaysHow(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RUN_EVENTS", Subjects: []string{"runs.*.*"},
		MaxAge: time.Hour, MaxBytes: 1 << 20, Compression: jetstream.S2Compression, Description: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	dry := call(t, environ, "", "setup", "--dry-run", "--max-bytes", "2MiB")
	dry.want(t, exitOK)
	r := call(t, environ, "", "setup", "--max-bytes", "2MiB")
	r.want(t, exitOK)
	for _, d := range []string{"subjects: runs.*.* → runs.>", "discard: DiscardOld → DiscardNew", "max age: 1h0m0s → 720h0m0s",
		"max bytes: 1048576 → 2097152", "deny delete: false → true"} {
		if !strings.Contains(dry.stdout, d) || !strings.Contains(r.stdout, d) {
			t.Errorf("does not say %q:\n%s%s", d, dry.stdout, r.stdout)
		}
	}
	if !strings.HasPrefix(verdicts(r.stdout)["stream RUN_EVENTS"], "changed") {
		t.Errorf("says %s", r.stdout)
	}
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Config; c.Compression != jetstream.S2Compression || c.Description != "ours" || c.MaxBytes != 2<<20 {
		t.Errorf("what was not ours to change: %+v", c)
	}
	again := call(t, environ, "", "setup")
	again.want(t, exitOK)
	if got := verdicts(again.stdout)["stream RUN_EVENTS"]; got != "unchanged" {
		t.Errorf("without --max-bytes the size changes: %s", again.stdout)
	}
}

func TestSetupRefusesAnotherDatabaseUntilItIsAdopted(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	moved := with(environ, map[string]string{"DATA_DIR": t.TempDir()})
	r := call(t, moved, "", "setup")
	r.want(t, exitFailure)
	if got := verdicts(r.stdout)[testConsumer]; !strings.HasPrefix(got, "failed: ") || !strings.Contains(got, environ["DATA_DIR"]) ||
		!strings.Contains(got, moved["DATA_DIR"]) || !strings.Contains(got, "--adopt") {
		t.Errorf("does not name both databases and the way out: %s", got)
	}
	dry := call(t, moved, "", "setup", "--adopt", "--dry-run")
	dry.want(t, exitOK)
	wantVerdicts(t, dry, map[string]string{"schema sqlite": "unchanged", "stream RUN_EVENTS": "unchanged", testConsumer: "would be changed",
		testMessages: "unchanged"})
	adopted := call(t, moved, "", "setup", "--adopt")
	adopted.want(t, exitOK)
	wantVerdicts(t, adopted, map[string]string{"schema sqlite": "unchanged", "stream RUN_EVENTS": "unchanged", testConsumer: "changed",
		testMessages: "unchanged"})
	call(t, moved, "", "setup").want(t, exitOK)
	call(t, environ, "", "setup").want(t, exitFailure)
}

func TestSetupKeepsTheConsumersPlaceWhenItIsMended(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	call(t, environ, "", "setup").want(t, exitOK)
	c, err := js.Consumer(t.Context(), "RUN_EVENTS", consumer.ConsumerName("main"))
	if err != nil {
		t.Fatal(err)
	}
	lame := c.CachedInfo().Config
	lame.AckWait, lame.MaxAckPending = time.Hour, 7
	if _, err := js.UpdateConsumer(t.Context(), "RUN_EVENTS", lame); err != nil {
		t.Fatal(err)
	}
	r := call(t, environ, "", "setup")
	r.want(t, exitOK)
	if !strings.Contains(r.stdout, "ack wait: 1h0m0s → 1s") || !strings.Contains(r.stdout, "max ack pending: 7 → 1") {
		t.Errorf("says %s", r.stdout)
	}
	mended, err := js.Consumer(t.Context(), "RUN_EVENTS", consumer.ConsumerName("main"))
	if err != nil {
		t.Fatal(err)
	}
	if info := mended.CachedInfo(); info.Config.MaxAckPending != 1 || !info.Created.Equal(c.CachedInfo().Created) {
		t.Errorf("made anew: %+v", info)
	}
}

func TestSetupMakesPartitionsThatShareTheEvents(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	environ = with(environ, map[string]string{"STREAMS": "RUN_EVENTS_0,RUN_EVENTS_1,RUN_EVENTS"})
	r := call(t, environ, "", "setup", "--max-bytes", "10MB")
	r.want(t, exitOK)
	js := testJetStream(t, b)
	for subject, stream := range map[string]string{"runs.c.r": "RUN_EVENTS", "runs.0.c.r": "RUN_EVENTS_0",
		"runs.1.c.r": "RUN_EVENTS_1"} {
		if ack, err := js.Publish(t.Context(), subject, []byte("{}")); err != nil || ack.Stream != stream {
			t.Errorf("%s goes to %+v, %v", subject, ack, err)
		}
	}
	again := call(t, environ, "", "setup")
	again.want(t, exitOK)
	for thing, verdict := range verdicts(again.stdout) {
		if verdict != "unchanged" {
			t.Errorf("%s: %s", thing, verdict)
		}
	}
}

func TestSetupDoesWhatItCanReach(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	r := call(t, with(environ, map[string]string{"DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/db"}), "", "setup")
	r.want(t, exitFailure)
	wantVerdicts(t, r, map[string]string{"schema postgres": "failed: ", "stream RUN_EVENTS": "created", testConsumer: "failed: needs the database",
		testMessages: "failed: needs the database"})
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("shows the password: %s%s", r.stdout, r.stderr)
	}
	b.Stop()
	r = call(t, environ, "", "setup")
	r.want(t, exitFailure)
	wantVerdicts(t, r, map[string]string{"schema sqlite": "created", "stream RUN_EVENTS": "failed: connect to NATS"})
}

// The server is a part of the service, which is not up yet: there is nothing to prepare.
func TestSetupLeavesTheEmbeddedServerToTheService(t *testing.T) {
	t.Parallel()
	r := call(t, map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:1"}, "", "setup")
	r.want(t, exitOK)
	wantVerdicts(t, r, map[string]string{"schema sqlite": "created", "stream RUN_EVENTS": "skipped: runmetrics run makes it"})
}

func TestSizesAreReadWithTheirUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1": 1, "500MB": 500e6, "2GiB": 2 << 30, "10 gb": 10e9, "7b": 7, "1TiB": 1 << 40,
		"0": 0, "-1": 0, "1.5GB": 0, "GB": 0, "9999999999GB": 0, "": 0} {
		var b byteSize
		if err := b.Set(text); int64(b) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, b, err)
		}
	}
}
