package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// otelPrefix begins the variables that OpenTelemetry defines.
const otelPrefix = "OTEL_"

// tracesURL is where spans are sent. It is empty unless a collector is named: there is no default address.
func (c *Config) tracesURL() string {
	switch {
	case c.OTelDisabled || c.OTelTraces == "none":
		return ""
	case c.OTLPTracesEndpoint != "":
		return c.OTLPTracesEndpoint
	case c.OTLPEndpoint != "":
		return strings.TrimSuffix(c.OTLPEndpoint, "/") + "/v1/traces"
	}
	return ""
}

func checkTracing(cfg *Config, f *faults) {
	for variable, address := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": cfg.OTLPEndpoint,
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": cfg.OTLPTracesEndpoint} {
		u, err := url.Parse(address)
		switch {
		case address == "":
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			f.add(variable, "is not the http:// or https:// URL of a collector, such as http://127.0.0.1:4318")
		case u.User != nil:
			f.add(variable, "must not hold a password; OTEL_EXPORTER_OTLP_HEADERS is for what the collector wants to see")
		}
	}
	for variable, protocol := range map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": cfg.OTLPProtocol,
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": cfg.OTLPTracesProtocol} {
		if protocol != "" && protocol != "http/protobuf" && protocol != "http/json" {
			f.add(variable, fmt.Sprintf("%q is not http/protobuf or http/json; collectors take these at port 4318, as a rule", protocol))
		}
	}
	if cfg.OTelTraces != "otlp" && cfg.OTelTraces != "none" {
		f.add("OTEL_TRACES_EXPORTER", fmt.Sprintf("%q is not otlp or none", cfg.OTelTraces))
	}
}

// tracing makes spans and sends them to a collector. Nothing waits for the collector: while it is away spans are dropped.
type tracing struct {
	provider *sdktrace.TracerProvider
}

// openTracing is nil where no collector is named.
func openTracing(ctx context.Context, cfg *Config, log *slog.Logger) (*tracing, error) {
	to := cfg.tracesURL()
	if to == "" {
		return nil, nil
	}
	// The exporter and the SDK read headers, time limits, sampler and the like by themselves, and from the process alone.
	for name, value := range cfg.otel {
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to))
	if err != nil {
		return nil, fmt.Errorf("export spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "runmetrics"),
		attribute.String("service.version", version()),
		attribute.String("service.instance.id", uuid.NewString()),
	), resource.WithFromEnv()) // which goes before what stands above it
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &tracing{sdktrace.NewTracerProvider(sdktrace.WithResource(about),
		sdktrace.WithBatcher(&steadyExporter{SpanExporter: exporter, log: log}))}, nil
}

func (s *service) openTracing(ctx context.Context) error {
	var err error
	s.tracing, err = openTracing(ctx, s.cfg, s.log)
	return err
}

// tracer is nil where no spans are made.
func (t *tracing) tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer(module)
}

// close sends the last spans, for as long as closing waits.
func (t *tracing) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// lostSpansTime is how often the log is told of spans that no collector took.
const lostSpansTime = time.Minute

// steadyExporter says in the log what became of spans that could not be sent.
type steadyExporter struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	lost atomic.Int64 // since the last line
	told atomic.Int64 // when that was, Unix nanoseconds
}

// ExportSpans sends the spans; those that cannot be sent are lost, which is nobody's failure but the collector's.
func (e *steadyExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	e.lost.Add(int64(len(spans)))
	now := time.Now().UnixNano()
	if last := e.told.Load(); now-last >= int64(lostSpansTime) && e.told.CompareAndSwap(last, now) {
		e.log.Warn("spans are lost; look at the collector at OTEL_EXPORTER_OTLP_ENDPOINT", "spans", e.lost.Swap(0), "error", err)
	}
	return nil
}
