package dataverse

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Bounds of histograms, in seconds and rows.
var (
	delayBuckets   = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400}
	requestBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	rowBuckets     = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// telemetry measures requests with rows, and makes their spans. A span is a child of the newest of the commits that woke
// the dispatcher since the claim before, with links to the others; a root where there was none. The client sends nothing
// of it: Microsoft documents no use of a header traceparent, and knows a request by its x-ms-client-request-id, which
// errors name.
type telemetry struct {
	tracer   trace.Tracer
	delay    metric.Float64Histogram
	duration metric.Float64Histogram
	rows     metric.Int64Histogram
}

func newTelemetry(c *DispatcherConfig) (t telemetry, err error) {
	meter := c.Meter
	if meter == nil {
		meter = metricnoop.Meter{}
	}
	if t.tracer = c.Tracer; t.tracer == nil {
		t.tracer = tracenoop.Tracer{}
	}
	var errs [3]error
	t.delay, errs[0] = meter.Float64Histogram("runmetrics.dataverse.delay", metric.WithUnit("s"),
		metric.WithDescription("From the commit of a record until Dataverse took it, by the clocks of both; one value for each row taken that it did not have."),
		metric.WithExplicitBucketBoundaries(delayBuckets...))
	t.duration, errs[1] = meter.Float64Histogram("runmetrics.dataverse.request.duration", metric.WithUnit("s"),
		metric.WithDescription("How long requests with rows took by outcome: taken, throttled, refused for their content, or failed."),
		metric.WithExplicitBucketBoundaries(requestBuckets...))
	t.rows, errs[2] = meter.Int64Histogram("runmetrics.dataverse.request.rows",
		metric.WithDescription("Rows of each request."), metric.WithExplicitBucketBoundaries(rowBuckets...))
	return t, errors.Join(errs[:]...)
}

// startSpan begins the span of a request with so many rows, which come from the origins, the newest last.
func (d *Dispatcher) startSpan(ctx context.Context, origins []trace.SpanContext, rows int) context.Context {
	var links []trace.Link
	if last := len(origins) - 1; last >= 0 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, origins[last])
		links = make([]trace.Link, last)
		for i := range links {
			links[i].SpanContext = origins[i]
		}
	}
	ctx, _ = d.telemetry.tracer.Start(ctx, "upsert "+d.Table, trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(
			attribute.String("http.request.method", http.MethodPost),
			attribute.String("server.address", d.Client.organization.Hostname()),
			attribute.Int("runmetrics.rows", rows),
		))
	return ctx
}

// requested takes in how the request ended whose span that of the context is.
func (t *telemetry) requested(ctx context.Context, items []item, took time.Duration, answer Answer, err error) {
	span := trace.SpanFromContext(ctx)
	defer span.End()
	t.duration.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("outcome", outcomeOf(err))))
	t.rows.Record(ctx, int64(len(items)))
	status := answer.Status
	var refusal *Error
	if errors.As(err, &refusal) {
		status = refusal.Status
	}
	if status != 0 && !NoToken(err) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return
	}
	now := time.Now()
	for _, it := range items {
		if m := &it.copy.Metrics; it.copy.Delivered < m.Version { // else it is sent again, to be sure
			t.delay.Record(ctx, max(0, now.Sub(m.UpdatedAt)).Seconds())
		}
	}
}

func outcomeOf(err error) string {
	_, throttled := Throttled(err)
	switch {
	case err == nil:
		return "taken"
	case throttled:
		return "throttled"
	case answers(err):
		return "refused"
	}
	return "failed"
}
