package main

import (
	"encoding/hex"
	"strings"
	"testing"

	tracespb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// testTrace follows an event of an agent that is traced to Dataverse, and looks at what was measured on the way.
func testTrace(t *testing.T, s *system) {
	c := startCollector(t)
	p := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "NATS_LISTEN": "127.0.0.1:0", "NATS_SYNC": "2m",
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}, "dev", "--no-agents")
	publishTraced(t, p, "first", 8) // which the dispatcher may find by itself, as it starts, before it hears of the commit
	p.wantMetrics(t, "runmetrics_dataverse_rows_delivered_total 1")
	publishTraced(t, p, "copied", 7)
	processed := c.wantSpan(t, "process RUN_EVENTS", 7)
	traceID, commit := hex.EncodeToString(processed.Links[0].TraceId), hex.EncodeToString(processed.Links[0].SpanId)
	for _, name := range []string{"sqlite commit", "upsert apex_campaignmetric"} {
		var span *tracespb.Span
		until(t, patience, name+" in the trace of the commit", func() bool { span = c.span(name, traceID); return span != nil })
		if span.Kind != tracespb.Span_SPAN_KIND_CLIENT || hex.EncodeToString(span.ParentSpanId) != commit {
			t.Errorf("%s is not a call of the commit's: %v", name, span)
		}
	}

	p.wantMetrics(t, `runmetrics_dataverse_delay_seconds_count 2`, `runmetrics_dataverse_request_rows_count 2`,
		`runmetrics_dataverse_request_duration_seconds_count{outcome="taken"} 2`,
		`http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/metrics"}`)
}

// wantMetrics waits until /metrics shows all lines that begin so.
func (p *program) wantMetrics(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		until(t, patience, line, func() bool { return strings.Contains("\n"+string(p.get(t, "/metrics").body), "\n"+line) })
	}
}
