package query_test

import (
	"context"
	"net/http"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

// What a caller posts is published as a part of the caller's trace.
func TestEventsBelongToTheTraceOfWhoPostsThem(t *testing.T) {
	t.Parallel()
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	var origins []trace.SpanContext
	var w *world
	w = newWorld(t, func(c *query.Config) {
		c.Publish = func(ctx context.Context, list []*events.Event) []query.Receipt {
			origins = append(origins, trace.SpanContextFromContext(ctx))
			return w.publish(ctx, list)
		}
	})
	w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, finishedEvent("e1"), "traceparent", traceparent, "tracestate", "vendor=1"))
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, example, "traceparent", traceparent, "tracestate", "vendor=1"))
	w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, finishedEvent("e2")))
	w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, finishedEvent("e3"), "traceparent", "nonsense"))
	if len(origins) != 4 {
		t.Fatalf("published %d times", len(origins))
	}
	for i, origin := range origins {
		switch {
		case i > 1 && origin.IsValid():
			t.Errorf("request %d has a trace: %v", i, origin)
		case i < 2 && (origin.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || origin.SpanID().String() != "00f067aa0ba902b7" ||
			!origin.IsSampled() || origin.TraceState().String() != "vendor=1"):
			t.Errorf("request %d comes from %v", i, origin)
		}
	}
}
