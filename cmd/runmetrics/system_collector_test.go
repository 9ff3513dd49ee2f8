package main

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracespb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.yaml.in/yaml/v3"
)

// azureKeys are what the README of the exporter to Azure Monitor names, of what deploy/collector.yaml might use:
// https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/azuremonitorexporter
var azureKeys = []string{"connection_string", "endpoint", "maxbatchsize", "maxbatchinterval", "spaneventsenabled", "shutdown_timeout",
	"sending_queue", "sending_queue.enabled", "sending_queue.num_consumers", "sending_queue.queue_size", "sending_queue.storage"}

// testCollector sends what a service tells through an OpenTelemetry collector that docker-compose.yml would start: with
// deploy/collector.yaml, in which only the exporter to Azure is another one. What comes out at the other end has what
// Application Insights makes requests, dependencies, metrics and traces of.
func testCollector(t *testing.T, s *system) {
	binary := buildCollector(t)
	azure := startCollector(t)
	address := freeAddress(t)
	config := exchangedExporter(t, address, azure.url)
	if said, err := exec.CommandContext(t.Context(), binary, "validate", "--config", config).CombinedOutput(); err != nil {
		t.Fatalf("deploy/collector.yaml is refused: %s", said)
	}
	through := startRealCollector(t, binary, config, address)

	line, token := newToken(t, "agents", "--scopes", "read,write")
	p := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "NATS_LISTEN": "127.0.0.1:0", "NATS_SYNC": "2m",
		"API_KEYS_FILE": writeFile(t, line), "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + address, "OTEL_BSP_SCHEDULE_DELAY": "20",
		"OTEL_BLRP_SCHEDULE_DELAY": "20", "OTEL_METRIC_EXPORT_INTERVAL": "200"}, "run")
	publishTraced(t, p, "nats", 1)
	azure.wantEvent(t, "nats", 1)
	if got := post(t, p, "http", 2, token); got != http.StatusAccepted {
		t.Fatalf("the event is answered by %d", got)
	}
	azure.wantSpan(t, "POST /api/events", 2)
	azure.wantSpan(t, "process RUN_EVENTS", 2)
	azure.wantRecord(t, "api key used for the first time by this process", traceIDOf(2))
	azure.wantForAzure(t)

	// A collector that dies and comes back costs what was under way, and no event.
	through.kill(t)
	publishTraced(t, p, "away", 3)
	until(t, patience, "the log tells of what is lost", func() bool { return lossesOf(t, p)["traces"] == 1 })
	through = startRealCollector(t, binary, config, address)
	publishTraced(t, p, "back", 4)
	azure.wantEvent(t, "back", 4)
	p.terminate(t)
	through.kill(t)
	if span := azure.span("process RUN_EVENTS", traceIDOf(3)); span != nil {
		t.Error("the collector was not away")
	}
}

// wantForAzure wants each kind of what Application Insights has tables of.
func (c *otlpCollector) wantForAzure(t *testing.T) {
	t.Helper()
	until(t, patience, "requests and dependencies", func() bool {
		kinds := c.kinds()
		return kinds[tracespb.Span_SPAN_KIND_SERVER] > 0 && kinds[tracespb.Span_SPAN_KIND_CONSUMER] > 0 &&
			kinds[tracespb.Span_SPAN_KIND_CLIENT] > 0 && kinds[tracespb.Span_SPAN_KIND_INTERNAL] > 0
	})
	delta := metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA
	until(t, patience, "counters and histograms as what they grew by, and gauges", func() bool {
		sums, histograms := c.named("runmetrics.events.applied"), c.named("runmetrics.commit.duration")
		return len(c.named("runmetrics.stream.pending")) > 0 && len(c.named("go_goroutines")) > 0 &&
			slices.ContainsFunc(sums, func(m *metricspb.Metric) bool { return m.GetSum().AggregationTemporality == delta }) &&
			slices.ContainsFunc(histograms, func(m *metricspb.Metric) bool { return m.GetHistogram().AggregationTemporality == delta })
	})
	_, resource := c.last()
	for _, of := range signals {
		if from := resource["/v1/"+string(of)]; from["service.name"] != "runmetrics" || from["service.instance.id"] == "" ||
			from["deployment.environment.name"] != "main" {
			t.Errorf("%s are of %v", of, from)
		}
	}
	commit := c.span("commit RUN_EVENTS", hex.EncodeToString(c.span("process RUN_EVENTS", traceIDOf(1)).Links[0].TraceId))
	if child := c.span("sqlite commit", hex.EncodeToString(commit.TraceId)); child == nil || !bytes.Equal(child.ParentSpanId, commit.SpanId) {
		t.Errorf("the store's part of %v is %v", commit, child)
	}
}

// buildCollector builds the module of tools/collector. That takes a minute where nothing is cached, and a network where
// nothing was ever downloaded.
func buildCollector(t *testing.T) string {
	t.Helper()
	if os.Getenv("RUNMETRICS_TEST_ALL") != "1" {
		t.Skip("it takes a minute to build a collector: RUNMETRICS_TEST_ALL=1 does")
	}
	binary := filepath.Join(t.TempDir(), "collector")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../../tools/collector", "-o", binary, ".").CombinedOutput(); err != nil {
		missing(t, "tools/collector cannot be built: "+string(said))
	}
	return binary
}

// startRealCollector starts a collector that listens at the address. It dies with the test.
func startRealCollector(t *testing.T, binary, config, address string) *program {
	t.Helper()
	p := (&system{binary: binary}).start(t, nil, "--config", config)
	until(t, patience, "the collector listens", func() bool {
		if p.over() {
			t.Fatalf("the collector ended: %s", p.stderr.String())
		}
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return p
}

// freeAddress is one that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// exchangedExporter writes deploy/collector.yaml with an exporter of OTLP to the URL where it has the one to Azure, and
// with the address to listen at. Everything else stays as it is deployed.
func exchangedExporter(t *testing.T, address, to string) string {
	t.Helper()
	var config struct {
		Receivers  yaml.Node
		Processors yaml.Node
		Exporters  map[string]any
		Service    yaml.Node
	}
	readCollectorConfig(t, &config)
	delete(config.Exporters, "azuremonitor")
	if len(config.Exporters) != 0 {
		t.Fatalf("deploy/collector.yaml also has the exporters %v", config.Exporters)
	}
	config.Exporters["otlp_http"] = map[string]any{"endpoint": to}
	text, err := yaml.Marshal(&config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer("[azuremonitor]", "[otlp_http]", "0.0.0.0:4318", address, "timeout: 2s", "timeout: 20ms")
	return writeFile(t, changed.Replace(string(text)))
}

func readCollectorConfig(t *testing.T, config any) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, config); err != nil {
		t.Fatal(err)
	}
}

// What cannot be tried of deploy/collector.yaml is what the exporter to Azure makes of its settings: they must be ones that
// it documents, and hold no connection string.
func TestTheCollectorsExporterIsConfiguredAsItDocuments(t *testing.T) {
	t.Parallel()
	var config struct {
		Exporters struct{ AzureMonitor map[string]any }
		Service   struct {
			Pipelines map[string]struct{ Exporters []string }
		}
	}
	readCollectorConfig(t, &config)
	exporter := config.Exporters.AzureMonitor
	if exporter["connection_string"] != "${env:APPLICATIONINSIGHTS_CONNECTION_STRING}" {
		t.Errorf("the connection string is %v", exporter["connection_string"])
	}
	for _, of := range signals {
		if to := config.Service.Pipelines[string(of)].Exporters; !slices.Equal(to, []string{"azuremonitor"}) {
			t.Errorf("%s go to %v", of, to)
		}
	}
	var check func(prefix string, settings map[string]any)
	check = func(prefix string, settings map[string]any) {
		for key, value := range settings {
			if !slices.Contains(azureKeys, prefix+key) {
				t.Errorf("%s is no setting of the exporter", prefix+key)
			}
			if inner, is := value.(map[string]any); is {
				check(prefix+key+".", inner)
			}
		}
	}
	check("", exporter)
}
