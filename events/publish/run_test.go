package publish_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

var key = events.Key{CampaignID: "spring launch", RunID: "run.7", Phase: "2-3"}

// told is what the stream has, in its order.
func (b *broker) told(t testing.TB) []events.Event {
	t.Helper()
	var list []events.Event
	for _, m := range b.stored(t) {
		e, rejected := events.Decode(events.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Time: time.Now()})
		if rejected != nil {
			t.Fatalf("%s: %v", m.Data, rejected)
		}
		list = append(list, e)
	}
	return list
}

func TestARunIsToldFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	before := time.Now().UTC().Truncate(time.Microsecond)
	run, err := p.StartRun(t.Context(), key, 1)
	must(t, err)
	writer := publish.Agent{ID: "writer-1", Name: "Copy writer", Model: "atlas-large"}
	first, err := run.StartAgent(t.Context(), writer)
	must(t, err)
	working := time.Now()
	until(t, "the agent has worked for a while", func() bool { return time.Since(working) >= 20*time.Millisecond })
	must(t, first.Finished(t.Context(), publish.Result{Status: events.Failed, Error: "rate limit", TokensIn: 10}))
	most := time.Since(before)
	second, err := run.StartAgent(t.Context(), writer)
	must(t, err)
	must(t, second.Finished(t.Context(), publish.Result{Status: events.Succeeded, TokensIn: 5231, TokensOut: 812, AssetsGenerated: 2,
		Cost: publish.Dollars(0.059133500000000006)}))
	must(t, run.FinishRun(t.Context(), events.OutcomeCompleted))
	must(t, p.Close(t.Context()))

	list := b.told(t)
	ids := make(map[string]bool)
	for i, e := range list {
		ids[e.ID] = true
		if e.Key != key || e.OccurredAt.Before(before) || e.OccurredAt.After(time.Now()) || i > 0 && e.OccurredAt.Before(list[i-1].OccurredAt) {
			t.Errorf("%s of %v occurred at %s", e.Type, e.Key, e.OccurredAt)
		}
		if _, err := uuid.Parse(e.ID); (err == nil) != (e.Type != events.AgentFinished) {
			t.Errorf("%s has the id %s", e.Type, e.ID)
		}
	}
	if len(list) != 6 || len(ids) != 6 || list[0].AgentsExpected != 1 || list[5].Outcome != events.OutcomeCompleted {
		t.Fatalf("told %+v", list)
	}
	if latency := list[2].LatencyMs; latency < 20 || latency > most.Milliseconds()+1 {
		t.Errorf("the latency is %d ms, the work took 20 to %s", latency, most)
	}
	failed := events.Event{Key: key, ID: "writer-1/1", Type: events.AgentFinished, OccurredAt: list[2].OccurredAt, AgentID: "writer-1", Attempt: 1,
		AgentName: "Copy writer", Model: "atlas-large", Status: events.Failed, Error: "rate limit", LatencyMs: list[2].LatencyMs, TokensIn: 10}
	done := events.Event{Key: key, ID: "writer-1/2", Type: events.AgentFinished, OccurredAt: list[4].OccurredAt, AgentID: "writer-1", Attempt: 2,
		AgentName: "Copy writer", Model: "atlas-large", Status: events.Succeeded, LatencyMs: list[4].LatencyMs, TokensIn: 5231, TokensOut: 812,
		AssetsGenerated: 2, Cost: events.USD(59_133_500)}
	for i, want := range map[int]events.Event{2: failed, 4: done} {
		if got := string(events.Encode(&list[i])); got != string(events.Encode(&want)) {
			t.Errorf("told\n%s, want\n%s", got, events.Encode(&want))
		}
	}
	if list[1].Type != events.AgentStarted || list[1].Attempt != 1 || list[3].Attempt != 2 || list[3].AgentName != "Copy writer" {
		t.Errorf("told %+v and %+v", list[1], list[3])
	}
}

func TestARunIsGoneOnWithByAnotherProcess(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	ended := time.Date(2026, 2, 14, 15, 47, 8, 35_000_000, time.FixedZone("", 3600))
	x := publish.Execution{
		Agent:   publish.Agent{ID: "writer-1", Attempt: 3},
		Result:  publish.Result{Status: events.Cancelled},
		Latency: 1500 * time.Microsecond, EndedAt: ended,
	}
	for range 2 { // the second does not know what the first told
		p := open(t, publish.Config{Conn: b.connect(t)})
		must(t, p.Run(key).AgentFinished(t.Context(), x))
		must(t, p.Close(t.Context()))
	}
	p := open(t, publish.Config{Conn: b.connect(t)})
	run := p.Run(key)
	x.EventID, x.Attempt = "span-7", 0
	must(t, run.AgentFinished(t.Context(), x)) // attempt 1
	_, err := run.StartAgent(t.Context(), publish.Agent{ID: "writer-1", Attempt: 4})
	must(t, err)
	x.EventID = ""
	must(t, run.AgentFinished(t.Context(), x)) // the one that was started
	agent, err := run.StartAgent(t.Context(), publish.Agent{ID: "writer-1"})
	must(t, err)
	if agent.Attempt() != 5 {
		t.Errorf("attempt %d after 4", agent.Attempt())
	}
	must(t, p.Close(t.Context()))
	var told []string
	for _, e := range b.told(t) {
		if e.Type == events.AgentFinished {
			told = append(told, e.ID)
			if !e.OccurredAt.Equal(ended) || e.LatencyMs != 2 {
				t.Errorf("told %+v", e)
			}
		}
	}
	if got := strings.Join(told, " "); got != "writer-1/3 span-7 writer-1/4" {
		t.Errorf("told %s", got)
	}
}

func TestWhatWasRefusedMayBeToldAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	var rejection *events.Rejection
	if _, err := p.StartRun(t.Context(), key, -1); !errors.As(err, &rejection) || rejection.Field() != "agentsExpected" {
		t.Errorf("StartRun said %v", err)
	}
	run := p.Run(key)
	if _, err := run.StartAgent(t.Context(), publish.Agent{ID: "a", Name: strings.Repeat("n", 257)}); !errors.As(err, &rejection) {
		t.Errorf("StartAgent said %v", err)
	}
	agent, err := run.StartAgent(t.Context(), publish.Agent{ID: "a"})
	if err != nil || agent.Attempt() != 1 {
		t.Fatalf("attempt %d: %v", agent.Attempt(), err)
	}
	if err := agent.Finished(t.Context(), publish.Result{Cost: publish.Dollars("much")}); !errors.As(err, &rejection) ||
		len(rejection.Fields) != 2 || rejection.Fields[0].Field != "status" || rejection.Fields[1].Field != "costUSD" {
		t.Errorf("Finished said %v", err)
	}
	must(t, agent.Finished(t.Context(), publish.Result{Status: events.Succeeded}))
	if err := agent.Finished(t.Context(), publish.Result{Status: events.Failed}); !errors.Is(err, publish.ErrFinished) {
		t.Errorf("Finished again said %v", err)
	}
	if err := run.FinishRun(t.Context(), "won"); !errors.As(err, &rejection) || rejection.Field() != "outcome" {
		t.Errorf("FinishRun said %v", err)
	}
	must(t, run.FinishRun(t.Context(), ""))
	must(t, p.Flush(t.Context()))
	list := b.told(t)
	if len(list) != 3 || list[1].Cost.Known || list[2].Outcome != events.OutcomeCompleted {
		t.Errorf("told %+v", list)
	}
}

func TestAnIDThatWouldBeTooLongIsAUUIDOfTheRun(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	want := make(map[string]bool)
	for agent, id := range map[string]string{
		strings.Repeat("x", 126): strings.Repeat("x", 126) + "/1",
		strings.Repeat("🚀", 63):  strings.Repeat("🚀", 63) + "/1", // 126 UTF-16 code units, 252 bytes
		strings.Repeat("x", 127): uuid.NewSHA1(key.UUID(), []byte(strings.Repeat("x", 127)+"/1")).String(),
		strings.Repeat("🚀", 64):  uuid.NewSHA1(key.UUID(), []byte(strings.Repeat("🚀", 64)+"/1")).String(),
	} {
		want[id] = true
		must(t, p.Run(key).AgentFinished(t.Context(), publish.Execution{Agent: publish.Agent{ID: agent}, Result: publish.Result{Status: events.Succeeded}}))
	}
	must(t, p.Flush(t.Context()))
	for _, e := range b.told(t) {
		if !want[e.ID] {
			t.Errorf("id %s", e.ID)
		}
		delete(want, e.ID)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

func TestDollarsAreExact(t *testing.T) {
	t.Parallel()
	for amount, want := range map[float64]events.Nanos{0: 0, 0.059133500000000006: 59_133_500, 0.1 + 0.2: 300_000_000, 1e-9: 1, 1e-10: 0, 1e6: 1e15} {
		if got := publish.Dollars(amount); got != events.USD(want) {
			t.Errorf("%v dollars are %+v, want %d", amount, got, want)
		}
	}
	if got := publish.Dollars("123456.000000001"); got != events.USD(123_456_000_000_001) {
		t.Errorf("got %+v", got)
	}
	for _, cost := range []events.Cost{publish.Dollars(math.NaN()), publish.Dollars(math.Inf(1)), publish.Dollars(-0.01),
		publish.Dollars(1000001.0), publish.Dollars(""), publish.Dollars("12 $")} {
		e := execution(0)
		e.Cost = cost
		if _, rejected := events.EncodeChecked(&e, time.Now()); rejected == nil || rejected.Field() != "costUSD" {
			t.Errorf("%+v: %v", cost, rejected)
		}
	}
}

func TestAnEventCarriesTheSpanOfItsContext(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	state, err := trace.ParseTraceState("vendor=value")
	must(t, err)
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0x4b, 15: 0x36}, SpanID: trace.SpanID{0xf0, 7: 0xb7},
		TraceFlags: trace.FlagsSampled, TraceState: state})
	_, err = p.StartRun(trace.ContextWithSpanContext(t.Context(), span), key, 0)
	must(t, err)
	must(t, p.Flush(t.Context()))
	header := b.stored(t)[0].Header
	if got := header["traceparent"]; len(got) != 1 || got[0] != "00-4b000000000000000000000000000036-f0000000000000b7-01" {
		t.Errorf("traceparent %v", got)
	}
	if got := header["tracestate"]; len(got) != 1 || got[0] != "vendor=value" {
		t.Errorf("tracestate %v", got)
	}
}
