package main

import (
	"encoding/hex"
	"fmt"
	"io"
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

	publishTraced(t, p, "nats", 1)
	c.wantEvent(t, "nats", 1)
	c.wantSender(t)
	postTraced(t, p, "http", 2)
	c.wantEvent(t, "http", 2)

	// Without its collector the service goes on, and says so once.
	c.setDown(true)
	publishTraced(t, p, "lost", 3)
	publishTraced(t, p, "lost too", 4)
	until(t, patience, "the log tells of lost spans", func() bool { return strings.Contains(p.stderr.String(), "spans are lost") })
	c.setDown(false)
	publishTraced(t, p, "back", 5)
	c.wantEvent(t, "back", 5)
	p.terminate(t)

	// The last spans are sent before the process ends.
	slow := with(environ, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_BSP_SCHEDULE_DELAY": "600000", "DATA_DIR": t.TempDir()})
	q := s.serve(t, slow, "run")
	publishTraced(t, q, "last", 6)
	q.reaches(t, 1, patience)
	q.terminate(t)
	c.wantEvent(t, "last", 6)
	if said := p.stderr.String() + q.stderr.String(); strings.Contains(said, "secret") {
		t.Errorf("the log has a secret: %s", said)
	}
}

// wantEvent waits for the spans of an event of trace n, which was applied, and of its commit.
func (c *spanCollector) wantEvent(t *testing.T, id string, n int) {
	t.Helper()
	find := func(name, traceID string) (span *traces.Span) {
		until(t, patience, name+" of "+id, func() bool { span = c.find(name, traceID); return span != nil })
		return span
	}
	span := find("process RUN_EVENTS", traceIDOf(n))
	got := attributesOf(span.Attributes)
	if hex.EncodeToString(span.ParentSpanId) != agentSpanID || got["runmetrics.event_id"] != id || got["runmetrics.outcome"] != "applied" ||
		span.EndTimeUnixNano < span.StartTimeUnixNano || len(span.Links) != 1 {
		t.Fatalf("%s: %v", id, span)
	}
	find("commit RUN_EVENTS", hex.EncodeToString(span.Links[0].TraceId))
}

// wantSender wants what the file of settings says in the last request.
func (c *spanCollector) wantSender(t *testing.T) {
	t.Helper()
	header, resource := c.last()
	if header.Get("X-Key") != "secret" {
		t.Error("the collector did not get its header")
	}
	if resource["service.name"] != "metrics-of-tests" || resource["deployment.environment.name"] != "test" ||
		resource["service.version"] == "" || resource["service.instance.id"] == "" {
		t.Errorf("spans are of %v", resource)
	}
}

func tracedEvent(id string) string {
	return fmt.Sprintf(`{"id":%q,"campaignId":"traced","runId":"r","phase":"p","occurredAt":"2026-02-14T11:00:00Z","agentId":%q,`+
		`"status":"succeeded","latencyMs":5}`, id, id)
}

// publishTraced publishes an event from the agent's span in trace n.
func publishTraced(t *testing.T, p *program, id string, n int) {
	t.Helper()
	conn, err := nats.Connect(p.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m := &nats.Msg{Subject: "runs.traced.r", Data: []byte(tracedEvent(id)), Header: nats.Header{"traceparent": {agentIn(n)}}}
	if _, err := conn.RequestMsg(m, patience); err != nil {
		t.Fatal(err)
	}
}

// postTraced posts one.
func postTraced(t *testing.T, p *program, id string, n int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/api/events", strings.NewReader(tracedEvent(id)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Traceparent": {agentIn(n)}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Fatal(answer.Status)
	}
}

// agentSpanID is the agent's span in every trace.
const agentSpanID = "00f067aa0ba902b7"

func traceIDOf(n int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d%08x", n) }

// agentIn is the traceparent of the agent's span.
func agentIn(n int) string { return "00-" + traceIDOf(n) + "-" + agentSpanID + "-01" }
