package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracespb "go.opentelemetry.io/proto/otlp/trace/v1"
)

// testTelemetry follows events of an agent that is traced to its collector: by NATS, by HTTP, with the collector away, and
// at the end of the process; and the service's metrics and log records with them. All settings stand in a file, headers
// included.
func testTelemetry(t *testing.T, s *system) {
	c := startCollector(t)
	line, token := newToken(t, "agents", "--scopes", "read,write")
	environ := map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "NATS_LISTEN": "127.0.0.1:0", "NATS_SYNC": "2m"}
	file := writeFile(t, strings.Join([]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_EXPORTER_OTLP_HEADERS=x-key=hunter2",
		"OTEL_SERVICE_NAME=metrics-of-tests", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_BSP_SCHEDULE_DELAY=20",
		"OTEL_BLRP_SCHEDULE_DELAY=20", "OTEL_METRIC_EXPORT_INTERVAL=50", "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta"}, "\n"))
	p := s.serve(t, with(environ, map[string]string{"API_KEYS_FILE": writeFile(t, line)}), "run", "--env-file", file)

	publishTraced(t, p, "nats", 1)
	c.wantEvent(t, "nats", 1)
	if got := post(t, p, "http", 2, token); got != http.StatusAccepted {
		t.Fatalf("the event is answered by %d", got)
	}
	request := c.wantSpan(t, "POST /api/events", 2)
	if request.Kind != tracespb.Span_SPAN_KIND_SERVER || hex.EncodeToString(request.ParentSpanId) != agentSpanID {
		t.Errorf("the request is %v", request)
	}
	c.wantEventOf(t, "http", 2, hex.EncodeToString(request.SpanId))
	c.wantApplied(t, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA, 2)
	c.wantRecord(t, "running", "")
	c.wantRecord(t, "api key used for the first time by this process", traceIDOf(2))
	c.wantSender(t)

	// Without its collector the service goes on, and says so once for each signal.
	c.setDown(true)
	publishTraced(t, p, "lost", 3)
	publishTraced(t, p, "lost too", 4)
	if got := post(t, p, "refused", 4, "agents.unknown"); got != http.StatusUnauthorized { // which is logged
		t.Errorf("an unknown key is answered by %d", got)
	}
	until(t, patience, "the log tells of what is lost", func() bool { return len(lossesOf(t, p)) == len(signals) })
	c.setDown(false)
	publishTraced(t, p, "back", 5)
	c.wantEvent(t, "back", 5)
	for of, lines := range lossesOf(t, p) {
		if lines != 1 {
			t.Errorf("the log tells %d times of lost %s", lines, of)
		}
	}
	p.terminate(t)
	if c.record(lossMessage) != nil {
		t.Error("the collector is told of what it did not take")
	}

	q := testLastTelemetry(t, s, c, environ)
	if said := p.stderr.String() + q.stderr.String(); strings.Contains(said, "hunter2") {
		t.Errorf("the log has a secret: %s", said)
	}
	testHangingCollector(t, s, environ)
	testSecretsStay(t, s, environ)
}

// testLastTelemetry ends a service that has not sent anything yet: it sends all before the process ends.
func testLastTelemetry(t *testing.T, s *system, c *otlpCollector, environ map[string]string) *program {
	t.Helper()
	p := s.serve(t, with(environ, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_BSP_SCHEDULE_DELAY": "600000",
		"OTEL_BLRP_SCHEDULE_DELAY": "600000", "OTEL_METRIC_EXPORT_INTERVAL": "600000", "DATA_DIR": t.TempDir(),
		"DEPLOYMENT": "last", "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram"}), "run")
	publishTraced(t, p, "last", 6)
	p.reaches(t, 1, patience)
	p.wantMetrics(t, `runmetrics_commit_duration_seconds_bucket{outcome="stored",sink="sqlite",stream="RUN_EVENTS",le="+Inf"} 1`)
	p.terminate(t)
	if took := c.named("runmetrics.commit.duration"); len(took) == 0 || took[len(took)-1].GetExponentialHistogram() == nil {
		t.Errorf("where exponential histograms are preferred, %v is sent", took)
	}
	c.wantEvent(t, "last", 6)
	c.wantApplied(t, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE, 1)
	if r := c.record("running"); attributesOf(r.Attributes)["deployment"] != "last" {
		t.Errorf("the last service that told it runs is %v", r)
	}
	_, resource := c.last()
	for path, of := range resource {
		if of["service.name"] != "runmetrics" || of["deployment.environment.name"] != "last" {
			t.Errorf("%s is of %v", path, of)
		}
	}
	return p
}

// testHangingCollector ends a service whose collector takes connections and never answers.
func testHangingCollector(t *testing.T, s *system, environ map[string]string) {
	t.Helper()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	p := s.serve(t, with(environ, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + hanging.Addr().String(),
		"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_BLRP_SCHEDULE_DELAY": "20", "OTEL_METRIC_EXPORT_INTERVAL": "50",
		"DATA_DIR": t.TempDir()}), "run")
	publishTraced(t, p, "hangs", 7)
	p.reaches(t, 1, patience)
	t.Logf("with a collector that hangs the service ends within %s", p.terminate(t))
	lossesOf(t, p)
}

// lossMessage is what the log says of what no collector took.
const lossMessage = "telemetry is lost; look at the collector at OTEL_EXPORTER_OTLP_ENDPOINT"

// lossesOf counts the lines that tell of a signal's loss. Nothing but the program's own lines may be there.
func lossesOf(t *testing.T, p *program) map[string]int {
	t.Helper()
	lines := map[string]int{}
	for line := range strings.Lines(p.stderr.String()) {
		var said struct{ Msg, Signal string }
		if err := json.Unmarshal([]byte(line), &said); err != nil && strings.HasSuffix(line, "\n") {
			t.Fatalf("the log has a line of another form: %s", line)
		}
		if said.Msg == lossMessage {
			lines[said.Signal]++
		}
	}
	return lines
}

// wantEvent waits for the spans of an event of trace n that the agent published, which was applied, and of its commit.
func (c *otlpCollector) wantEvent(t *testing.T, id string, n int) {
	t.Helper()
	c.wantEventOf(t, id, n, agentSpanID)
}

// wantEventOf waits for those of an event that the parent published.
func (c *otlpCollector) wantEventOf(t *testing.T, id string, n int, parent string) {
	t.Helper()
	span := c.wantSpan(t, "process RUN_EVENTS", n)
	got := attributesOf(span.Attributes)
	if hex.EncodeToString(span.ParentSpanId) != parent || got["runmetrics.event_id"] != id || got["runmetrics.outcome"] != "applied" ||
		span.EndTimeUnixNano < span.StartTimeUnixNano || len(span.Links) != 1 {
		t.Fatalf("%s: %v", id, span)
	}
	commit := hex.EncodeToString(span.Links[0].TraceId)
	until(t, patience, "the commit of "+id, func() bool { return c.span("commit RUN_EVENTS", commit) != nil })
}

// wantSpan waits for a span in trace n.
func (c *otlpCollector) wantSpan(t *testing.T, name string, n int) (span *tracespb.Span) {
	t.Helper()
	until(t, patience, fmt.Sprintf("%s in trace %d", name, n), func() bool { span = c.span(name, traceIDOf(n)); return span != nil })
	return span
}

// wantApplied waits until the service has told that it applied n events: at last, or together where it tells how many more.
func (c *otlpCollector) wantApplied(t *testing.T, temporality metricspb.AggregationTemporality, n int64) {
	t.Helper()
	var told int64
	until(t, patience, fmt.Sprintf("%d events are applied by the metrics", n), func() bool {
		told = 0
		for _, m := range c.named("runmetrics.events.applied") {
			if m.GetSum().AggregationTemporality != temporality {
				continue
			}
			for _, point := range m.GetSum().DataPoints {
				if temporality == metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
					told = 0
				}
				told += point.GetAsInt()
			}
		}
		return told >= n
	})
	if told != n {
		t.Errorf("the metrics tell of %d applied events, want %d", told, n)
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "runmetrics.build_info"} {
		if len(c.named(name)) == 0 {
			t.Errorf("%s was not sent", name)
		}
	}
}

// wantRecord waits for a log record, which must be of that trace.
func (c *otlpCollector) wantRecord(t *testing.T, message, traceID string) {
	t.Helper()
	var record *logspb.LogRecord
	until(t, patience, "the log record "+message, func() bool { record = c.record(message); return record != nil })
	if got := hex.EncodeToString(record.TraceId); got != traceID || (traceID != "") != (len(record.SpanId) == 8) ||
		record.SeverityNumber != logspb.SeverityNumber_SEVERITY_NUMBER_INFO || len(record.Attributes) == 0 || record.TimeUnixNano == 0 {
		t.Errorf("%s: %v", message, record)
	}
}

// wantSender wants what the file of settings says in the last request, and of all signals.
func (c *otlpCollector) wantSender(t *testing.T) {
	t.Helper()
	header, resource := c.last()
	if header.Get("X-Key") != "hunter2" {
		t.Error("the collector did not get its header")
	}
	for _, of := range signals {
		if from := resource["/v1/"+string(of)]; from["service.name"] != "metrics-of-tests" || from["deployment.environment.name"] != "test" ||
			from["service.version"] == "" || from["service.instance.id"] == "" {
			t.Errorf("%s are of %v", of, from)
		}
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

// post posts one with an API key, and returns the status of the answer.
func post(t *testing.T, p *program, id string, n int, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.api+"/api/events", strings.NewReader(tracedEvent(id)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Traceparent": {agentIn(n)}, "Authorization": {"Bearer " + token}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// agentSpanID is the agent's span in every trace.
const agentSpanID = "00f067aa0ba902b7"

func traceIDOf(n int) string { return fmt.Sprintf("4bf92f3577b34da6a3ce929d%08x", n) }

// agentIn is the traceparent of the agent's span.
func agentIn(n int) string { return "00-" + traceIDOf(n) + "-" + agentSpanID + "-01" }

// testSecretsStay starts services that cannot reach their database or Dataverse, with secrets in their environment, and
// looks at all that they say of it, to the log and to the collector.
func testSecretsStay(t *testing.T, s *system, environ map[string]string) {
	t.Helper()
	const secret = "hunter2"
	nowhere := freeAddress(t)
	for message, more := range map[string]map[string]string{
		"the database cannot be used yet": {"DATABASE_URL": "postgres://runmetrics:" + secret + "@" + nowhere + "/metrics"},
		"copy to Dataverse": {"USE_DATAVERSE": "true", "DATAVERSE_URL": "http://" + nowhere, "DATAVERSE_AUTHORITY": "http://" + nowhere,
			"DATAVERSE_TENANT_ID": "contoso.onmicrosoft.com", "DATAVERSE_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
			"DATAVERSE_CLIENT_SECRET": secret},
	} {
		c := startCollector(t)
		p := s.serve(t, with(with(environ, more), map[string]string{"DATA_DIR": t.TempDir(), "OTEL_EXPORTER_OTLP_ENDPOINT": c.url,
			"OTEL_EXPORTER_OTLP_HEADERS": "api-key=" + secret, "LOG_LEVEL": "debug", "OTEL_BLRP_SCHEDULE_DELAY": "20"}), "run")
		publishTraced(t, p, "unsaid", 8)
		failed := func() bool { r := c.record(message); return r != nil && strings.Contains(r.String(), "refused") }
		until(t, patience, message+" and why", failed)
		p.terminate(t)
		c.mu.Lock()
		for _, list := range []any{c.records, c.spans, c.metrics, p.stderr.String()} {
			if strings.Contains(fmt.Sprint(list), secret) {
				t.Errorf("a secret got out: %v", list)
			}
		}
		c.mu.Unlock()
	}
}
