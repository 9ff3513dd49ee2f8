package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// traced makes the reader tell its spans to the recorder.
func traced(recorder *tracetest.SpanRecorder) func(*consumer.Config) {
	return func(c *consumer.Config) {
		c.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder)).Tracer("test")
	}
}

// agentSpan is a span that an agent published an event from.
func agentSpan(n int) (traceparent string, at trace.SpanContext) {
	at = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: byte(n), 14: byte(n >> 8), 0: 0xab},
		SpanID: trace.SpanID{7: byte(n), 6: byte(n >> 8), 0: 1}, TraceFlags: trace.FlagsSampled, Remote: true})
	return fmt.Sprintf("00-%s-%s-01", at.TraceID(), at.SpanID()), at
}

// withHeader puts one header on a message.
func withHeader(m *nats.Msg, name, value string) *nats.Msg {
	m.Header = nats.Header{name: {value}}
	return m
}

// endedSpans waits for n spans of that name.
func endedSpans(t *testing.T, recorder *tracetest.SpanRecorder, name string, n int) []sdk.ReadOnlySpan {
	t.Helper()
	var found []sdk.ReadOnlySpan
	poll(t, fmt.Sprintf("%d spans %q", n, name), func() bool {
		found = nil
		for _, span := range recorder.Ended() {
			if span.Name() == name {
				found = append(found, span)
			}
		}
		return len(found) >= n
	})
	if len(found) > n {
		t.Fatalf("%d spans %q, want %d", len(found), name, n)
	}
	return found
}

func attributeOf(span sdk.ReadOnlySpan, key attribute.Key) attribute.Value {
	for _, a := range span.Attributes() {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func TestAnAgentsTraceShowsWhatBecameOfItsEvent(t *testing.T) {
	for _, header := range []string{"traceparent", "Traceparent", "ce-traceparent"} {
		t.Run(header, func(t *testing.T) {
			b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
			b.startReader(t, store, traced(recorder))
			e := finished("run", 1)
			traceparent, agent := agentSpan(1)
			before := time.Now()
			waitCommitted(t, b, store, b.publish(t, withHeader(messageOf(&e), header, traceparent)))
			span := endedSpans(t, recorder, "process RUN_EVENTS", 1)[0]
			if span.SpanContext().TraceID() != agent.TraceID() || span.Parent().SpanID() != agent.SpanID() {
				t.Errorf("trace %s below %s, want %s below %s", span.SpanContext().TraceID(), span.Parent().SpanID(), agent.TraceID(), agent.SpanID())
			}
			if span.StartTime().Before(before.Add(-time.Second)) || span.EndTime().Before(span.StartTime()) {
				t.Errorf("from %s to %s, published at %s", span.StartTime(), span.EndTime(), before)
			}
			for key, want := range map[attribute.Key]string{"runmetrics.outcome": "applied", "runmetrics.run_id": "run", "runmetrics.event_id": "run-1",
				"runmetrics.agent_id": "agent-1", "messaging.destination.name": streamName, "runmetrics.sequence": "1"} {
				if got := attributeOf(span, key).String(); got != want {
					t.Errorf("%s = %q, want %q", key, got, want)
				}
			}
			commit := endedSpans(t, recorder, "commit RUN_EVENTS", 1)[0]
			if len(span.Links()) != 1 || span.Links()[0].SpanContext.SpanID() != commit.SpanContext().SpanID() {
				t.Errorf("the event's span does not link to the commit: %+v", span.Links())
			}
			if len(commit.Links()) != 1 || !commit.Links()[0].SpanContext.Equal(agent) {
				t.Errorf("the commit does not link to the agent's span: %+v", commit.Links())
			}
		})
	}
}

func TestATraceShowsDuplicatesAndDeadLetters(t *testing.T) {
	b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
	b.startReader(t, store, traced(recorder))
	good, other := finished("run", 1), finished("run", 1)
	other.TokensIn++
	messages := []*nats.Msg{messageOf(&good), messageOf(&good), messageOf(&other), {Subject: "runs.a.b", Data: []byte(`{"id":"secret"}`)}}
	for i, m := range messages {
		traceparent, _ := agentSpan(i)
		withHeader(m, "traceparent", traceparent)
	}
	waitCommitted(t, b, store, b.publish(t, messages...))
	for i, span := range endedSpans(t, recorder, "process RUN_EVENTS", len(messages)) {
		got := attributeOf(span, "runmetrics.outcome").String() + " " + attributeOf(span, "runmetrics.reason").String()
		want := []string{"applied ", "duplicate ", "dead_letter conflicting_duplicate", "dead_letter invalid"}[i]
		if got != want {
			t.Errorf("event %d: %q, want %q", i, got, want)
		}
		if failed := span.Status().Code == codes.Error; failed != strings.HasPrefix(want, "dead") {
			t.Errorf("event %d: status %+v", i, span.Status())
		}
		if strings.Contains(span.Status().Description, "secret") {
			t.Errorf("event %d: what it held is in the span: %s", i, span.Status().Description)
		}
	}
}

func TestOnlySampledEventsAreTraced(t *testing.T) {
	b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
	b.startReader(t, store, traced(recorder))
	sampled, _ := agentSpan(1)
	for i, header := range []string{
		strings.TrimSuffix(sampled, "01") + "00", // known, not sampled
		"", "nonsense", strings.ToUpper(sampled), "00-" + strings.Repeat("0", 32) + "-0000000000000001-01", sampled + "-extra",
	} {
		e := finished("run", i)
		waitCommitted(t, b, store, b.publish(t, withHeader(messageOf(&e), "traceparent", header)))
	}
	for _, span := range recorder.Started() {
		if span.Name() == "process RUN_EVENTS" {
			t.Errorf("the span of %s", attributeOf(span, "runmetrics.event_id").AsString())
		}
	}
}

// A stream whose agents are not traced is seen all the same, a commit a second.
func TestCommitsWithoutTracedEventsAreSeenNowAndThen(t *testing.T) {
	b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
	b.startReader(t, store, traced(recorder))
	began, n := time.Now(), 0
	for ; n < 20; n++ {
		e := finished("run", n)
		waitCommitted(t, b, store, b.publish(t, messageOf(&e)))
	}
	most := 1 + int(time.Since(began)/time.Second)
	commits := 0
	for _, span := range recorder.Started() {
		if span.Name() == "commit RUN_EVENTS" {
			commits++
			if len(span.Links()) > 0 {
				t.Errorf("links to %+v", span.Links())
			}
		}
	}
	if commits == 0 || commits > most {
		t.Errorf("%d spans of %d commits within %s", commits, n, time.Since(began))
	}
}

// Below a commit stand the calls of the store, and whoever hears of the commit can go on with its trace.
func TestACommitsTraceHoldsTheCallsOfTheStoreAndGoesOnElsewhere(t *testing.T) {
	b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
	announced, err := b.conn.SubscribeSync(consumer.ChangedSubject("main"))
	if err != nil {
		t.Fatal(err)
	}
	b.startReader(t, store, traced(recorder), func(c *consumer.Config) { c.Sink = "postgres" })
	e := finished("run", 1)
	traceparent, _ := agentSpan(1)
	waitCommitted(t, b, store, b.publish(t, withHeader(messageOf(&e), "traceparent", traceparent)))
	commit := endedSpans(t, recorder, "commit RUN_EVENTS", 1)[0]
	call := endedSpans(t, recorder, "postgres commit", 1)[0]
	if call.Parent().SpanID() != commit.SpanContext().SpanID() || call.SpanKind() != trace.SpanKindClient ||
		attributeOf(call, "db.system.name").AsString() != "postgresql" {
		t.Errorf("the call is %+v below %s", call.Attributes(), call.Parent().SpanID())
	}
	poll(t, "the commit is announced with its span", func() bool {
		m, err := announced.NextMsg(time.Second)
		return err == nil && consumer.Origin(m).SpanID() == commit.SpanContext().SpanID()
	})
}

// A commit that fails is seen as such; the event's own span waits until it is stored.
func TestATraceShowsFailedCommits(t *testing.T) {
	b, recorder := startBroker(t), tracetest.NewSpanRecorder()
	store := sinktest.NewFaulty(openSQLite(t), func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		if m == sinktest.Commit && n == 1 {
			return sinktest.NotStored
		}
		return sinktest.None
	})
	b.startReader(t, store, traced(recorder))
	e := finished("run", 1)
	traceparent, _ := agentSpan(1)
	waitCommitted(t, b, store, b.publish(t, withHeader(messageOf(&e), "traceparent", traceparent)))
	event := endedSpans(t, recorder, "process RUN_EVENTS", 1)[0]
	commits := endedSpans(t, recorder, "commit RUN_EVENTS", 2)
	if status := commits[0].Status(); status.Code != codes.Error || !strings.Contains(status.Description, sinks.ErrUnavailable.Error()) {
		t.Errorf("first attempt: %+v", status)
	}
	if status := commits[1].Status(); status.Code == codes.Error {
		t.Errorf("second attempt: %+v", status)
	}
	if event.Links()[0].SpanContext.SpanID() != commits[1].SpanContext().SpanID() {
		t.Error("the event's span links to the attempt that failed")
	}
}

// Under load a commit traces no more events than a span has links.
func TestTracedEventsOfACommitAreBounded(t *testing.T) {
	b, store, recorder := startBroker(t), openSQLite(t), tracetest.NewSpanRecorder()
	messages := messagesOf(history(5_000))
	for i, m := range messages {
		traceparent, _ := agentSpan(i)
		withHeader(m, "traceparent", traceparent)
	}
	last := b.publish(t, messages...)
	b.startReader(t, store, traced(recorder))
	waitCommitted(t, b, store, last)
	poll(t, "as many spans of events as links", func() bool {
		links := 0
		for _, span := range recorder.Ended() {
			switch span.Name() {
			case "commit RUN_EVENTS":
				links += len(span.Links())
			case "process RUN_EVENTS":
				links--
			}
		}
		return links == 0 && len(recorder.Ended()) > 0
	})
	for _, span := range recorder.Ended() {
		if span.Name() != "commit RUN_EVENTS" {
			continue
		}
		if count := int(attributeOf(span, "messaging.batch.message_count").AsInt64()); len(span.Links()) != min(count, 128) {
			t.Errorf("a commit of %d events has %d links", count, len(span.Links()))
		}
	}
}
