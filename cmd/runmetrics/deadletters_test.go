package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// planted is a message that an older program took for a dead letter.
type planted struct {
	subject string
	header  nats.Header
	data    string
	reason  events.Reason
	detail  string
}

// plant publishes messages and keeps them in the store as an older program did, which could take none of them.
func plant(t *testing.T, js jetstream.JetStream, environ map[string]string, list ...planted) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(environ, "")
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), sqliteConfig(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	before, err := store.Position(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	b := &sinks.Batch{Next: before, At: time.Now()}
	b.Next.Epoch, b.Next.Created = 1, stream.CachedInfo().Created
	for _, p := range list {
		m := &nats.Msg{Subject: p.subject, Header: p.header, Data: []byte(p.data)}
		ack, err := js.PublishMsg(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := stream.GetMsg(t.Context(), ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		campaign, run, _ := events.ParseSubject(p.subject)
		b.Next.Sequence, b.Next.MessageTime = ack.Sequence, stored.Time
		b.Next.DeadLetters++
		b.DeadLetters = append(b.DeadLetters, sinks.DeadLetter{Sequence: ack.Sequence, Subject: p.subject, CampaignID: campaign,
			RunID: run, Reason: p.reason, Field: strings.Fields(p.detail + " -")[0], Detail: string(p.reason) + ": " + p.detail,
			Time: stored.Time, Payload: m.Data[:min(len(m.Data), sinks.MaxDeadPayload)]})
	}
	if err := store.Commit(t.Context(), before, b); err != nil {
		t.Fatal(err)
	}
}

// unknownType is an event that an older program did not know.
func unknownType(id string) planted {
	return planted{subject: "runs.c%2E1.r", header: nats.Header{"Nats-Msg-Id": {id}, "Trace": {"t-" + id}}, data: eventLine(id),
		reason: events.UnknownType, detail: "type must be agent.finished"}
}

// listedLetters is what list says.
func listedLetters(t *testing.T, environ map[string]string, args ...string) letterList {
	t.Helper()
	r := call(t, environ, "", append([]string{"deadletters", "list", "--output", "json"}, args...)...)
	r.want(t, exitOK)
	var list letterList
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return list
}

// resolutionsOf shows which letters there are, and what became of them.
func resolutionsOf(list letterList) string {
	var parts []string
	for _, l := range list.Letters {
		parts = append(parts, fmt.Sprintf("%d %s", l.Sequence, l.Resolution))
	}
	return strings.Join(parts, "; ")
}

// crashing is a store whose process dies before it says what became of letters.
type crashing struct{ sinks.Store }

func (crashing) ResolveLetters(context.Context, []sinks.Resolution, time.Time) (int64, error) {
	return 0, fmt.Errorf("crash: %w", sinks.ErrBlocked)
}

// auditRecords is which commands left records, how they ended, and how many.
func auditRecords(t *testing.T, environ map[string]string) (got string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(environ["DATA_DIR"], "runmetrics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.QueryRowContext(t.Context(), `SELECT group_concat(line, ', ') FROM (
		SELECT command || ' ' || outcome || ' ' || count(*) AS line FROM audit_log GROUP BY command, outcome ORDER BY line)`).Scan(&got)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// requeueAndCrash publishes letters again and dies before the store knows.
func requeueAndCrash(t *testing.T, environ map[string]string) {
	t.Helper()
	crashed := &requeueing{letters: letters{app: &app{environ: environ, stdout: io.Discard, stderr: io.Discard}}, apply: true}
	if err := crashed.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer crashed.store.Close()
	crashed.store = crashing{crashed.store}
	conn, err := crashed.connect("deadletters")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := crashed.requeue(t.Context(), conn); !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "run the same command again") {
		t.Fatalf("the crash is not told: %v", err)
	}
}

// mendAndDrop edits the letter at sequence 4, first not well enough, and gives up what is open then.
func mendAndDrop(t *testing.T, environ map[string]string, bad string) {
	t.Helper()
	mended := strings.Replace(bad, `"latencyMs":-5,"attempt":"x"`, `"latencyMs":5,"attempt":"y"`, 1)
	refused := call(t, environ, mended, "deadletters", "requeue", "--sequence", "4", "--payload", "-", "--apply")
	refused.want(t, exitLeftovers)
	wantParts(t, refused.stdout, "1/4 invalid: left: invalid: attempt must be an integer")
	mended = strings.Replace(mended, `"y"`, "2", 1)
	call(t, environ, mended, "deadletters", "requeue", "--sequence", "4", "--payload", "-", "--apply").want(t, exitOK)
	call(t, environ, "", "deadletters", "drop", "--because", "a scanner").want(t, exitOK)
	if n := len(listedLetters(t, environ).Letters); n != 2 {
		t.Errorf("%d letters are open after a dry run, want 2", n)
	}
	call(t, environ, "", "deadletters", "drop", "--because", "a scanner", "--apply").want(t, exitOK)
	empty := call(t, environ, "", "deadletters", "requeue", "--apply")
	if empty.want(t, exitOK); empty.stdout != "no dead letters\n" {
		t.Errorf("says %s", empty.stdout)
	}
}

func TestWhatABadDeployLeftIsPublishedAgainAndAppliedOnce(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	environ["LOG_FORMAT"] = "json"
	call(t, environ, "", "setup").want(t, exitOK)
	bad := strings.Replace(eventLine("bad"), `"latencyMs":5`, `"latencyMs":-5,"attempt":"x"`, 1)
	plant(t, js, environ, unknownType("one"), unknownType("two"), unknownType("three"),
		planted{subject: "runs.c%2E1.r", data: bad, reason: events.Invalid, detail: "attempt must be an integer; latencyMs must be"},
		planted{subject: "runs.c%2E1.r", data: "\x00\xff{", reason: events.Malformed, detail: "not valid JSON"},
		planted{subject: "runs.c%2E1.r", data: eventLine("one"), reason: events.ConflictingDuplicate, detail: "id was used before"})
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	service := startService(t, environ)
	api := service.up(t).API
	examine(t, environ, exitOK).wantCheck(t, verdictWarn, "database", "dead letters", "3 open with reason unknown_type",
		"deadletters requeue --reason unknown_type")

	dry := call(t, environ, "", "deadletters", "requeue")
	dry.want(t, exitLeftovers)
	wantParts(t, dry.stdout, "RUN_EVENTS 1/2 unknown_type: would be accepted, as runs.c%2E1.r",
		"RUN_EVENTS 1/4 invalid: left: invalid: attempt must be an integer from 1 to 1000000; latencyMs must be",
		"RUN_EVENTS 1/6 conflicting_duplicate: left: its id belongs", "unknown_type: 3 would be accepted, 0 would be refused again",
		"--apply publishes the 3")
	if n := messages(t, stream); n != 6 {
		t.Fatalf("a dry run left %d messages in the stream", n)
	}

	// A crash between the two: the stream has the events, and the letters are open.
	requeueAndCrash(t, environ)
	if n := messages(t, stream); n != 9 {
		t.Fatalf("%d messages, want 9", n)
	}

	call(t, environ, "", "deadletters", "requeue", "--apply", "--reason", "unknown_type").want(t, exitOK)
	if n := messages(t, stream); n != 9 {
		t.Errorf("a second try made %d messages of 9", n)
	}
	again, err := stream.GetMsg(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if again.Header.Get("Trace") != "t-one" || !strings.HasPrefix(again.Header.Get("Nats-Msg-Id"), "requeued/RUN_EVENTS/1/1/") ||
		string(again.Data) != eventLine("one") || again.Subject != "runs.c%2E1.r" {
		t.Errorf("published again as %+v", again)
	}

	mendAndDrop(t, environ, bad)
	const want = "1 requeued as sequence 7 of RUN_EVENTS; 2 requeued as sequence 8 of RUN_EVENTS; " +
		"3 requeued as sequence 9 of RUN_EVENTS; 4 requeued as sequence 10 of RUN_EVENTS; 5 dropped: a scanner; 6 dropped: a scanner"
	if got := resolutionsOf(listedLetters(t, environ, "--all")); got != want {
		t.Errorf("resolutions %s\nwant %s", got, want)
	}

	eventually(t, "the events are applied", func() bool { return executions(list(t, api, "c.1")) == 4 })
	var answer struct {
		DeadLetters int
		Metrics     []record
	}
	if status := get(t, api+"/api/metrics/campaign/c.1/runs/r", &answer); status != http.StatusOK || answer.DeadLetters != 0 ||
		len(answer.Metrics) != 1 || answer.Metrics[0].Executions != 4 {
		t.Errorf("%d: %+v", status, answer)
	}
	examine(t, environ, exitOK).wantCheck(t, verdictOK, "database", "dead letters", "none is open")
	if got := auditRecords(t, environ); got != "deadletters drop done 1, deadletters requeue done 4, deadletters requeue failed 1" {
		t.Errorf("records of %s", got)
	}
}

func TestDeadLettersOutliveTheirMessages(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	testStream(t, js, 1<<20)
	long := strings.Replace(eventLine("long"), `"kept"`, `"`+strings.Repeat("x", sinks.MaxDeadPayload)+`"`, 1)
	binary := planted{subject: "runs.c%2E1.r", data: strings.Replace(eventLine(""), `"id":"",`, "", 1), reason: events.UnknownType,
		header: nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"from the header"}}, detail: "type must be agent.finished"}
	cut := unknownType("long")
	cut.data = long
	plant(t, js, environ, unknownType("one"), cut, binary,
		planted{subject: "runs.x", data: "\x1b[31m\xff", reason: events.Malformed, detail: "not valid JSON"})

	show := func(sequence string) string {
		r := call(t, environ, "", "deadletters", "show", "--sequence", sequence)
		r.want(t, exitOK)
		return r.stdout
	}
	wantParts(t, show("2"), fmt.Sprintf("%d bytes\n", len(long)), long, "Nats-Msg-Id: long", "Trace: t-long", "reason")
	wantParts(t, show("4"), "1b 5b 33 31 6d ff")
	call(t, environ, "", "deadletters", "requeue", "--reason", "unknown_type").want(t, exitOK)

	// The sequences are given to other messages.
	if err := js.DeleteStream(t.Context(), "RUN_EVENTS"); err != nil {
		t.Fatal(err)
	}
	stream := testStream(t, js, 1<<20)
	for range 3 {
		if _, err := js.Publish(t.Context(), "runs.other.run", []byte("another message")); err != nil {
			t.Fatal(err)
		}
	}
	wantParts(t, show("2"), "the first 4096 bytes, as the store kept them", long[:sinks.MaxDeadPayload])
	wantParts(t, show("1"), "bytes, as the store kept them\n", eventLine("one"))
	r := call(t, environ, "", "deadletters", "requeue", "--apply")
	r.want(t, exitLeftovers)
	wantParts(t, r.stdout, "1/1 unknown_type: requeued as sequence 4 of RUN_EVENTS", "1/2 unknown_type: left: only its first 4096 bytes",
		"1/3 unknown_type: left: invalid: id is required (without headers", "1/4 malformed: left: malformed")
	if m, err := stream.GetMsg(t.Context(), 4); err != nil || string(m.Data) != eventLine("one") {
		t.Errorf("published %+v: %v", m, err)
	}

	b.Stop()
	r = call(t, environ, "", "deadletters", "show", "--sequence", "1", "--output", "json")
	r.want(t, exitOK)
	wantParts(t, r.stdout, `"source": "store"`, `"whole": true`, `"resolution": "requeued as sequence 4 of RUN_EVENTS"`)
	call(t, environ, "", "deadletters", "requeue").want(t, exitFailure)
}

func TestListSaysWhatItDoesNotShow(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	testStream(t, js, 1<<20)
	environ["DEADLETTER_LIMIT"] = "5"
	var many []planted
	for i := range 8 {
		many = append(many, unknownType(fmt.Sprint(i)))
	}
	odd := planted{subject: "runs.c%E2%80%AE.r", data: "{", reason: events.Malformed, detail: "not valid JSON"}
	plant(t, js, environ, append(many, odd)...) // five of the eight are kept
	r := call(t, environ, "", "deadletters", "list", "--limit", "2")
	r.want(t, exitOK)
	wantParts(t, r.stdout, "SEQUENCE", "unknown_type: type must be", "and 4 more; --limit lists more of them",
		"3 more with reason unknown_type were only counted", "sequences 6 and 8",
		"runmetrics replay --stream RUN_EVENTS --from-seq 6 --to-seq 8 shows what of them can be applied now")
	if strings.Contains(call(t, environ, "", "deadletters", "list").stdout, "\u202e") {
		t.Error("lets text steer the terminal")
	}
	all := listedLetters(t, environ)
	if all.Matching != 6 || len(all.Letters) != 6 || len(all.CountedOnly) != 1 || all.CountedOnly[0].Count != 3 {
		t.Errorf("listed %+v", all)
	}
	if got := resolutionsOf(listedLetters(t, environ, "--reason", "malformed", "--run", "r", "--since", "2026-01-01")); got != "9 " {
		t.Errorf("malformed are %q", got)
	}
	if got := resolutionsOf(listedLetters(t, environ, "--until", "2026-01-01")); got != "" {
		t.Errorf("of long ago are %q", got)
	}
}

func TestDeadLettersAreExportedByteForByte(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	testStream(t, js, 1<<20)
	big := strings.Repeat("\xfe\x00", sinks.MaxDeadPayload)
	plant(t, js, environ, unknownType("one"), planted{subject: "runs.c.r", data: big, reason: events.Malformed, detail: "not valid JSON"})
	file := filepath.Join(t.TempDir(), "letters.ndjson.gz")
	call(t, environ, "", "deadletters", "export", file).want(t, exitOK)
	call(t, environ, "", "deadletters", "export", file).want(t, exitFailure) // it is there
	packed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var got []letterRecord
	for lines := json.NewDecoder(plain); ; {
		var l letterRecord
		if err := lines.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if len(got) != 2 {
		t.Fatalf("%d letters", len(got))
	}
	if l := got[0]; l.Content.Text != eventLine("one") || l.Headers["Trace"][0] != "t-one" || l.Reason != events.UnknownType || l.Sequence != 1 {
		t.Errorf("exported %+v", l)
	}
	if l := got[1]; string(l.Content.Base64) != big || l.Content.Text != "" || !l.Content.Whole {
		t.Errorf("exported %d bytes of %d: %+v", len(l.Content.Base64), len(big), l.Content)
	}
	stdout := call(t, environ, "", "deadletters", "export", "--reason", "unknown_type")
	if stdout.want(t, exitOK); strings.Count(stdout.stdout, "\n") != 1 || !strings.Contains(stdout.stderr, "wrote 1 dead letters") {
		t.Errorf("exported %s%s", stdout.stdout, stdout.stderr)
	}
}

// TestLettersThatComeMeanwhileAreLeftForTheNextTime, or a letter that is refused again would be published for ever.
func TestLettersThatComeMeanwhileAreLeftForTheNextTime(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	testStream(t, js, 1<<20)
	plant(t, js, environ, unknownType("one"))
	l := letters{app: &app{environ: environ, stderr: io.Discard}}
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer l.store.Close()
	var seen []uint64
	err := l.pages(t.Context(), true, func(page []sinks.Letter) error {
		for i := range page {
			seen = append(seen, page[i].Sequence)
		}
		if len(seen) < 5 {
			plant(t, js, environ, unknownType(fmt.Sprint("again ", len(seen))))
		}
		return nil
	})
	if err != nil || fmt.Sprint(seen) != "[1]" {
		t.Errorf("gives %v: %v", seen, err)
	}
}

func TestAnInterruptedRequeueGoesOnWithTheOthers(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	stream := testStream(t, js, 4<<20)
	const all = 2*letterPage + 1
	many := make([]planted, all)
	for i := range many {
		many[i] = unknownType(fmt.Sprint(i))
	}
	plant(t, js, environ, many...)

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan int, 1)
	var stdout, stderr syncBuffer
	go func() {
		ended <- run(ctx, []string{"deadletters", "requeue", "--apply"}, environ, strings.NewReader(""), &stdout, &stderr)
	}()
	eventually(t, "some are published", func() bool { return messages(t, stream) > all })
	interrupt()
	if code := <-ended; code == exitLeftovers && !strings.Contains(stderr.String(), "interrupted: the same command goes on") || code == exitFailure {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	published := int64(messages(t, stream)) - all
	if open := listedLetters(t, environ).Matching; open != all-published {
		t.Errorf("%d of %d letters were published, %d are open", published, all, open)
	}
	call(t, environ, "", "deadletters", "requeue", "--apply").want(t, exitOK)
	if n := messages(t, stream); n != 2*all || listedLetters(t, environ).Matching != 0 {
		t.Errorf("%d messages, want each twice: %d", n, 2*all)
	}
}

func TestRequeuedSubjectsAreThoseOfAgents(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]string{
		"runs.c%2E1.r": "runs.c%2E1.r", "runs.7.c%2E1.r": "runs.c%2E1.r", "a.b.c%2E1.r": "runs.c%2E1.r", // as partitions have them
		"runs.c%2.r": "runs.c%2E1.r", "c": "runs.c%2E1.r", // no names: where the event's own lead
	} {
		l := &sinks.Letter{Stream: "S", Epoch: 2, DeadLetter: sinks.DeadLetter{Sequence: 7, Reason: events.Refused, Time: time.UnixMicro(5)}}
		c := &content{subject: subject, data: []byte(eventLine("one")), stream: true, header: nats.Header{
			"nats-expected-last-sequence": {"3"}, "Nats-Msg-Id": {"x"}, "Nats-TTL": {"1s"}, "traceparent": {"00-1"}}}
		v := judgeLetter(l, c, time.Now())
		if v.message == nil || v.message.Subject != want {
			t.Errorf("%s: %+v", subject, v)
			continue
		}
		if got := fmt.Sprint(v.message.Header); got != "map[Nats-Msg-Id:[requeued/S/2/7/5] traceparent:[00-1]]" {
			t.Errorf("headers %s", got)
		}
	}
}

func TestDeadLettersRefusesFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"", "list --limit 0", "list --reason odd", "list --since yesterday", "list x",
		"show", "show --epoch 2", "show --sequence 1 --epoch -1", "requeue --payload x", "requeue --sequence 1 --reason invalid",
		"drop", "drop --because", "drop --because=", "list --since 2026-02-01 --until 2026-01-01", "export a b"} {
		call(t, nil, "", append([]string{"deadletters"}, strings.Fields(args)...)...).want(t, exitUsage)
	}
	several := map[string]string{"STREAMS": "RUN_EVENTS_0,RUN_EVENTS_1"}
	call(t, several, "", "deadletters", "show", "--sequence", "1").want(t, exitUsage)
}
