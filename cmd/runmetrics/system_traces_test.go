package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spanCollector takes spans by OTLP/HTTP, as an OpenTelemetry collector does.
type spanCollector struct {
	url string

	mu       sync.Mutex
	down     bool
	headers  http.Header       // of the last request
	resource map[string]string // of the last request
	spans    []*traces.Span
}

func startCollector(t *testing.T) *spanCollector {
	t.Helper()
	c := &spanCollector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var request collector.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	switch {
	case c.down:
		http.Error(w, "down", http.StatusNotFound) // which is not tried again
		return
	case err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil:
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	c.headers = r.Header.Clone()
	for _, from := range request.ResourceSpans {
		c.resource = attributesOf(from.Resource.Attributes)
		for _, scope := range from.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// find returns the span of that name in that trace.
func (c *spanCollector) find(name, traceID string) *traces.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name == name && hex.EncodeToString(span.TraceId) == traceID {
			return span
		}
	}
	return nil
}

// last is what the last request said of itself and of who sent it.
func (c *spanCollector) last() (header http.Header, resource map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers, c.resource
}

func (c *spanCollector) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func attributesOf(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		all[a.Key] = a.Value.GetStringValue()
	}
	return all
}

// testTraces follows events of an agent that is traced to its collector: by NATS, by HTTP, with the collector away, and
// at the end of the process. All settings stand in a file, headers included.
func testTraces(t *testing.T, s *system) {
	c := startCollector(t)
	environ := map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "NATS_LISTEN": "127.0.0.1:0", "NATS_SYNC": "2m"}
	file := writeFile(t, strings.Join([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_EXPORTER_OTLP_HEADERS=x-key=secret",
		"OTEL_SERVICE_NAME=metrics-of-tests", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_BSP_SCHEDULE_DELAY=20"}, "\n"))
	p := s.serve(t, environ, "run", "--env-file", file)
	event := func(id string) string {
		return fmt.Sprintf(`{"id":%q,"campaignId":"traced","runId":"r","phase":"p","occurredAt":"2026-02-14T11:00:00Z","agentId":%q,`+
			`"status":"succeeded","latencyMs":5}`, id, id)
	}
	publish := func(at *program, id, traceID string) {
		conn, err := nats.Connect(at.nats)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		m := &nats.Msg{Subject: "runs.traced.r", Data: []byte(event(id)), Header: nats.Header{"traceparent": {parentIn(traceID)}}}
		if _, err := conn.RequestMsg(m, patience); err != nil {
			t.Fatal(err)
		}
	}
	arrived := func(id, traceID string) {
		t.Helper()
		until(t, patience, "the span of "+id, func() bool { return c.find("process RUN_EVENTS", traceID) != nil })
		span := c.find("process RUN_EVENTS", traceID)
		got := attributesOf(span.Attributes)
		if hex.EncodeToString(span.ParentSpanId) != agentSpanID || got["runmetrics.event_id"] != id || got["runmetrics.outcome"] != "applied" ||
			span.EndTimeUnixNano < span.StartTimeUnixNano || len(span.Links) != 1 {
			t.Errorf("%s: %v", id, span)
		}
		commit := hex.EncodeToString(span.Links[0].TraceId)
		until(t, patience, "the span of the commit of "+id, func() bool { return c.find("commit RUN_EVENTS", commit) != nil })
	}

	publish(p, "nats", traceIDOf(1))
	arrived("nats", traceIDOf(1))
	header, resource := c.last()
	if header.Get("X-Key") != "secret" {
		t.Error("the collector did not get its header")
	}
	if resource["service.name"] != "metrics-of-tests" || resource["deployment.environment.name"] != "test" ||
		resource["service.version"] == "" || resource["service.instance.id"] == "" {
		t.Errorf("spans are of %v", resource)
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/api/events", strings.NewReader(event("http")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Traceparent": {parentIn(traceIDOf(2))}}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer.Status)
	}
	arrived("http", traceIDOf(2))

	// Without its collector the service goes on, and says so once.
	c.setDown(true)
	publish(p, "lost", traceIDOf(3))
	publish(p, "lost too", traceIDOf(4))
	until(t, patience, "the log tells of lost spans", func() bool { return strings.Contains(p.stderr.String(), "spans are lost") })
	c.setDown(false)
	publish(p, "back", traceIDOf(5))
	arrived("back", traceIDOf(5))

	// The last spans are sent before the process ends.
	slow := maps.Clone(environ)
	maps.Copy(slow, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_BSP_SCHEDULE_DELAY": "600000", "DATA_DIR": t.TempDir()})
	p.terminate(t)
	q := s.serve(t, slow, "run")
	publish(q, "last", traceIDOf(6))
	q.reaches(t, 1, patience)
	q.terminate(t)
	arrived("last", traceIDOf(6))
	if said := p.stderr.String() + q.stderr.String(); strings.Contains(said, "secret") {
		t.Errorf("the log has a secret: %s", said)
	}
}

// agentSpanID is the agent's span in every trace.
const agentSpanID = "00f067aa0ba902b7"

func traceIDOf(n int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d%08x", n) }

func parentIn(traceID string) string { return "00-" + traceID + "-" + agentSpanID + "-01" }
