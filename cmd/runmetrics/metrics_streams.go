package main

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
)

// streamInstruments are what is shown of each stream. Each scrape reads a stream's status once for all of them, so
// that both equations hold in it exactly.
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
	{"runmetrics.stream.pending", "Messages that the stream is known to hold behind what is known to be committed.", false,
		func(s *consumer.Status) int64 { return s.Pending() }},
	{"runmetrics.stored.applied", "Events of this epoch that the store holds. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Applied }},
	{"runmetrics.stored.duplicates", "Duplicates of this epoch that the store counted. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Duplicates }},
	{"runmetrics.stored.dead_letters", "Dead letters of this epoch that the store counted. What a standby knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.DeadLetters }},
	{"runmetrics.stored.gone", "Messages of this epoch that had left the stream before they were read. What a standby " +
		"knows of it may be old.", false,
		func(s *consumer.Status) int64 { return s.Position.Gone }},

	{"runmetrics.runs.new", "Runs that the store did not have before this process committed them.", true,
		func(s *consumer.Status) int64 { return s.Sums.NewRuns }},
}

var readerStates = []consumer.State{consumer.Starting, consumer.Active, consumer.Standby, consumer.Degraded, consumer.Blocked}

// streamMetrics are what is shown of each stream besides its streamInstruments.
type streamMetrics struct {
	numbers    []metric.Int64Observable
	state      metric.Int64ObservableGauge
	reasons    metric.Int64ObservableCounter
	outage     metric.Float64ObservableGauge
	executions metric.Int64ObservableCounter
	tokens     metric.Int64ObservableCounter
	cost       metric.Float64ObservableCounter
}

func measureStreams(meter metric.Meter, streams func() []consumer.Status) error {
	m, err := newStreamMetrics(meter)
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, status := range streams() {
			m.observe(o, &status)
		}
		return nil
	}, append(observables(m.numbers), m.state, m.reasons, m.outage, m.executions, m.tokens, m.cost)...)
	return err
}

func newStreamMetrics(meter metric.Meter) (m streamMetrics, err error) {
	var errs [7]error
	m.numbers, errs[0] = register(meter, streamInstruments)
	m.state, errs[1] = meter.Int64ObservableGauge("runmetrics.reader.state",
		metric.WithDescription("1 for the state that the reader of the stream is in, 0 for the others."))
	m.reasons, errs[2] = meter.Int64ObservableCounter("runmetrics.dead_letters",
		metric.WithDescription("Dead letters of this process by reason. Their sum is runmetrics_events_dead_lettered_total, in every scrape."))
	m.outage, errs[3] = meter.Float64ObservableGauge("runmetrics.stream.outage", metric.WithUnit("s"),
		metric.WithDescription("How long the store could stay away before events are lost or refused; absent where nothing bounds it."))
	m.executions, errs[4] = meter.Int64ObservableCounter("runmetrics.executions",
		metric.WithDescription("Executions that this process committed, by how they ended. What a void takes out of a run stays in them."))
	m.tokens, errs[5] = meter.Int64ObservableCounter("runmetrics.tokens",
		metric.WithDescription("Tokens of the executions that this process committed, read and written by models."))
	m.cost, errs[6] = meter.Float64ObservableCounter("runmetrics.cost.usd",
		metric.WithDescription("Cost of the executions that this process committed, in US dollars, as far as it is known."))
	return m, errors.Join(errs[:]...)
}

// observe shows one status.
func (m *streamMetrics) observe(o metric.Observer, status *consumer.Status) {
	stream := attribute.String("stream", status.Stream)
	observe(o, streamInstruments, m.numbers, status, metric.WithAttributes(stream))
	observeState(o, m.state, readerStates, status.State, stream)
	count := func(counter metric.Int64Observable, n int64, label, value string) {
		o.ObserveInt64(counter, n, metric.WithAttributes(stream, attribute.String(label, value)))
	}
	for _, reason := range events.Reasons {
		count(m.reasons, status.ByReason[reason], "reason", string(reason))
	}
	if status.OutageHours != nil {
		o.ObserveFloat64(m.outage, *status.OutageHours*3600, metric.WithAttributes(stream))
	}
	sums := &status.Sums
	count(m.executions, sums.Succeeded, "status", string(events.Succeeded))
	count(m.executions, sums.Failed, "status", string(events.Failed))
	count(m.executions, sums.Cancelled, "status", string(events.Cancelled))
	count(m.tokens, sums.TokensIn, "direction", "in")
	count(m.tokens, sums.TokensOut, "direction", "out")
	o.ObserveFloat64(m.cost, sums.CostUSD(), metric.WithAttributes(stream))
}
