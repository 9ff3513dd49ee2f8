package sinks_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// wire is one line for each type of event, with awkward text and numbers.
const wire = `{"id":"1","type":"agent.finished","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08.035001Z","agentId":"a","status":"failed","latencyMs":1.5,"tokensIn":1e9,"tokensOut":5.0,"assetsGenerated":0,"costUSD":"0.059133500000000006","agentName":"n","error":"\u2028\"\\\n\u0001🚀"}
{"id":"2","campaignId":"c","runId":"r","phase":"p","occurredAt":"2000-01-01T00:00:00Z","agentId":"é","attempt":1000000,"status":"cancelled","latencyMs":0,"model":"m"}
{"id":"3","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08+05:30","agentId":"a","status":"succeeded","latencyMs":2147483647,"costUSD":1000000}
{"id":"4","type":"agent.started","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08.1Z","agentId":"a","attempt":7,"error":"[1,{}]"}
{"id":"5","type":"run.started","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","agentsExpected":3}
{"id":"6","type":"run.finished","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z"}
{"id":"7","type":"run.reported","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","metrics":{"agentsTotal":2,"agentsSuccessful":1,"assetsGenerated":0,"tokensIn":9007199254740991,"tokensOut":0,"costUSD":0.1,"latencyP95Ms":0}}
{"id":"8","type":"executions.voided","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","voids":["1","[\"]","1"],"reason":"\u2029"}`

var run = events.Key{CampaignID: "c", RunID: "r", Phase: "p"}

// FuzzChunkRoundTrip decodes each line as an event; those that the contract accepts must read back from a chunk.
func FuzzChunkRoundTrip(f *testing.F) {
	f.Add([]byte(wire))
	f.Add([]byte(""))
	for line := range strings.Lines(wire) {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, lines []byte) {
		var list []events.Event
		for line := range bytes.Lines(lines) {
			e, rejected := events.Decode(events.Message{Data: line, Time: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
			if rejected == nil {
				e.Key = run // a chunk is one run's
				list = append(list, e)
			}
		}
		chunk := sinks.AppendChunk(nil, pointers(list))
		if !json.Valid(chunk) {
			t.Fatalf("not JSON, so no database takes it apart: %q", chunk)
		}
		got, err := sinks.DecodeChunk(nil, run, chunk)
		if err != nil {
			t.Fatalf("%v of %q", err, chunk)
		}
		if !reflect.DeepEqual(got, list) {
			t.Fatalf("read back %+v\nwant %+v", got, list)
		}
	})
}

// FuzzDecodeChunk: whatever stands in a store, reading it ends in events or in an error. What was read stays the same when
// it is written again.
func FuzzDecodeChunk(f *testing.F) {
	for _, s := range garbage {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, chunk []byte) {
		list, err := sinks.DecodeChunk(nil, run, chunk)
		if err != nil {
			return
		}
		again, err := sinks.DecodeChunk(nil, run, sinks.AppendChunk(nil, pointers(list)))
		if err != nil {
			t.Fatalf("%v after writing %+v again", err, list)
		}
		if !reflect.DeepEqual(again, list) {
			t.Fatalf("%+v became %+v", list, again)
		}
	})
}

const finished = `["1","a",1,"succeeded",1771080428000000,1,2,3,4,null]`

var garbage = []string{"", "null", "{}", `"x"`, "[", "]", "[]]", "[] []", "[1]", "[null]", "[[]]",
	"[" + finished, "[" + finished + ",]",
	"[[" + finished + "]]", finishedBut("null", `"1"`), finishedBut("1771080428000000", "1e99"), finishedBut("4", "4.5"),
	finishedBut("null", `null,"a","b","c","d"`), finishedBut("null", `null,1`), finishedBut(`"a"`, "\"\xff\""),
	`[{}]`, `[{"id":1}]`,
	`[{"id":"5","type":"run.started","campaignId":"c","runId":"R","phase":"p","occurredAt":"2026-02-14T14:47:08Z"}]`,
	"[" + finished + "]x"}

// finishedBut is a chunk of one execution in which something else stands.
func finishedBut(old, text string) string { return "[" + strings.Replace(finished, old, text, 1) + "]" }

func TestGarbageIsAnError(t *testing.T) {
	for _, s := range garbage {
		if list, err := sinks.DecodeChunk(nil, run, []byte(s)); err == nil {
			t.Errorf("%q was read as %+v", s, list)
		}
	}
}

// pointers is the list as a batch holds it.
func pointers(list []events.Event) []*events.Event {
	out := make([]*events.Event, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

func TestChunkAppends(t *testing.T) {
	first, err := sinks.DecodeChunk(nil, run, []byte("["+finished+"]"))
	if err != nil {
		t.Fatal(err)
	}
	both, err := sinks.DecodeChunk(first, run, []byte(finishedBut("1", "2")))
	if err != nil || len(both) != 2 || both[0].ID != "1" || both[1].ID != "2" {
		t.Errorf("appended %+v: %v", both, err)
	}
	if got := string(sinks.AppendChunk([]byte("x"), pointers(first))); got != "x["+finished+"]" {
		t.Errorf("appended %s", got)
	}
	if got := string(sinks.AppendChunk(nil, nil)); got != "[]" {
		t.Errorf("no events: %s", got)
	}
}

// ExampleAppendChunk shows what stands in the database.
func ExampleAppendChunk() {
	e := events.Event{Key: run, ID: "e-1", Type: events.AgentFinished, OccurredAt: time.UnixMicro(1771080428035001).UTC(),
		AgentID: "agent-7", Attempt: 1, Status: events.Succeeded, LatencyMs: 1240, TokensIn: 900, TokensOut: 120,
		AssetsGenerated: 1, Cost: events.USD(2_500_000)}
	fmt.Println(string(sinks.AppendChunk(nil, []*events.Event{&e})))
	// Output: [["e-1","agent-7",1,"succeeded",1771080428035001,1240,900,120,1,2500000]]
}

func TestADigestKnowsWhatWasStoredHoweverItWasSplit(t *testing.T) {
	var list []*events.Event
	for i := range 40 {
		list = append(list, &events.Event{Key: events.Key{CampaignID: "c", RunID: "r", Phase: "1"}, ID: fmt.Sprint(i),
			Type: events.AgentFinished, OccurredAt: time.UnixMicro(int64(i)), AgentID: "a", Attempt: 1, Status: events.Succeeded})
	}
	digest := func(sizes ...int) *sinks.Digest {
		d, rest := new(sinks.Digest), list
		for len(rest) > 0 {
			n := min(sizes[len(rest)%len(sizes)], len(rest))
			chunk := sinks.AppendChunk(nil, rest[:n])
			d.Add(chunk[1 : len(chunk)-1])
			rest = rest[n:]
		}
		return d
	}
	whole := digest(len(list))
	for _, same := range []*sinks.Digest{digest(1), digest(3, 7), digest(40)} {
		if !whole.Equal(same) || !same.Equal(whole) {
			t.Error("another split gives another digest")
		}
	}
	list[7], list[8] = list[8], list[7]
	if whole.Equal(digest(1)) {
		t.Error("another order gives the same digest")
	}
	list = list[:39]
	if whole.Equal(digest(1)) || whole.Equal(new(sinks.Digest)) || new(sinks.Digest).Equal(whole) {
		t.Error("other events give the same digest")
	}
}
