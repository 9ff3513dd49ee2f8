package query_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// observed is a world behind a real listener, whose measurements and spans are kept.
type observed struct {
	*world
	server  *httptest.Server
	reader  *sdkmetric.ManualReader
	spans   *tracetest.InMemoryExporter
	mu      sync.Mutex
	origins []trace.SpanContext // of what was published
	logged  []trace.SpanContext // of log lines
}

func observe(t *testing.T, change func(*query.Config)) *observed {
	t.Helper()
	o := &observed{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	o.world = newWorld(t, func(c *query.Config) {
		c.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader)).Meter("test")
		c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans)).Tracer("test")
		c.Log = slog.New(spanHandler{slog.DiscardHandler, o})
		c.Publish = func(ctx context.Context, list []*events.Event) []query.Receipt {
			o.note(&o.origins, ctx)
			return o.publish(ctx, list)
		}
		if change != nil {
			change(c)
		}
	})
	o.server = httptest.NewUnstartedServer(o.handler)
	o.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	o.server.Start()
	t.Cleanup(o.server.Close)
	return o
}

func (o *observed) note(list *[]trace.SpanContext, ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*list = append(*list, trace.SpanContextFromContext(ctx))
}

// spanHandler keeps the spans in which something is logged.
type spanHandler struct {
	slog.Handler
	o *observed
}

func (h spanHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h spanHandler) Handle(ctx context.Context, _ slog.Record) error {
	h.o.note(&h.o.logged, ctx)
	return nil
}

// ask sends a request and reads the whole answer; headers come in pairs. An answer that is cut off has status 0.
func (o *observed) ask(method, target, body string, headers ...string) (status int) {
	o.t.Helper()
	r, err := http.NewRequestWithContext(o.t.Context(), method, o.server.URL+target, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := o.server.Client().Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0
	}
	return answer.StatusCode
}

// measured are the requests so far by "method route status".
func (o *observed) measured() map[string]int {
	o.t.Helper()
	var all metricdata.ResourceMetrics
	if err := o.reader.Collect(context.Background(), &all); err != nil {
		o.t.Fatal(err)
	}
	found := map[string]int{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "http.server.request.duration" || m.Unit != "s" {
				o.t.Errorf("measured %s in %s", m.Name, m.Unit)
			}
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				labels := values(p.Attributes.ToSlice())
				if len(labels) != 3 {
					o.t.Errorf("labels %v", labels)
				}
				name := labels["http.request.method"] + " " + labels["http.route"] + " " + labels["http.response.status_code"]
				found[name] += int(p.Count)
			}
		}
	}
	return found
}

func (o *observed) wantMeasured(want map[string]int) {
	o.t.Helper()
	if got := o.measured(); !maps.Equal(got, want) {
		o.t.Errorf("measured %v\nwant     %v", got, want)
	}
}

func values(list []attribute.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestRequestsAreMeasuredByMethodRouteAndStatus(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	for range 2 {
		o.ask(http.MethodGet, campaign+"?limit=3", "")
	}
	o.ask(http.MethodHead, campaign, "")
	o.ask(http.MethodGet, campaign+"?limit=none", "")
	o.ask(http.MethodPost, campaign, example)
	o.ask(http.MethodGet, campaign+"/some-campaign/runs/some-run", "")
	o.ask(http.MethodGet, "/", "")
	o.ask(http.MethodGet, "/panel/index.html", "")
	o.ask(http.MethodGet, "/healthz", "")
	o.server.Close() // which lets all requests end
	const list, run = "/api/metrics/campaign", "/api/metrics/campaign/{campaignId}/runs/{runId}"
	o.wantMeasured(map[string]int{"GET " + list + " 200": 2, "HEAD " + list + " 200": 1, "GET " + list + " 400": 1,
		"POST " + list + " 201": 1, "GET " + run + " 404": 1, "GET / 200": 1, "GET /panel/* 200": 1, "GET /healthz 200": 1})
}

// TestWhatCallersChooseMakesNoSeries: methods, paths and hosts are anybody's to choose.
func TestWhatCallersChooseMakesNoSeries(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	for i := range 20 {
		text := fmt.Sprint("x", i)
		o.ask("BREW"+text, campaign, "")
		o.ask(http.MethodGet, "/"+text+"/%ff%00", "")
		o.ask(http.MethodGet, "/panel/"+text, "")
		o.ask(http.MethodGet, campaign, "", "Host", text+".example.com")
		o.ask(http.MethodGet, campaign+"/"+text+"/runs/"+text, "", "traceparent", text)
		o.ask(http.MethodDelete, campaign+"/"+text+"/runs/"+text, "")
	}
	o.server.Close()
	o.wantMeasured(map[string]int{"_OTHER unknown 405": 20, "GET unknown 404": 40, "GET /api/metrics/campaign 421": 20,
		"GET /api/metrics/campaign/{campaignId}/runs/{runId} 404": 20, "DELETE unknown 405": 20})
}

// TestRequestsThatEndBadlyAreMeasuredOnce: refused at the door, by a panic, cut off, and left by who asked.
func TestRequestsThatEndBadlyAreMeasuredOnce(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	o := observe(t, func(c *query.Config) {
		c.State = func() query.State { panic("state is broken") }
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("a", 1<<16))
			panic("half of it")
		})
		c.Reader = waitingReader{c.Reader, waiting}
	})
	o.ask(http.MethodGet, "/readyz", "")
	if status := o.ask(http.MethodGet, "/metrics", ""); status != 0 {
		t.Errorf("half an answer came with %d", status)
	}
	o.ask(http.MethodPost, campaign, example, "Origin", "https://example.com")
	impatient, leave := context.WithCancel(t.Context())
	go func() { <-waiting; leave() }()
	r, err := http.NewRequestWithContext(impatient, http.MethodGet, o.server.URL+campaign, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := o.server.Client().Do(r); err == nil {
		answer.Body.Close()
		t.Errorf("answered %d", answer.StatusCode)
	}
	o.server.Close()
	o.wantMeasured(map[string]int{"GET /readyz 500": 1, "GET /metrics 200": 1, "POST /api/metrics/campaign 403": 1,
		"GET /api/metrics/campaign 499": 1})
	for _, span := range o.spans.GetSpans() {
		if span.Status.Code != codes.Unset {
			t.Errorf("%s failed: %+v", span.Name, span.Status)
		}
	}
}

// waitingReader tells when it is asked, and answers when nobody waits any more.
type waitingReader struct {
	sinks.Reader
	asked chan struct{}
}

func (r waitingReader) Survey(ctx context.Context, _ sinks.Filter, _ func(*sinks.Surveyed) error) error {
	close(r.asked)
	<-ctx.Done()
	return ctx.Err()
}

func (r waitingReader) List(ctx context.Context, _ sinks.Filter, _ *sinks.Cursor, _ int) ([]aggregate.Metrics, error) {
	close(r.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestStreamsAreMeasuredUntilTheirHeaders: how long a client listens is no delay.
func TestStreamsAreMeasuredUntilTheirHeaders(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.server.URL+campaign+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := o.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"GET /api/metrics/campaign/stream 200": 1}
	o.wantMeasured(want)
	if spans := o.spans.GetSpans(); len(spans) != 1 || spans[0].Name != "GET /api/metrics/campaign/stream" {
		t.Errorf("spans %v", spans)
	}
	answer.Body.Close()
	o.server.Close()
	o.wantMeasured(want)
}

const (
	callerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callerSpan  = "00f067aa0ba902b7"
	sampled     = "00-" + callerTrace + "-" + callerSpan + "-01"
	unsampled   = "00-" + callerTrace + "-" + callerSpan + "-00"
)

// TestSpansSayWhatWasAskedAndNothingSecret: they are of the caller's trace, and hold neither query nor keys.
func TestSpansSayWhatWasAskedAndNothingSecret(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	o.ask(http.MethodGet, campaign+"/a%20b/runs/r?key=hunter2", "", "traceparent", sampled, "X-API-Key", "hunter2",
		"Authorization", "Bearer hunter2", "User-Agent", "agent/1 \xff")
	o.ask("BREW", "/no\"thing", "", "User-Agent", strings.Repeat("long", 1000))
	o.server.Close()
	spans := o.spans.GetSpans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(o.server.URL, "http://"), ":")
	wantSpan(t, &spans[0], "GET /api/metrics/campaign/{campaignId}/runs/{runId}", map[string]string{
		"http.request.method": "GET", "http.route": "/api/metrics/campaign/{campaignId}/runs/{runId}", "url.scheme": "http",
		"http.response.status_code": "404", "url.path": campaign + "/a%20b/runs/r", "server.address": host, "server.port": port,
		"user_agent.original": "agent/1 \uFFFD"})
	if p := spans[0].Parent; p.TraceID().String() != callerTrace || p.SpanID().String() != callerSpan || !p.IsRemote() {
		t.Errorf("its parent is %v", p)
	}
	wantSpan(t, &spans[1], "HTTP", map[string]string{"http.request.method": "_OTHER", "url.scheme": "http",
		"http.response.status_code": "404", "url.path": "/no%22thing", "server.address": host, "server.port": port})
	if spans[1].Parent.IsValid() {
		t.Errorf("its parent is %v", spans[1].Parent)
	}
}

func wantSpan(t *testing.T, span *tracetest.SpanStub, name string, attributes map[string]string) {
	t.Helper()
	got := values(span.Attributes)
	if span.Name != name || span.SpanKind != trace.SpanKindServer || !maps.Equal(got, attributes) || span.Status.Code != codes.Unset {
		t.Errorf("%s %s %v %v\nwant %s %v", span.SpanKind, span.Name, span.Status, got, name, attributes)
	}
	for key, value := range got {
		if !utf8.ValidString(value) || len(value) > 300 {
			t.Errorf("%s is %q", key, value)
		}
	}
}

// TestOnlyOurOwnFaultsAreErrorsOfSpans, and what is logged about them is logged in their span.
func TestOnlyOurOwnFaultsAreErrorsOfSpans(t *testing.T) {
	t.Parallel()
	o := observe(t, func(c *query.Config) { c.Reader = faulty{c.Reader, errors.New("broken")} })
	o.ask(http.MethodGet, campaign, "")
	o.ask(http.MethodGet, campaign+"?limit=none", "")
	o.server.Close()
	spans := o.spans.GetSpans()
	if len(spans) != 2 || spans[0].Status.Code != codes.Error || values(spans[0].Attributes)["error.type"] != "500" ||
		len(spans[0].Events) != 1 || spans[1].Status.Code != codes.Unset {
		t.Fatalf("spans %+v", spans)
	}
	if len(o.logged) != 1 || !o.logged[0].Equal(spans[0].SpanContext) {
		t.Errorf("logged in %v, want %v", o.logged, spans[0].SpanContext)
	}
}

// endless is a store with a first page of runs and no second one, which fails, or hangs until the caller gives up.
type endless struct {
	sinks.Reader
	second chan struct{} // closed when the second page is asked for
	hangs  bool
}

func (r endless) List(ctx context.Context, _ sinks.Filter, after *sinks.Cursor, limit int) ([]aggregate.Metrics, error) {
	if after == nil {
		return make([]aggregate.Metrics, limit), nil
	}
	close(r.second)
	if r.hangs {
		<-ctx.Done()
	}
	return nil, sinks.ErrUnavailable
}

// TestAnswersThatWeCutOffAreErrorsOfSpans, and those that a client does not want any more are not.
func TestAnswersThatWeCutOffAreErrorsOfSpans(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		second := make(chan struct{})
		o := observe(t, func(c *query.Config) { c.Reader = endless{c.Reader, second, hangs} })
		leaving, leave := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(leaving, http.MethodGet, o.server.URL+campaign+"?format=csv", nil)
		if err != nil {
			t.Fatal(err)
		}
		if hangs {
			go func() { <-second; leave() }()
		}
		if answer, err := o.server.Client().Do(r); err == nil {
			if _, err := io.Copy(io.Discard, answer.Body); err == nil {
				t.Error("half an answer was taken for all")
			}
			answer.Body.Close()
		}
		leave()
		o.server.Close()
		o.wantMeasured(map[string]int{"GET /api/metrics/campaign 200": 1})
		if spans := o.spans.GetSpans(); len(spans) != 1 || (spans[0].Status.Code == codes.Error) == hangs {
			t.Errorf("the client leaves: %t; spans %+v", hangs, spans)
		}
	}
}

// TestStrangersMakeNoSpans, or they could fill the collector; what they ask is measured.
func TestStrangersMakeNoSpans(t *testing.T) {
	t.Parallel()
	var read string
	o := observe(t, func(c *query.Config) { c.Keys, read = readerKeys(t) })
	o.ask(http.MethodGet, campaign, "", "traceparent", sampled)
	o.ask(http.MethodGet, "/nothing", "", "X-API-Key", "reader.wrong", "traceparent", sampled)
	o.ask(http.MethodGet, campaign, "", "X-API-Key", read, "traceparent", sampled)
	o.server.Close()
	o.wantMeasured(map[string]int{"GET /api/metrics/campaign 401": 1, "GET unknown 401": 1, "GET /api/metrics/campaign 200": 1})
	if spans := o.spans.GetSpans(); len(spans) != 1 {
		t.Errorf("spans %v", spans)
	}
	for _, logged := range o.logged {
		if logged.TraceID().String() != callerTrace {
			t.Errorf("logged in %v", logged)
		}
	}
	if len(o.logged) != 3 {
		t.Errorf("logged %d times", len(o.logged))
	}
}

// readerKeys are a key that may read, and its token.
func readerKeys(t *testing.T) (*query.Keys, string) {
	t.Helper()
	line, token, err := query.NewKey("reader", []string{query.ScopeRead}, time.Time{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := query.ParseKeys(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	return keys, token
}

func TestRoutesThatAreAskedForAllTheTimeHaveNoSpans(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	for _, target := range []string{"/", "/panel/index.html", "/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json"} {
		if status := o.ask(http.MethodGet, target, "", "traceparent", sampled); status != http.StatusOK {
			t.Errorf("%s: %d", target, status)
		}
	}
	o.server.Close()
	if spans := o.spans.GetSpans(); len(spans) > 0 {
		t.Errorf("spans %v", spans)
	}
}

// TestEventsComeFromTheSpanOfTheRequestThatPostedThem, and those of a caller that is not sampled from one that is not.
func TestEventsComeFromTheSpanOfTheRequestThatPostedThem(t *testing.T) {
	t.Parallel()
	o := observe(t, nil)
	o.ask(http.MethodPost, eventsPath, finishedEvent("e1"), "traceparent", sampled)
	o.ask(http.MethodPost, eventsPath, finishedEvent("e2"))
	o.ask(http.MethodPost, eventsPath, finishedEvent("e3"), "traceparent", unsampled)
	o.server.Close()
	spans := o.spans.GetSpans()
	if len(spans) != 2 || len(o.origins) != 3 {
		t.Fatalf("%d spans, %d publications", len(spans), len(o.origins))
	}
	for i := range spans {
		if !o.origins[i].Equal(spans[i].SpanContext) {
			t.Errorf("event %d comes from %v, want %v", i+1, o.origins[i], spans[i].SpanContext)
		}
	}
	if spans[0].SpanContext.TraceID().String() != callerTrace || spans[1].SpanContext.TraceID().String() == callerTrace {
		t.Error("the traces are not those of the callers")
	}
	if o.origins[2].IsSampled() || o.origins[2].TraceID().String() != callerTrace {
		t.Errorf("the unsampled one comes from %v", o.origins[2])
	}
}

// BenchmarkTelemetry shows what measuring costs a request for which little else is done.
func BenchmarkTelemetry(b *testing.B) {
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("bench")
	tracer := sdktrace.NewTracerProvider().Tracer("bench")
	for _, mode := range []struct {
		name   string
		change func(*query.Config)
	}{
		{"off", func(*query.Config) {}},
		{"measured", func(c *query.Config) { c.Meter = meter }},
		{"measured and traced", func(c *query.Config) { c.Meter, c.Tracer = meter, tracer }},
	} {
		b.Run(mode.name, func(b *testing.B) {
			c := query.Config{Reader: (*sqlite.Store)(nil), Letters: (*sqlite.Store)(nil).Letters,
				Publish:   func(context.Context, []*events.Event) []query.Receipt { return nil },
				Committed: func(context.Context, query.Receipt) error { return nil },
				State:     func() query.State { return query.State{} }}
			mode.change(&c)
			handler, err := query.New(c)
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/nothing", nil)
			r.Host = "localhost"
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
