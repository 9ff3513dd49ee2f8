package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
)

// inSpan is a context of a span.
func inSpan(t *testing.T) (context.Context, trace.SpanContext) {
	t.Helper()
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled})
	return trace.ContextWithSpanContext(t.Context(), span), span
}

func TestLogLinesNameTheSpanThatTheyAreIn(t *testing.T) {
	t.Parallel()
	ctx, span := inSpan(t)
	for _, format := range []string{"json", "text"} {
		var said syncBuffer
		log := newLog(&said, &Config{LogFormat: format}).With("part", "copier")
		log.InfoContext(ctx, "within", "rows", 3)
		log.Info("outside")
		within, outside, _ := strings.Cut(said.String(), "\n")
		for _, id := range []string{span.TraceID().String(), span.SpanID().String()} {
			if !strings.Contains(within, id) {
				t.Errorf("%s: %s is missing in %s", format, id, within)
			}
		}
		if !strings.Contains(within, "copier") || !strings.Contains(within, "rows") || strings.Contains(outside, "trace_id") {
			t.Errorf("%s: %s", format, said.String())
		}
		var line struct {
			Trace string `json:"trace_id"`
			Span  string `json:"span_id"`
		}
		if format == "json" && (json.Unmarshal([]byte(within), &line) != nil || line.Trace != span.TraceID().String() ||
			line.Span != span.SpanID().String()) {
			t.Errorf("the ids are not where they are looked for: %s", within)
		}
	}
}

// sending opens telemetry whose log records the collector gets when it is closed.
func sending(t *testing.T, c *otlpCollector, level slog.Level) (*telemetry, *syncBuffer) {
	t.Helper()
	said := new(syncBuffer)
	cfg := &Config{OTLPLogsEndpoint: c.url + "/v1/logs", LogLevel: level}
	told, err := openTelemetry(t.Context(), cfg, newLog(said, cfg))
	if err != nil {
		t.Fatal(err)
	}
	return told, said
}

func TestTheCollectorGetsTheRecordsThatStderrGets(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	told, said := sending(t, c, slog.LevelWarn)
	ctx, span := inSpan(t)
	log := told.logger().With("part", "copier")
	log.InfoContext(ctx, "below the level")
	log.ErrorContext(ctx, "failed", "rows", 3, "error", errors.New("no route"))
	told.close()
	if c.record("below the level") != nil || strings.Contains(said.String(), "below the level") {
		t.Error("LOG_LEVEL does not hold")
	}
	record := c.record("failed")
	if record == nil {
		t.Fatalf("nothing came; the log says %s", said.String())
	}
	got := attributesOf(record.Attributes)
	traceID, spanID := span.TraceID(), span.SpanID()
	if got["part"] != "copier" || got["exception.message"] != "no route" || record.SeverityNumber != logspb.SeverityNumber_SEVERITY_NUMBER_ERROR ||
		record.SeverityText != "ERROR" || string(record.TraceId) != string(traceID[:]) || string(record.SpanId) != string(spanID[:]) {
		t.Errorf("came as %v", record)
	}
	if !strings.Contains(said.String(), "no route") {
		t.Errorf("stderr has %s", said.String())
	}
}

// A record with a secret, and one with bytes that are no text, which came from outside: neither may hurt.
func TestTheCollectorGetsNoSecretAndWhateverElseIsLogged(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	told, said := sending(t, c, slog.LevelInfo)
	url := NewSecret("postgres://runmetrics:hunter2@db/metrics")
	cfg := Config{DatabaseURL: url}
	log := told.logger()
	log.Info("secrets", "url", url, "pointer", &url, "list", []Secret{url}, "config", cfg, "of", &cfg, "map", map[string]any{"url": url},
		slog.Group("group", "url", url))
	log.Info("no text \xff", "name", "\xff\xfe", "list", []string{"\xff"}, "bytes", []byte{0xff}, slog.Group("inner", "name", "\xff"))
	log.Info("afterwards")
	told.close()
	if c.record("secrets") == nil || c.record("afterwards") == nil {
		t.Fatalf("records are missing; the log says %s", said.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, record := range c.records {
		if strings.Contains(record.String(), "hunter2") {
			t.Errorf("a secret was sent: %v", record)
		}
	}
	if strings.Contains(said.String(), "hunter2") {
		t.Errorf("a secret is in the log: %s", said.String())
	}
	if len(c.records) != 3 {
		t.Errorf("%d records came", len(c.records))
	}
}
