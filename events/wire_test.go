package events_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// wire is an event as a producer writes it: raw JSON values by property name.
type wire map[string]string

// sample is the smallest good event of a type.
func sample(t events.Type) wire {
	w := wire{
		"id": `"e-1"`, "type": strconv.Quote(string(t)), "campaignId": `"c-1"`, "runId": `"r-1"`, "phase": `"2-3"`,
		"occurredAt": `"2026-02-14T14:47:08Z"`,
	}
	switch t {
	case events.AgentFinished:
		w["agentId"], w["status"], w["latencyMs"] = `"a-1"`, `"succeeded"`, `5`
	case events.AgentStarted:
		w["agentId"] = `"a-1"`
	case events.RunReported:
		w["metrics"] = `{"agentsTotal":4,"agentsSuccessful":3,"assetsGenerated":2,"tokensIn":1,"tokensOut":0,` +
			`"costUSD":0.5,"latencyP95Ms":9,"latencyAvgMs":4}`
	case events.ExecutionsVoided:
		w["voids"] = `["e-0"]`
	}
	return w
}

// allTypes lists the types of contract version 1.
var allTypes = []events.Type{events.AgentFinished, events.AgentStarted, events.RunStarted, events.RunFinished,
	events.RunReported, events.ExecutionsVoided}

// with returns a copy in which the property has another value; an empty one takes it out.
func (w wire) with(name, raw string) wire {
	w = maps.Clone(w)
	if raw == "" {
		delete(w, name)
	} else {
		w[name] = raw
	}
	return w
}

// json writes the properties in the order of their names, so that a failing case can be repeated.
func (w wire) json() []byte {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(w)) {
		b.WriteString("{,"[min(i, 1):][:1] + strconv.Quote(name) + ":" + w[name])
	}
	return []byte(b.String() + "}")
}

// mustDecode decodes an event that is good.
func mustDecode(t *testing.T, w wire) events.Event {
	t.Helper()
	e, rejected := events.Decode(events.Message{Data: w.json()})
	if rejected != nil {
		t.Fatalf("%.300s: %v", w.json(), rejected)
	}
	return e
}

// mustRefuse checks that the event is invalid in one field only, whose problem contains the given words.
func mustRefuse(t *testing.T, w wire, field, problem string) {
	t.Helper()
	e, rejected := events.Decode(events.Message{Data: w.json()})
	if rejected == nil {
		t.Fatalf("%.300s was accepted as %+v, want %s %s", w.json(), e, field, problem)
	}
	if rejected.Reason != events.Invalid || len(rejected.Fields) != 1 || rejected.Field() != field ||
		!strings.Contains(rejected.Fields[0].Problem, problem) {
		t.Fatalf("%.300s: %v, want invalid: %s %s", w.json(), rejected, field, problem)
	}
	if e.ID != "" {
		t.Fatalf("a refused event came with content: %+v", e)
	}
}

func utc(s string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return at.UTC()
}
