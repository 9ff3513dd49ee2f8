package publish

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
)

// Message makes the message that carries an event: on the subject of its run, with its message id. Data is its JSON, what
// events.Encode writes or what it was read from.
func Message(e *events.Event, data []byte) *nats.Msg {
	return &nats.Msg{
		Subject: events.Subject(e.CampaignID, e.RunID),
		Header:  nats.Header{jetstream.MsgIDHeader: {events.MessageID(e)}},
		Data:    data,
	}
}

// carryTrace names the span of the context, if there is one, as W3C Trace Context says.
func carryTrace(ctx context.Context, header nats.Header) {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return
	}
	header["traceparent"] = []string{"00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String()}
	if state := span.TraceState().String(); state != "" {
		header["tracestate"] = []string{state}
	}
}
