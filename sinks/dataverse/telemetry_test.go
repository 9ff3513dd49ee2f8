package dataverse

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// telescope keeps what a dispatcher measures, its spans, and the spans in which it logs.
type telescope struct {
	t      *testing.T
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter

	mu     sync.Mutex
	logged map[string][]trace.SpanContext // by message
}

func newTelescope(t *testing.T) *telescope {
	return &telescope{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter(),
		logged: make(map[string][]trace.SpanContext)}
}

// watch has a dispatcher measured.
func (s *telescope) watch(c *DispatcherConfig) {
	c.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)).Meter("test")
	c.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans)).Tracer("test")
	c.Log = slog.New(loggedSpans{c.Log.Handler(), s})
}

// loggedSpans keeps the spans in which something is logged.
type loggedSpans struct {
	slog.Handler
	scope *telescope
}

func (h loggedSpans) Handle(ctx context.Context, r slog.Record) error {
	h.scope.mu.Lock()
	h.scope.logged[r.Message] = append(h.scope.logged[r.Message], trace.SpanContextFromContext(ctx))
	h.scope.mu.Unlock()
	return h.Handler.Handle(ctx, r)
}

// measured is what a histogram holds: how many values and their sum, by labels.
type measured struct {
	count uint64
	sum   float64
}

func (s *telescope) measured(name string) map[string]measured {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(context.Background(), &all); err != nil {
		s.t.Fatal(err)
	}
	found := map[string]measured{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					found[labels(p.Attributes)] = measured{p.Count, p.Sum}
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					found[labels(p.Attributes)] = measured{p.Count, float64(p.Sum)}
				}
			}
		}
	}
	return found
}

func labels(set attribute.Set) string { return set.Encoded(attribute.DefaultEncoder()) }

// origin is the span of a commit.
func origin(n byte) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{15: n}, SpanID: trace.SpanID{7: n},
		TraceFlags: trace.FlagsSampled, Remote: true})
}

// TestDelaysAreFromCommitToCopy, once for each version, however often its row is sent.
func TestDelaysAreFromCommitToCopy(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		p := w.start(nil, scope.watch)
		p.Own(true)
		w.commit(execution("a", 0), execution("b", 0))
		w.settled()
		time.Sleep(time.Minute)
		w.organization.Inject(emulator.Fault{Kind: "drop-after", Path: "UpsertMultiple", Times: 1}) // taken, and not answered
		w.commit(execution("a", 1))
		w.settled()
		time.Sleep(2 * testLinger) // it is sent once more, to be sure
		w.settled()
		if n := w.organization.Stats().Targets; n < 5 {
			t.Errorf("%d rows were sent", n)
		}
		delays := scope.measured("runmetrics.dataverse.delay")[""]
		if delays.count != 3 || delays.sum > 10 {
			t.Errorf("%d delays of %f s", delays.count, delays.sum)
		}

		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		w.commit(execution("a", 2))
		time.Sleep(time.Hour)
		w.network.down.Store(false)
		w.settled()
		if late := scope.measured("runmetrics.dataverse.delay")[""]; late.count != 4 || late.sum < 3600 || late.sum > 3700 {
			t.Errorf("after an outage of an hour %d delays of %f s", late.count, late.sum)
		}
	})
}

func TestRequestsAreMeasuredByOutcome(t *testing.T) {
	inWorld(t, emulator.Config{Latency: 2 * time.Second}, func(w *world) {
		scope := newTelescope(t)
		p := w.start(nil, scope.watch)
		p.Own(true)
		w.commit(execution("a", 0), execution("b", 0), execution("c", 0))
		w.settled()
		for i, fault := range []emulator.Fault{{Kind: "throttle", RetryAfter: time.Second}, {Kind: "error", Status: 413},
			{Kind: "error", Status: 503}, {Kind: "drop-before"}} {
			time.Sleep(time.Minute)
			fault.Path, fault.Times = "UpsertMultiple", 1
			w.organization.Inject(fault)
			w.commit(execution("a", i+1), execution("b", i+1))
			w.settled()
		}
		time.Sleep(2 * testLinger)
		got := map[string]uint64{}
		var requests uint64
		for outcome, m := range scope.measured("runmetrics.dataverse.request.duration") {
			got[outcome] = m.count
			requests += m.count
			if outcome == "outcome=taken" && m.sum < 2*float64(m.count) {
				t.Errorf("%d requests of two seconds each took %f s", m.count, m.sum)
			}
		}
		rows := scope.measured("runmetrics.dataverse.request.rows")[""]
		if status := p.Status(); requests != uint64(status.Requests) || rows.count != requests {
			t.Errorf("%d requests, %d of rows, status %+v", requests, rows.count, status)
		}
		delete(got, "outcome=taken")
		if want := (map[string]uint64{"outcome=throttled": 1, "outcome=refused": 1, "outcome=failed": 2}); !maps.Equal(got, want) {
			t.Errorf("outcomes %v, want %v besides those taken", got, want)
		}
	})
}

// TestRequestsAreInTheTraceOfTheNewestCommit that they copy, with links to the others; without any they are roots.
func TestRequestsAreInTheTraceOfTheNewestCommit(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		p := w.start(nil, scope.watch)
		w.commitSilently(execution("a", 0))
		p.Wake(origin(99)) // for another, so far
		synctest.Wait()
		p.Own(true)
		w.settled()
		time.Sleep(time.Minute)

		w.organization.Inject(emulator.Fault{Kind: "throttle", Times: 1, RetryAfter: 10 * time.Second})
		w.commitSilently(execution("a", 1))
		p.Wake(origin(1))
		synctest.Wait()
		w.commitSilently(execution("b", 0))
		p.Wake(origin(2))
		p.Wake(trace.SpanContext{}) // of one that is not traced
		w.commitSilently(execution("c", 0))
		p.Wake(origin(3))
		w.settled()

		spans := scope.spans.GetSpans()
		if len(spans) != 4 {
			t.Fatalf("%d spans", len(spans))
		}
		slices.SortFunc(spans[2:], func(a, b tracetest.SpanStub) int { return len(a.Links) - len(b.Links) }) // they go at once
		wantUpsert(t, &spans[0], trace.SpanContext{}, http.StatusNoContent, 1)
		wantUpsert(t, &spans[1], origin(1), http.StatusTooManyRequests, 1)
		wantUpsert(t, &spans[2], origin(1), http.StatusNoContent, 1)
		wantUpsert(t, &spans[3], origin(3), http.StatusNoContent, 2, origin(2))
		if logged := scope.logged["copy to Dataverse"]; !slices.ContainsFunc(logged, spans[1].SpanContext.Equal) {
			t.Errorf("states were logged in %v, want one in %v", logged, spans[1].SpanContext)
		}
	})
}

func wantUpsert(t *testing.T, span *tracetest.SpanStub, parent trace.SpanContext, status, rows int, links ...trace.SpanContext) {
	t.Helper()
	got := map[string]string{}
	for _, a := range span.Attributes {
		got[string(a.Key)] = a.Value.String()
	}
	want := map[string]string{"http.request.method": "POST", "server.address": "127.0.0.1", "runmetrics.rows": fmt.Sprint(rows),
		"http.response.status_code": fmt.Sprint(status)}
	if span.Name != "upsert "+testTable || span.SpanKind != trace.SpanKindClient || !maps.Equal(got, want) {
		t.Errorf("span %s %s %v, want %v", span.SpanKind, span.Name, got, want)
	}
	if !span.Parent.Equal(parent) || parent.IsValid() && span.SpanContext.TraceID() != parent.TraceID() {
		t.Errorf("its parent is %v, want %v", span.Parent, parent)
	}
	linked := []trace.SpanContext{}
	for _, l := range span.Links {
		linked = append(linked, l.SpanContext)
	}
	if !slices.EqualFunc(linked, links, trace.SpanContext.Equal) {
		t.Errorf("it links to %v, want %v", linked, links)
	}
	if failed := span.Status.Code == codes.Error; failed != (status >= 400) {
		t.Errorf("status %+v after %d", span.Status, status)
	}
}

// TestWhatIsHeldBackComesFromItsCommitToo: a claim that found nothing for it yet does not forget where it comes from.
func TestWhatIsHeldBackComesFromItsCommitToo(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		p := w.start(nil, scope.watch, func(c *DispatcherConfig) { c.Interval = time.Minute })
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		w.commitSilently(execution("a", 1))
		p.Wake(origin(1))
		w.settled()
		p.Wake(origin(2)) // of a commit whose rows are copied already
		time.Sleep(time.Hour)
		w.commit(execution("a", 2))
		w.settled()
		spans := scope.spans.GetSpans()
		if len(spans) != 3 {
			t.Fatalf("%d spans", len(spans))
		}
		wantUpsert(t, &spans[1], origin(1), http.StatusNoContent, 1)
		wantUpsert(t, &spans[2], trace.SpanContext{}, http.StatusNoContent, 1)
	})
}

// TestOriginsSurviveAStoreThatFails: the claim that succeeds at last knows what the failed one was for.
func TestOriginsSurviveAStoreThatFails(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		var away atomic.Bool
		p := w.start(func(context.Context, sinktest.Method, int) sinktest.Fault {
			if away.Load() {
				return sinktest.NotStored
			}
			return sinktest.None
		}, scope.watch)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(time.Minute)
		away.Store(true)
		for n := range byte(2) {
			w.commitSilently(execution("a", int(n)+1))
			p.Wake(origin(n + 1))
			time.Sleep(time.Minute)
		}
		away.Store(false)
		w.settled()
		wantUpsert(t, &scope.spans.GetSpans()[1], origin(2), http.StatusNoContent, 1, origin(1))
	})
}

// TestNewestOriginsAreRemembered, as many as a span may have links, however many commits there are in an outage.
func TestNewestOriginsAreRemembered(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		for n := range byte(200) {
			p.Wake(origin(n + 1))
		}
		got := p.signals.takeOrigins()
		if len(got) != mostOrigins || !got[0].Equal(origin(73)) || !got[mostOrigins-1].Equal(origin(200)) {
			t.Errorf("%d origins, from %v to %v", len(got), got[0], got[len(got)-1])
		}
	})
}

// TestRefusedRowsAreLoggedInTheSpanOfTheirRequest, where there was one.
func TestRefusedRowsAreLoggedInTheSpanOfTheirRequest(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		p := w.start(nil, scope.watch)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(2 * tableTime)
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 400, Path: "UpsertMultiple", Times: 1})
		w.commitSilently(execution("a", 1))
		p.Wake(origin(1))
		w.eventually(time.Minute, "it is parked", func() bool { return p.Status().Parked == 1 })
		logged := scope.logged["Dataverse refuses a row; it is parked"]
		if len(logged) != 1 || logged[0].TraceID() != origin(1).TraceID() {
			t.Errorf("logged in %v", logged)
		}
	})
}

// TestDataverseIsSentNoTrace: what reaches the organization has none of our ids.
func TestDataverseIsSentNoTrace(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		scope := newTelescope(t)
		var mu sync.Mutex
		var sent []string
		handler := w.network.server.Handler
		w.network.server.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			sent = append(sent, r.Header.Get("traceparent")+r.Header.Get("tracestate"))
			mu.Unlock()
			handler.ServeHTTP(rw, r)
		})
		p := w.start(nil, scope.watch)
		p.Own(true)
		synctest.Wait()
		w.commitSilently(execution("a", 0))
		p.Wake(origin(1))
		w.settled()
		mu.Lock()
		defer mu.Unlock()
		if len(scope.spans.GetSpans()) != 1 || len(sent) < 3 || slices.ContainsFunc(sent, func(s string) bool { return s != "" }) {
			t.Errorf("%d spans; sent %q", len(scope.spans.GetSpans()), sent)
		}
	})
}
