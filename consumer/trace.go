package consumer

import (
	"context"
	"errors"
	"net/textproto"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// There are three kinds of spans:
//
//   - "commit <stream>", one for each attempt to store a batch, in a trace of its own with links to the spans of traced
//     events in it;
//   - "<store> commit" and, after a version conflict, "<store> load" below it: the calls of the store;
//   - "process <stream>", one for each traced event, in the trace of the agent that published it: from when the stream
//     stored the event until the store held it, and what became of it. It links to the attempt that stored it.
//
// An event is traced where its header traceparent says that the publisher's span is sampled
// (https://www.w3.org/TR/trace-context/). Commits without any have a span at most once in untracedTime, so that a busy
// stream whose agents are not traced is still seen, and costs a collector next to nothing.

// untracedTime is the time between two spans of commits without traced events.
const untracedTime = time.Second

// maxTraced is how many events of a commit get spans: as many links as a span has by OpenTelemetry's default. It bounds
// what tracing costs under full load.
const maxTraced = 128

// carrier reads trace headers of a message. NATS keeps names as publishers wrote them: in lower case, as the standard
// has them, as Go's HTTP headers are written, or as an attribute of a CloudEvent.
type carrier nats.Header

func (c carrier) Get(name string) string {
	for _, written := range [...]string{name, textproto.CanonicalMIMEHeaderKey(name), "ce-" + name} {
		if values := c[written]; len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

// Set writes a header.
func (c carrier) Set(name, value string) { c[name] = []string{value} }

// Keys makes a carrier a propagation.TextMapCarrier.
func (carrier) Keys() []string { return nil }

// originOf is the span that published a message, nil where there is none or it is not sampled.
func originOf(header nats.Header) *trace.SpanContext {
	if !mayBeTraced(header) {
		return nil
	}
	origin := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(header)))
	if !origin.IsSampled() {
		return nil
	}
	return &origin
}

// mayBeTraced tells whether a carrier has the header. It is asked for every message.
func mayBeTraced(header nats.Header) bool {
	return len(header["traceparent"]) > 0 || len(header["Traceparent"]) > 0 || len(header["ce-traceparent"]) > 0
}

// attempt is one attempt to store a batch.
type attempt struct {
	reader *Reader
	traced []*item
	span   trace.Span // nil: it has none
}

// startAttempt begins the span of an attempt to store the batch; the context is its. Attempts come one after the other.
func (r *Reader) startAttempt(ctx context.Context, b *batch) (context.Context, attempt) {
	a := attempt{reader: r, traced: b.traced}
	switch now := time.Now(); {
	case r.tracer == nil, len(a.traced) == 0 && now.Sub(r.untraced) < untracedTime:
		return ctx, a
	case len(a.traced) == 0:
		r.untraced = now
	}
	links := make([]trace.Link, len(a.traced))
	for i, it := range a.traced {
		links[i] = trace.Link{SpanContext: *it.origin}
	}
	ctx, a.span = r.tracer.Start(ctx, "commit "+r.stream, trace.WithNewRoot(), trace.WithLinks(links...), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", r.stream),
		attribute.Int("messaging.batch.message_count", len(b.items)),
		attribute.Int64("runmetrics.first_sequence", int64(b.items[0].sequence)),
		attribute.Int64("runmetrics.last_sequence", int64(b.items[len(b.items)-1].sequence)),
	))
	return ctx, a
}

// context is the span's, the zero one where there is none.
func (a attempt) context() trace.SpanContext {
	if a.span == nil {
		return trace.SpanContext{}
	}
	return a.span.SpanContext()
}

// startCall begins the span of a call of the store. Without a span above there is none.
func (r *Reader) startCall(ctx context.Context, what string) (context.Context, trace.Span) {
	if r.tracer == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, noop.Span{}
	}
	system := r.sink
	if system == "postgres" {
		system = "postgresql"
	}
	return r.tracer.Start(ctx, r.sink+" "+what, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("db.system.name", system), attribute.String("db.operation.name", what)))
}

func endCall(span trace.Span, err error) {
	var conflict *sinks.VersionConflict
	if err != nil && !errors.As(err, &conflict) {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// end ends the span of the attempt and, where the batch is stored, tells in the events' traces what became of them.
func (a attempt) end(err error) {
	if a.span == nil {
		return
	}
	var conflict *sinks.VersionConflict
	switch {
	case errors.As(err, &conflict):
		// Somebody else changed a run, too; the batch is folded again on top of that.
		a.span.SetAttributes(attribute.Int("runmetrics.version_conflicts", len(conflict.Runs)))
	case err != nil:
		a.span.SetStatus(codes.Error, err.Error())
	}
	if err != nil {
		a.span.End()
		return
	}
	a.span.End()
	stored := time.Now()
	for _, it := range a.traced {
		began := it.time
		if began.After(stored) { // the broker's clock is ahead
			began = stored
		}
		_, span := a.reader.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), *it.origin), "process "+a.reader.stream,
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began), trace.WithLinks(trace.Link{SpanContext: a.span.SpanContext()}),
			trace.WithAttributes(it.attributes(a.reader.stream)...))
		if it.outcome == dead || it.outcome == closed {
			span.SetStatus(codes.Error, deadLetter(it).Detail)
		}
		span.End(trace.WithTimestamp(stored))
	}
}

// attributes say which event this was, by the names of OpenTelemetry's conventions for messaging where they have one.
func (it *item) attributes(stream string) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.destination.name", stream),
		attribute.String("messaging.operation.type", "process"),
		attribute.Int64("runmetrics.sequence", int64(it.sequence)),
	}
	switch it.outcome {
	case applied:
		list = append(list, attribute.String("runmetrics.outcome", "applied"))
	case duplicate:
		list = append(list, attribute.String("runmetrics.outcome", "duplicate"))
	default:
		letter := deadLetter(it)
		list = append(list, attribute.String("runmetrics.outcome", "dead_letter"),
			attribute.String("runmetrics.reason", string(letter.Reason)))
	}
	if it.rejected != nil {
		return list
	}
	return append(list, eventAttributes(&it.event)...)
}

func eventAttributes(e *events.Event) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("runmetrics.campaign_id", e.CampaignID),
		attribute.String("runmetrics.run_id", e.RunID),
		attribute.String("runmetrics.phase", e.Phase),
		attribute.String("runmetrics.event_id", e.ID),
		attribute.String("runmetrics.event_type", string(e.Type)),
	}
	if e.AgentID != "" {
		list = append(list, attribute.String("runmetrics.agent_id", e.AgentID), attribute.Int64("runmetrics.attempt", e.Attempt))
	}
	return list
}
