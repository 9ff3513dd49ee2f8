package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// instrument is one number of a status. Names are OpenTelemetry's; Prometheus gets them with underscores, and with
// _total where they only grow.
type instrument[T any] struct {
	name    string
	help    string
	counter bool // it only grows while the process lives; else it is a gauge
	value   func(*T) int64
}

// streamInstruments are what is shown of each stream. Each scrape reads a stream's status once, so that both equations
// hold in it exactly.
var streamInstruments = []instrument[consumer.Status]{
	{"runmetrics.messages.read", "Messages that this process took from the stream: applied, duplicate, dead-lettered, " +
		"discarded or in flight, and nothing else, in every scrape.", true,
		func(s *consumer.Status) int64 { return s.Read }},
	{"runmetrics.events.applied", "Events that this process committed to a run.", true,
		func(s *consumer.Status) int64 { return s.Applied }},
	{"runmetrics.events.duplicate", "Events that were applied before.", true,
		func(s *consumer.Status) int64 { return s.Duplicates }},
	{"runmetrics.events.dead_lettered", "Messages that no run could take; each is kept with its reason.", true,
		func(s *consumer.Status) int64 { return s.DeadLetters }},
	{"runmetrics.messages.discarded", "Messages that came twice or out of turn, or whose batch is read again. Nothing is " +
		"lost by it.", true,
		func(s *consumer.Status) int64 { return s.Discarded }},
	{"runmetrics.messages.in_flight", "Messages that are read and not committed yet.", false,
		func(s *consumer.Status) int64 { return s.InFlight }},
	{"runmetrics.messages.gone", "Messages that had left the stream before they were read, found by this process.", true,
		func(s *consumer.Status) int64 { return s.Gone }},

	{"runmetrics.stream.epoch", "How many timelines of the stream were read: it grows when the stream is recreated or " +
		"loses its tail.", false,
		func(s *consumer.Status) int64 { return s.Position.Epoch }},
	{"runmetrics.stream.position", "The last sequence that is committed in this epoch: the sum of the four " +
		"runmetrics_stored metrics, in every scrape. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return int64(s.Position.Sequence) }},
	{"runmetrics.stream.last_sequence", "The last sequence that the stream is known to hold; asked for every half minute.", false,
		func(s *consumer.Status) int64 { return int64(s.LastSequence) }},
	{"runmetrics.stored.applied", "Events of this epoch that the store holds. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Applied }},
	{"runmetrics.stored.duplicates", "Duplicates of this epoch that the store counted. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Duplicates }},
	{"runmetrics.stored.dead_letters", "Dead letters of this epoch that the store counted. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.DeadLetters }},
	{"runmetrics.stored.gone", "Messages of this epoch that had left the stream before they were read. What a standby " +
		"knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Gone }},
}

// copyInstruments are what is shown of the copy in Dataverse, where there is one.
var copyInstruments = []instrument[dataverse.Status]{
	{"runmetrics.dataverse.requests", "Requests with rows that this process sent to Dataverse.", true,
		func(s *dataverse.Status) int64 { return s.Requests }},
	{"runmetrics.dataverse.throttles", "Answers of Dataverse that asked for a pause.", true,
		func(s *dataverse.Status) int64 { return s.Throttles }},
	{"runmetrics.dataverse.rows.delivered", "Rows that Dataverse took from this process.", true,
		func(s *dataverse.Status) int64 { return s.Delivered }},
	{"runmetrics.dataverse.rows.today", "Rows sent to Dataverse on this UTC day by all processes.", false,
		func(s *dataverse.Status) int64 { return s.TargetsToday }},
	{"runmetrics.dataverse.runs.parked", "Runs whose row Dataverse refuses.", false,
		func(s *dataverse.Status) int64 { return s.Parked }},
}

// liveInstruments are what is shown of live clients.
var liveInstruments = []instrument[query.FeedCounts]{
	{"runmetrics.live.clients", "Clients that are sent records as they change.", false,
		func(c *query.FeedCounts) int64 { return c.Clients }},
	{"runmetrics.live.records.sent", "Records that were sent to live clients, once for each of them.", true,
		func(c *query.FeedCounts) int64 { return c.Sent }},
	{"runmetrics.live.records.skipped", "Records that live clients were not sent because more changed than they could take; " +
		"they are told.", true,
		func(c *query.FeedCounts) int64 { return c.Skipped }},
}

var (
	readerStates = []consumer.State{consumer.Starting, consumer.Active, consumer.Standby, consumer.Degraded, consumer.Blocked}
	copyStates   = []dataverse.State{dataverse.StateStandby, dataverse.StateActive, dataverse.StateThrottled,
		dataverse.StateDegraded, dataverse.StateBlocked, dataverse.StateBudget}
)

// measured is what /metrics shows. Each is asked once for each scrape and must ask nobody.
type measured struct {
	streams func() []consumer.Status
	live    func() query.FeedCounts
	copied  func() dataverse.Status // nil without a copy in Dataverse
	uses    func() []query.Use      // nil without API keys
}

// newMetrics makes the handler of /metrics.
func newMetrics(m measured) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// The exporter's defaults are announced to change: what decides names and labels is said here, and pinned by a test.
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutTargetInfo(), exporter.WithoutScopeInfo(),
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes))
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter(module)
	errs := []error{measureBuild(meter), measureStreams(meter, m.streams), measureLive(meter, m.live)}
	if m.copied != nil {
		errs = append(errs, measureCopy(meter, m.copied))
	}
	if m.uses != nil {
		errs = append(errs, measureUses(meter, m.uses))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

// measureBuild shows what runs: always 1, with the versions as labels.
func measureBuild(meter metric.Meter) error {
	built := metric.WithAttributes(attribute.String("version", version()), attribute.String("go_version", runtime.Version()))
	_, err := meter.Int64ObservableGauge("runmetrics.build_info", metric.WithDescription("What runs; always 1."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, built)
			return nil
		}))
	return err
}

func measureStreams(meter metric.Meter, streams func() []consumer.Status) error {
	numbers, err := register(meter, streamInstruments)
	if err != nil {
		return err
	}
	state, err := meter.Int64ObservableGauge("runmetrics.reader.state",
		metric.WithDescription("1 for the state that the reader of the stream is in, 0 for the others."))
	if err != nil {
		return err
	}
	reasons, err := meter.Int64ObservableCounter("runmetrics.dead_letters",
		metric.WithDescription("Dead letters of this process by reason. Their sum is runmetrics_events_dead_lettered_total, in every scrape."))
	if err != nil {
		return err
	}
	outage, err := meter.Float64ObservableGauge("runmetrics.stream.outage", metric.WithUnit("s"),
		metric.WithDescription("How long the store could stay away before events are lost or refused; absent where nothing bounds it."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, status := range streams() {
			stream := attribute.String("stream", status.Stream)
			observe(o, streamInstruments, numbers, &status, metric.WithAttributes(stream))
			observeState(o, state, readerStates, status.State, stream)
			for _, reason := range events.Reasons {
				o.ObserveInt64(reasons, status.ByReason[reason], metric.WithAttributes(stream, attribute.String("reason", string(reason))))
			}
			if status.OutageHours != nil {
				o.ObserveFloat64(outage, *status.OutageHours*3600, metric.WithAttributes(stream))
			}
		}
		return nil
	}, append(observables(numbers), state, reasons, outage)...)
	return err
}

func measureLive(meter metric.Meter, live func() query.FeedCounts) error {
	numbers, err := register(meter, liveInstruments)
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		counts := live()
		observe(o, liveInstruments, numbers, &counts)
		return nil
	}, observables(numbers)...)
	return err
}

func measureCopy(meter metric.Meter, copied func() dataverse.Status) error {
	numbers, err := register(meter, copyInstruments)
	if err != nil {
		return err
	}
	state, err := meter.Int64ObservableGauge("runmetrics.dataverse.state",
		metric.WithDescription("1 for the state that the copy in Dataverse is in, 0 for the others."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		status := copied()
		observe(o, copyInstruments, numbers, &status)
		observeState(o, state, copyStates, status.State)
		return nil
	}, append(observables(numbers), state)...)
	return err
}

// measureUses shows who uses the API. There are as many series as keys and statuses.
func measureUses(meter metric.Meter, uses func() []query.Use) error {
	_, err := meter.Int64ObservableCounter("runmetrics.api.requests",
		metric.WithDescription("Requests by the API key that they showed and the status of their answer; without key: no valid one."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for _, use := range uses() {
				o.Observe(use.Requests, metric.WithAttributes(attribute.String("key", use.KeyID), attribute.Int("status", use.Status)))
			}
			return nil
		}))
	return err
}

// register makes the instruments of a list, in its order.
func register[T any](meter metric.Meter, list []instrument[T]) ([]metric.Int64Observable, error) {
	made := make([]metric.Int64Observable, len(list))
	for i, in := range list {
		var err error
		if in.counter {
			made[i], err = meter.Int64ObservableCounter(in.name, metric.WithDescription(in.help))
		} else {
			made[i], err = meter.Int64ObservableGauge(in.name, metric.WithDescription(in.help))
		}
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

func observables(numbers []metric.Int64Observable) []metric.Observable {
	list := make([]metric.Observable, len(numbers))
	for i, n := range numbers {
		list[i] = n
	}
	return list
}

// observe shows all numbers of one status.
func observe[T any](o metric.Observer, list []instrument[T], made []metric.Int64Observable, status *T, of ...metric.ObserveOption) {
	for i, in := range list {
		o.ObserveInt64(made[i], in.value(status), of...)
	}
}

func observeState[S ~string](o metric.Observer, gauge metric.Int64Observable, states []S, is S, of ...attribute.KeyValue) {
	for _, state := range states {
		var in int64
		if state == is {
			in = 1
		}
		o.ObserveInt64(gauge, in, metric.WithAttributes(append(of[:len(of):len(of)], attribute.String("state", string(state)))...))
	}
}
