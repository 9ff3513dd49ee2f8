package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// telemetry is what a service tells of itself: metrics, spans and log records. Metrics are always there for /metrics; where
// a collector is named, it gets all three by OTLP/HTTP, metrics from the same instruments. Nothing waits for the
// collector: what it does not take is lost, and said in the log.
type telemetry struct {
	log    *slog.Logger // stderr alone: what goes wrong with sending is not sent
	scrape http.Handler // answers /metrics

	metrics *sdkmetric.MeterProvider
	delays  *delays
	traces  *sdktrace.TracerProvider // nil where nobody is sent spans
	records *sdklog.LoggerProvider   // nil where nobody is sent log records
	lost    []*losses
}

// openTelemetry prepares what is to be shown and sent. Log is the logger of the process; what it is given is not sent.
func openTelemetry(ctx context.Context, cfg *Config, log *slog.Logger) (*telemetry, error) {
	t := &telemetry{log: log, delays: newDelays()}
	if cfg.sendsTelemetry() {
		t.hearSDK()
		// The exporters and the SDK read headers, time limits, sampler and the like by themselves, and from the process alone.
		for name, value := range cfg.otel {
			if err := os.Setenv(name, value); err != nil {
				return nil, fmt.Errorf("set %s: %w", name, err)
			}
		}
	}
	about, err := aboutService(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, open := range []func(context.Context, *Config, *resource.Resource) error{t.openMetrics, t.openTraces, t.openRecords} {
		if err := open(ctx, cfg, about); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// aboutService is who is telling. DEPLOYMENT tells production from a copy of it, which is what OpenTelemetry calls the
// environment of a deployment.
func aboutService(ctx context.Context, cfg *Config) (*resource.Resource, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "runmetrics"),
		attribute.String("service.version", version()),
		attribute.String("service.instance.id", uuid.NewString()),
		attribute.String("deployment.environment.name", cfg.Deployment),
	), resource.WithFromEnv()) // which goes before what stands above it
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

// openMetrics makes the instruments' provider with its readers. Prometheus and the collector each get the metrics of Go and
// of the process from the library of Prometheus, whose names everybody knows.
func (t *telemetry) openMetrics(ctx context.Context, cfg *Config, about *resource.Resource) error {
	own, process := prometheus.NewRegistry(), prometheus.NewRegistry()
	process.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// The exporter's defaults are announced to change: what decides names and labels is said here, and pinned by a test.
	scraped, err := exporter.New(exporter.WithRegisterer(own), exporter.WithoutTargetInfo(), exporter.WithoutScopeInfo(),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes), exporter.WithProducer(t.delays))
	if err != nil {
		return fmt.Errorf("export metrics: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(scraped)}
	if to := cfg.otlpURL(signalMetrics); to != "" {
		client, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(to))
		if err != nil {
			return fmt.Errorf("export metrics: %w", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(steadyMetrics{client, t.loss(signalMetrics)},
			sdkmetric.WithProducer(t.delays), sdkmetric.WithProducer(bridge.NewMetricProducer(bridge.WithGatherer(process))))))
	}
	t.metrics = sdkmetric.NewMeterProvider(options...)
	t.scrape = promhttp.HandlerFor(prometheus.Gatherers{own, process}, promhttp.HandlerOpts{})
	return nil
}

func (t *telemetry) openTraces(ctx context.Context, cfg *Config, about *resource.Resource) error {
	to := cfg.otlpURL(signalTraces)
	if to == "" {
		return nil
	}
	client, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to))
	if err != nil {
		return fmt.Errorf("export spans: %w", err)
	}
	t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(about),
		sdktrace.WithBatcher(steadySpans{client, t.loss(signalTraces)}))
	return nil
}

func (t *telemetry) openRecords(ctx context.Context, cfg *Config, about *resource.Resource) error {
	to := cfg.otlpURL(signalLogs)
	if to == "" {
		return nil
	}
	client, err := otlploghttp.New(ctx, otlploghttp.WithEndpointURL(to))
	if err != nil {
		return fmt.Errorf("export log records: %w", err)
	}
	batches := sdklog.NewBatchProcessor(steadyRecords{client, t.loss(signalLogs)})
	t.records = sdklog.NewLoggerProvider(sdklog.WithResource(about),
		sdklog.WithProcessor(sentRecords{batches, severityOf(cfg.LogLevel)}))
	return nil
}

// loss begins to count what is lost of a signal.
func (t *telemetry) loss(of otlpSignal) *losses {
	l := &losses{log: t.log.With("signal", string(of))}
	t.lost = append(t.lost, l)
	return l
}

// show has the numbers shown from now on.
func (t *telemetry) show(m measured) error {
	t.delays.of(m.streams)
	return m.measure(t.meter())
}

// meter makes instruments.
func (t *telemetry) meter() metric.Meter { return t.metrics.Meter(module) }

// tracer is nil where no spans are made.
func (t *telemetry) tracer() trace.Tracer {
	if t.traces == nil {
		return nil
	}
	return t.traces.Tracer(module)
}

// logger is the logger of the service: that of the process, whose records the collector gets, too.
func (t *telemetry) logger() *slog.Logger {
	if t.records == nil {
		return t.log
	}
	return slog.New(slog.NewMultiHandler(t.log.Handler(), otelslog.NewHandler(module, otelslog.WithLoggerProvider(t.records))))
}

// close sends the last of everything, for as long as closing waits; a collector that is away or hangs holds up nothing.
func (t *telemetry) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	var last sync.WaitGroup
	end := func(of otlpSignal, shutdown func(context.Context) error) {
		last.Go(func() {
			if err := shutdown(ctx); err != nil {
				t.log.Warn("the last telemetry was not sent", "signal", string(of), "error", err)
			}
		})
	}
	if t.metrics != nil {
		end(signalMetrics, t.endMetrics)
	}
	if t.traces != nil {
		end(signalTraces, t.traces.Shutdown)
	}
	if t.records != nil {
		end(signalLogs, t.records.Shutdown)
	}
	last.Wait()
	for _, l := range t.lost {
		l.tell()
	}
}

// endMetrics waits for a sending under way, which Shutdown would break off.
func (t *telemetry) endMetrics(ctx context.Context) error {
	flushed := t.metrics.ForceFlush(ctx)
	return cmp.Or(flushed, t.metrics.Shutdown(ctx))
}

func (s *service) openTelemetry(ctx context.Context) error {
	var err error
	if s.telemetry, err = openTelemetry(ctx, s.cfg, s.log); err != nil {
		return err
	}
	s.log = s.telemetry.logger()
	return nil
}
