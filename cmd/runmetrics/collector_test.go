package main

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	logservice "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricservice "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traceservice "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracespb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlpCollector takes metrics, spans and log records by OTLP/HTTP, as an OpenTelemetry collector does.
type otlpCollector struct {
	url string

	mu       sync.Mutex
	down     bool
	headers  http.Header                  // of the last request
	resource map[string]map[string]string // of the last request with a signal
	spans    []*tracespb.Span
	metrics  []*metricspb.Metric // as they came
	records  []*logspb.LogRecord
}

func startCollector(t *testing.T) *otlpCollector {
	t.Helper()
	c := &otlpCollector{resource: map[string]map[string]string{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *otlpCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readOTLP(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.down:
		http.Error(w, "down", http.StatusNotFound) // which is not tried again
		return
	case err != nil || !c.take(r.URL.Path, body):
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	c.headers = r.Header.Clone()
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func readOTLP(r *http.Request) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(r.Body)
	}
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// take keeps what a request says, and tells whether it can be read.
func (c *otlpCollector) take(path string, body []byte) bool {
	switch path {
	case "/v1/traces":
		var request traceservice.ExportTraceServiceRequest
		if proto.Unmarshal(body, &request) != nil {
			return false
		}
		for _, from := range request.ResourceSpans {
			c.resource[path] = attributesOf(from.Resource.Attributes)
			for _, scope := range from.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	case "/v1/metrics":
		var request metricservice.ExportMetricsServiceRequest
		if proto.Unmarshal(body, &request) != nil {
			return false
		}
		for _, from := range request.ResourceMetrics {
			c.resource[path] = attributesOf(from.Resource.Attributes)
			for _, scope := range from.ScopeMetrics {
				c.metrics = append(c.metrics, scope.Metrics...)
			}
		}
	case "/v1/logs":
		var request logservice.ExportLogsServiceRequest
		if proto.Unmarshal(body, &request) != nil {
			return false
		}
		for _, from := range request.ResourceLogs {
			c.resource[path] = attributesOf(from.Resource.Attributes)
			for _, scope := range from.ScopeLogs {
				c.records = append(c.records, scope.LogRecords...)
			}
		}
	default:
		return false
	}
	return true
}

// span returns the span of that name in that trace.
func (c *otlpCollector) span(name, traceID string) *tracespb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name == name && hex.EncodeToString(span.TraceId) == traceID {
			return span
		}
	}
	return nil
}

// kinds are the kinds of all spans.
func (c *otlpCollector) kinds() map[tracespb.Span_SpanKind]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := map[tracespb.Span_SpanKind]int{}
	for _, span := range c.spans {
		kinds[span.Kind]++
	}
	return kinds
}

// named returns what came of a metric, the oldest first.
func (c *otlpCollector) named(name string) []*metricspb.Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.metrics), func(m *metricspb.Metric) bool { return m.Name != name })
}

// record returns the last log record with that message.
func (c *otlpCollector) record(message string) *logspb.LogRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, record := range slices.Backward(c.records) {
		if record.Body.GetStringValue() == message {
			return record
		}
	}
	return nil
}

// last is what the last request said, and who sent each signal.
func (c *otlpCollector) last() (header http.Header, resource map[string]map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.headers, c.resource
}

func (c *otlpCollector) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

// attributesOf are attributes as text; those that are none are empty.
func attributesOf(list []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		all[a.Key] = a.Value.GetStringValue()
	}
	return all
}
