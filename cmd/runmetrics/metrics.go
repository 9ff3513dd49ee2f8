package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/apexsalesai/runmetrics/consumer"
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

var copyStates = []dataverse.State{dataverse.StateStandby, dataverse.StateActive, dataverse.StateThrottled,
	dataverse.StateDegraded, dataverse.StateBlocked, dataverse.StateBudget}

// natsCounts is what is shown of the connection to NATS.
type natsCounts struct {
	connected  bool
	reconnects int64
}

// measured is what /metrics shows. Each is asked once for each scrape and must ask nobody.
type measured struct {
	deployment string

	nats    func() natsCounts
	streams func() []consumer.Status
	live    func() query.FeedCounts
	copied  func() dataverse.Status // nil without a copy in Dataverse
	uses    func() []query.Use      // nil without API keys
	checks  func() []consumer.Checked
}

// measure registers what /metrics shows.
func (m measured) measure(meter metric.Meter) error {
	errs := []error{m.measureBuild(meter), m.measureNATS(meter), measureStreams(meter, m.streams), measureLive(meter, m.live),
		measureChecks(meter, m.checks)}
	if m.copied != nil {
		errs = append(errs, measureCopy(meter, m.copied))
	}
	if m.uses != nil {
		errs = append(errs, measureUses(meter, m.uses))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// measureBuild shows what runs: always 1, with the versions as labels.
func (m measured) measureBuild(meter metric.Meter) error {
	of := buildInfo()
	built := metric.WithAttributes(attribute.String("version", of.Version), attribute.String("revision", of.Revision),
		attribute.String("go_version", of.GoVersion), attribute.String("deployment", m.deployment))
	_, err := meter.Int64ObservableGauge("runmetrics.build_info", metric.WithDescription("What runs; always 1."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(1, built)
			return nil
		}))
	return err
}

// measureNATS shows the connection.
func (m measured) measureNATS(meter metric.Meter) error {
	connected, err := meter.Int64ObservableGauge("runmetrics.nats.connected", metric.WithDescription("1 while NATS is connected, else 0."))
	if err != nil {
		return err
	}
	reconnects, err := meter.Int64ObservableCounter("runmetrics.nats.reconnects",
		metric.WithDescription("How often the connection to NATS came back after it was lost."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := m.nats()
		var up int64
		if now.connected {
			up = 1
		}
		o.ObserveInt64(connected, up)
		o.ObserveInt64(reconnects, now.reconnects)
		return nil
	}, connected, reconnects)
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
	behind, err := meter.Float64ObservableGauge("runmetrics.dataverse.behind", metric.WithUnit("s"),
		metric.WithDescription("For how long something has been due that Dataverse has not got, as far as this process knows; 0 where nothing is, "+
			"or another replica keeps the copy."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		status := copied()
		observe(o, copyInstruments, numbers, &status)
		observeState(o, state, copyStates, status.State)
		var seconds float64
		if !status.BehindSince.IsZero() {
			seconds = max(0, time.Since(status.BehindSince).Seconds())
		}
		o.ObserveFloat64(behind, seconds)
		return nil
	}, append(observables(numbers), state, behind)...)
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
