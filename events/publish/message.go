package publish

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
)

// Message makes the message that carries an event: on the subject of its run, with its message id, and with the span of the
// context if there is one. Data is its JSON, what events.Encode writes or what it was read from.
func Message(ctx context.Context, e *events.Event, data []byte) *nats.Msg {
	header := traceOf(ctx)
	if header == nil {
		header = nats.Header{}
	}
	header[jetstream.MsgIDHeader] = []string{events.MessageID(e)}
	return &nats.Msg{Subject: events.Subject(e.CampaignID, e.RunID), Header: header, Data: data}
}

// parcel is a message before it is one: most events need no header but their id, and who asks for the message is told of
// few.
type parcel struct {
	subject string
	id      string      // the message id, where it is not in header
	header  nats.Header // nil where there is nothing but the id
	data    []byte
	message *nats.Msg // as the caller gave it, nil of an event
}

// asMessage makes the message of a parcel, to show it to somebody.
func (p *parcel) asMessage() *nats.Msg {
	if p.message != nil {
		return p.message
	}
	header := p.header
	if header == nil {
		header = nats.Header{jetstream.MsgIDHeader: {p.id}}
	}
	return &nats.Msg{Subject: p.subject, Header: header, Data: p.data}
}

// traceOf names the span of the context as W3C Trace Context says. It is nil where there is none.
func traceOf(ctx context.Context) nats.Header {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	header := nats.Header{"traceparent": {"00-" + span.TraceID().String() + "-" + span.SpanID().String() + "-" + span.TraceFlags().String()}}
	if state := span.TraceState().String(); state != "" {
		header["tracestate"] = []string{state}
	}
	return header
}
