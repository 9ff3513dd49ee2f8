package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// odd is a message as runtimes and people send them by mistake, or on purpose, and what must become of it: a record with
// exact values, a duplicate or a dead letter.
type odd struct {
	what     string
	campaign string // default "odd"
	run      string // default what
	old, new string // what of the plain event is replaced by what
	size     int    // what the plain event is padded to; 0 is not at all
	whole    bool   // new is the message
	subject  string // default that of campaign and run

	record    map[string]string // fields of the run's record as JSON text; without reason and duplicate
	duplicate bool
	reason    events.Reason
	field     string
}

// plainEvent is what the odd ones are made of.
const plainEvent = `{"id":"1","campaignId":%s,"runId":%s,"phase":"1","occurredAt":"2026-01-01T00:00:00Z","agentId":"a",` +
	`"status":"succeeded","latencyMs":10,"tokensIn":1,"tokensOut":2,"assetsGenerated":3,"costUSD":0.5}`

// plainRecord is what a plain event gives; odd records differ from it in the fields they name.
var plainRecord = map[string]string{"status": `"running"`, "executions": "1", "agentsTotal": "1", "agentsSuccessful": "1",
	"latencyAvgMs": "10", "tokensIn": "1", "tokensOut": "2", "assetsGenerated": "3", "costUSD": "0.5", "costComplete": "true"}

var oddities = []odd{
	// What is accepted, with the exact value.
	{what: "plain"},
	{what: "latency 12.5", old: `"latencyMs":10`, new: `"latencyMs":12.5`, record: map[string]string{"latencyAvgMs": "13"}},
	{what: "latency just below", old: `"latencyMs":10`, new: `"latencyMs":12.499999999999998`,
		record: map[string]string{"latencyAvgMs": "12"}},
	{what: "tokens 5.0", old: `"tokensIn":1`, new: `"tokensIn":5.0`, record: map[string]string{"tokensIn": "5"}},
	{what: "tokens 1e3", old: `"tokensOut":2`, new: `"tokensOut":1e3`, record: map[string]string{"tokensOut": "1000"}},
	{what: "binary dust", old: `"costUSD":0.5`, new: `"costUSD":0.059133500000000006`,
		record: map[string]string{"costUSD": "0.0591335"}},
	{what: "cost as text", old: `"costUSD":0.5`, new: `"costUSD":"0.1"`, record: map[string]string{"costUSD": "0.1"}},
	{what: "half a nano", old: `"costUSD":0.5`, new: `"costUSD":2.5e-9`, record: map[string]string{"costUSD": "0.000000002"}},
	{what: "more digits than a float", old: `"costUSD":0.5`, new: `"costUSD":999999.1234567891`,
		record: map[string]string{"costUSD": "999999.123456789"}},
	{what: "no cost", old: `"costUSD":0.5`, new: `"costUSD":null`,
		record: map[string]string{"costUSD": "0", "costComplete": "false"}},
	{what: "unknown field", old: `"id"`, new: `"shoe size":{"eu":44},"id"`},
	{what: "exactly 64 KiB", size: events.MaxSize},
	{what: "wildcards", campaign: "a.*.>", run: "* . >"},
	{what: "spaces and slashes", campaign: " a b/c%20d\\e ", run: " "},
	{what: "emoji", campaign: strings.Repeat("🚀", 32), run: "naïve 👩‍👩‍👧 ключ"},
	{what: "quotes", campaign: `'; DROP TABLE ledger; --`, run: `"<script>`},

	// The same id again.
	{what: "written otherwise", run: "plain", old: `"costUSD":0.5`, new: `"costUSD":"0.50","attempt":1.0,"new":1`,
		duplicate: true},
	{what: "other content", run: "plain", old: `"tokensIn":1`, new: `"tokensIn":2`,
		reason: events.ConflictingDuplicate, field: "id"},

	// What nobody can take.
	{what: "empty", whole: true, new: "", reason: events.Malformed},
	{what: "cut off", whole: true, new: `{"id":"1","campaignId":`, reason: events.Malformed},
	{what: "two in one", whole: true, new: `{} {}`, reason: events.Malformed},
	{what: "not an object", whole: true, new: `[1]`, reason: events.Malformed},
	{what: "not UTF-8", old: `"agentId":"a"`, new: "\"agentId\":\"\xff\"", reason: events.Malformed},
	{what: "repeated name", old: `{`, new: `{"id":"2",`, reason: events.Malformed},
	{what: "over 64 KiB", size: events.MaxSize + 1, reason: events.TooLarge},
	{what: "version 2", old: `{`, new: `{"version":2,`, reason: events.UnsupportedVersion, field: "version"},
	{what: "unknown type", old: `{`, new: `{"type":"agent.slept",`, reason: events.UnknownType, field: "type"},
	{what: "negative tokens", old: `"tokensIn":1`, new: `"tokensIn":-1`, reason: events.Invalid, field: "tokensIn"},
	{what: "half a token", old: `"tokensIn":1`, new: `"tokensIn":0.5`, reason: events.Invalid, field: "tokensIn"},
	{what: "negative cost", old: `"costUSD":0.5`, new: `"costUSD":-0.5`, reason: events.Invalid, field: "costUSD"},
	{what: "no agent", old: `"agentId":"a",`, new: ``, reason: events.Invalid, field: "agentId"},
	{what: "campaign of 65 letters", campaign: strings.Repeat("c", 65), reason: events.Invalid, field: "campaignId"},
	{what: "campaign of 33 rockets", campaign: strings.Repeat("🚀", 33), reason: events.Invalid, field: "campaignId"},
	{what: "NUL in a name", old: `"agentId":"a"`, new: `"agentId":"a\u0000"`, reason: events.Invalid, field: "agentId"},
	{what: "the year 2099", old: `2026-01-01`, new: `2099-01-01`, reason: events.Invalid, field: "occurredAt"},
	{what: "the year 1999", old: `2026-01-01`, new: `1999-01-01`, reason: events.Invalid, field: "occurredAt"},
	{what: "other campaign's subject", subject: "runs.production.r", reason: events.SubjectMismatch, field: "campaignId"},
	{what: "too short a subject", subject: "runs.odd", reason: events.SubjectMismatch},

	// After all of that.
	{what: "plain again"},
}

// testOdd sends the odd messages through the whole program, one after the other.
func testOdd(t *testing.T, s *system) {
	s.onEachStore(t, func(t *testing.T, w *world) {
		p := w.run(t)
		js := testJetStream(t, w.broker)
		want := standing{sequence: int64(len(oddities))}
		for i, o := range oddities {
			message := o.message()
			ack, err := js.PublishMsg(t.Context(), message)
			if err != nil || ack.Sequence != uint64(i+1) {
				t.Fatalf("publish %s: %v, %+v", o.what, err, ack)
			}
			switch {
			case o.reason != "":
				want.deadLetters++
			case o.duplicate:
				want.duplicates++
			default:
				want.applied++
			}
		}
		p.reaches(t, uint64(len(oddities)), patience)
		for _, o := range oddities {
			if o.reason == "" && !o.duplicate {
				p.wantRecord(t, o)
			}
		}
		w.wantDeadLetters(t)
		p.terminate(t)
		w.wantStanding(t, want)
		t.Logf("%v, each as it must be", want)
	})
}

func (o *odd) names() (campaign, run string) {
	campaign, run = o.campaign, o.run
	if campaign == "" {
		campaign = "odd"
	}
	if run == "" {
		run = o.what
	}
	return campaign, run
}

// message is the odd message as it goes over the wire.
func (o *odd) message() *nats.Msg {
	campaign, run := o.names()
	m := nats.NewMsg(events.Subject(campaign, run))
	if o.subject != "" {
		m.Subject = o.subject
	}
	if o.whole {
		m.Data = []byte(o.new)
		return m
	}
	plain := fmt.Sprintf(plainEvent, events.AppendQuoted(nil, campaign), events.AppendQuoted(nil, run))
	text := strings.Replace(plain, o.old, o.new, 1)
	if o.size > 0 {
		text = `{"padding":"` + strings.Repeat("x", o.size-len(text)-len(`"padding":"",`)) + `",` + text[1:]
	}
	m.Data = []byte(text)
	return m
}

// wantRecord fails the test unless the API finds the run by its names and has each value as it must be.
func (p *program) wantRecord(t *testing.T, o odd) {
	t.Helper()
	campaign, run := o.names()
	var list struct{ Metrics []map[string]json.RawMessage }
	p.read(t, "/api/metrics/campaign?"+url.Values{"campaignId": {campaign}, "runId": {run}}.Encode(), &list)
	if len(list.Metrics) != 1 {
		t.Errorf("%s: %d records", o.what, len(list.Metrics))
		return
	}
	want := with(with(plainRecord, o.record), map[string]string{
		"campaignId": string(events.AppendQuoted(nil, campaign)), "runId": string(events.AppendQuoted(nil, run))})
	for field, value := range want {
		if got := unescaped(t, list.Metrics[0][field]); got != unescaped(t, []byte(value)) {
			t.Errorf("%s: %s is %s, want %s", o.what, field, got, value)
		}
	}
}

// unescaped is a JSON value whose strings are as they are meant: writers may escape as they like.
func unescaped(t *testing.T, value []byte) string {
	t.Helper()
	var text string
	if len(value) == 0 || value[0] != '"' {
		return string(value)
	}
	if err := json.Unmarshal(value, &text); err != nil {
		t.Fatal(err)
	}
	return "“" + text + "”"
}

// wantDeadLetters fails the test unless the table has exactly the odd messages that nobody can take, each with its
// reason, its field and its beginning.
func (w *world) wantDeadLetters(t *testing.T) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT sequence, subject, reason, field, detail, payload FROM dead_letters ORDER BY sequence")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := make(map[int]bool)
	for rows.Next() {
		var sequence int
		var subject, reason, field, detail, payload string
		if err := rows.Scan(&sequence, &subject, &reason, &field, &detail, &payload); err != nil {
			t.Fatal(err)
		}
		found[sequence] = true
		o := oddities[sequence-1]
		m := o.message()
		if events.Reason(reason) != o.reason || field != o.field || subject != m.Subject || detail == "" {
			t.Errorf("%s: %s of %q on %s (%s), want %s of %q on %s", o.what, reason, field, subject, detail, o.reason, o.field, m.Subject)
		}
		if o.reason != events.ConflictingDuplicate && payload != string(m.Data[:min(len(m.Data), sinks.MaxDeadPayload)]) {
			t.Errorf("%s: keeps %q", o.what, payload)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for i, o := range oddities {
		if found[i+1] != (o.reason != "") {
			t.Errorf("%s: dead letter %v, want %v", o.what, found[i+1], o.reason != "")
		}
	}
}
