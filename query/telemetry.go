package query

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// Each request is measured once, whatever becomes of it: refused at the door, without a route, answered, cut off, or ended
// by a panic. Names are those of OpenTelemetry's conventions for HTTP. What callers choose is in no label: methods are the
// known ones, routes the patterns of the multiplexer, statuses our own.
//
// A request ends when its answer does. A stream of events is measured until its headers go out, when the store was read
// for what comes first: how long clients stay is no delay.
//
// Spans are of requests that are let in: a stranger has no way to fill the collector.

// durationBuckets are bounds in seconds.
var durationBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

const (
	noRouteName = "unknown" // http.route of what no pattern matches
	otherMethod = "_OTHER"
	panelRoute  = "/panel/*" // all files of the panel
)

// longestAttribute is how much of what a caller chose a span holds, in bytes.
const longestAttribute = 256

// telemetry measures requests and makes their spans.
type telemetry struct {
	tracer   trace.Tracer // nil: no spans
	duration metric.Float64Histogram
}

func newTelemetry(c *Config) (telemetry, error) {
	meter := c.Meter
	if meter == nil {
		meter = metricnoop.Meter{}
	}
	duration, err := meter.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithDescription("How long requests took by method, route and status; streams of events until their headers were sent."),
		metric.WithExplicitBucketBoundaries(durationBuckets...))
	if err != nil {
		return telemetry{}, fmt.Errorf("register metrics: %w", err)
	}
	return telemetry{c.Tracer, duration}, nil
}

// measured is a request under way.
type measured struct {
	*telemetry
	ctx    context.Context // the request's, with its span
	method string          // a known one, or otherMethod
	route  string
	began  time.Time
	span   trace.Span // nil: none
	ended  bool
}

// begin begins to measure a request whose pattern is known.
func (t *telemetry) begin(r *http.Request) *measured {
	return &measured{telemetry: t, ctx: r.Context(), method: knownMethod(r.Method), route: routeOf(r.Pattern), began: time.Now()}
}

// trace begins the span of a request that is let in. The request that it returns is in it.
func (m *measured) trace(r *http.Request) *http.Request {
	if m.tracer == nil || untraced(m.route) {
		return r
	}
	name := m.method
	if name == otherMethod {
		name = "HTTP"
	}
	if m.route != noRouteName {
		name += " " + m.route
	}
	m.ctx, m.span = m.tracer.Start(m.ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(m.began))
	if m.span.IsRecording() {
		m.span.SetAttributes(m.attributes(r)...)
	}
	return r.WithContext(m.ctx)
}

// end ends the measuring. Cut is whether the answer ends before it is whole.
func (m *measured) end(status int, cut bool) {
	if m.ended {
		return
	}
	m.ended = true
	if m.duration.Enabled(m.ctx) {
		m.duration.Record(m.ctx, time.Since(m.began).Seconds(), metric.WithAttributes(attribute.String("http.request.method", m.method),
			attribute.String("http.route", m.route), attribute.Int("http.response.status_code", status)))
	}
	if m.span == nil {
		return
	}
	m.span.SetAttributes(attribute.Int("http.response.status_code", status))
	switch {
	case status >= http.StatusInternalServerError:
		m.span.SetAttributes(attribute.String("error.type", strconv.Itoa(status)))
		m.span.SetStatus(codes.Error, "")
	case cut && m.ctx.Err() == nil:
		m.span.SetStatus(codes.Error, "the answer was cut off")
	}
	m.span.End()
}

// attributes are what is known of a request when it begins. There is no query, which may hold anything, and no header
// that may hold a key.
func (m *measured) attributes(r *http.Request) []attribute.KeyValue {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	list := []attribute.KeyValue{
		attribute.String("http.request.method", m.method),
		attribute.String("url.scheme", scheme),
		attribute.String("url.path", shortened(r.URL.EscapedPath())),
	}
	if m.route != noRouteName {
		list = append(list, attribute.String("http.route", m.route))
	}
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	list = append(list, attribute.String("server.address", shortened(host)))
	if number, err := strconv.ParseUint(port, 10, 16); err == nil {
		list = append(list, attribute.Int("server.port", int(number)))
	}
	if agent := r.UserAgent(); agent != "" && len(agent) <= longestAttribute {
		list = append(list, attribute.String("user_agent.original", shortened(agent)))
	}
	return list
}

// shortened makes what a caller chose fit for a span. One attribute that is not UTF-8 would keep all spans that are sent
// with it from being taken.
func shortened(s string) string {
	if len(s) > longestAttribute {
		s = s[:longestAttribute]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// knownMethod bounds the methods that are told apart.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

// routeOf is the route of a pattern of the multiplexer.
func routeOf(pattern string) string {
	_, route, _ := strings.Cut(pattern, " ")
	switch {
	case route == "":
		return noRouteName
	case strings.HasPrefix(route, "/panel/"):
		return panelRoute
	}
	return strings.TrimSuffix(route, "{$}")
}

// untraced routes are asked for all the time, or by everyone, and tell nothing.
func untraced(route string) bool {
	switch route {
	case "/", panelRoute, "/healthz", "/readyz", "/metrics", "/openapi.json", asyncAPIPath:
		return true
	}
	return false
}
