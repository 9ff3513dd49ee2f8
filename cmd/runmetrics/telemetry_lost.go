package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

// lossTime is how often the log is told, at the most, of what no collector took.
const lossTime = time.Minute

// losses says in the log what was lost of a signal: at once, and from then on once a minute. It is not a failure of the
// service, and it is told to stderr alone: a collector that is away would only lose more.
type losses struct {
	log  *slog.Logger
	mu   sync.Mutex
	lost int   // since the last line
	why  error // of the last
	told time.Time
}

// sent takes note of n that were sent, in vain where there is an error. It returns nil: nobody else has to know.
func (l *losses) sent(n int, err error) error {
	l.mu.Lock()
	if err != nil {
		l.lost += n
		l.why = err
	}
	due := time.Since(l.told) >= lossTime
	l.mu.Unlock()
	if due {
		l.tell()
	}
	return nil
}

// tell says what was lost since the last time.
func (l *losses) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == 0 {
		return
	}
	l.log.Warn("telemetry is lost; look at the collector at OTEL_EXPORTER_OTLP_ENDPOINT", "lost", l.lost, "error", short(l.why))
	l.lost, l.told = 0, time.Now()
}

// short is the beginning of an error: what a collector, or a proxy before it, answers may be a whole page.
func short(err error) string {
	text := err.Error()
	return text[:min(len(text), 500)]
}

// steadySpans sends spans to an exporter that may lose them.
type steadySpans struct {
	sdktrace.SpanExporter
	*losses
}

// ExportSpans never fails.
func (s steadySpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return s.sent(len(spans), s.SpanExporter.ExportSpans(ctx, spans))
}

// steadyMetrics sends metrics to an exporter that may lose them.
type steadyMetrics struct {
	sdkmetric.Exporter
	*losses
}

// Export never fails. Metrics are counted by name.
func (s steadyMetrics) Export(ctx context.Context, all *metricdata.ResourceMetrics) error {
	n := 0
	for _, scope := range all.ScopeMetrics {
		n += len(scope.Metrics)
	}
	return s.sent(n, s.Exporter.Export(ctx, all))
}

// steadyRecords sends log records to an exporter that may lose them.
type steadyRecords struct {
	sdklog.Exporter
	*losses
}

// Export never fails.
func (s steadyRecords) Export(ctx context.Context, records []sdklog.Record) error {
	return s.sent(len(records), s.Exporter.Export(ctx, records))
}

// hearSDK takes what OpenTelemetry's own code has to say, which it would print to stderr in a form of its own.
func (t *telemetry) hearSDK() {
	said := &sdkSays{log: t.log, seldom: &rate.Sometimes{First: 1, Interval: lossTime}}
	otel.SetLogger(logr.New(said))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if !errors.Is(err, context.Canceled) { // which is how closing ends what is under way
			said.Error(err, "collecting or sending")
		}
	}))
}

// sdkSays passes on errors and warnings of OpenTelemetry's own code, one a minute at the most.
type sdkSays struct {
	log    *slog.Logger
	seldom *rate.Sometimes
}

// sdkWarning is the verbosity of warnings; what is above it is of no interest.
const sdkWarning = 1

// Init makes sdkSays a logr.LogSink.
func (s *sdkSays) Init(logr.RuntimeInfo) {}

// Enabled tells whether something of this verbosity is passed on.
func (s *sdkSays) Enabled(verbosity int) bool { return verbosity <= sdkWarning }

// Info passes on a warning.
func (s *sdkSays) Info(_ int, msg string, details ...any) {
	s.seldom.Do(func() { s.log.Warn("OpenTelemetry warns", append(details, "warning", msg)...) })
}

// Error passes on an error.
func (s *sdkSays) Error(err error, msg string, details ...any) {
	s.seldom.Do(func() { s.log.Warn("OpenTelemetry reports an error", append(details, "while", msg, "error", err)...) })
}

// WithValues makes sdkSays a logr.LogSink.
func (s *sdkSays) WithValues(...any) logr.LogSink { return s }

// WithName makes sdkSays a logr.LogSink.
func (s *sdkSays) WithName(string) logr.LogSink { return s }
