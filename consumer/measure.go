package consumer

import (
	"context"
	"errors"
	"math/big"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Bounds of histograms.
var (
	durationBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20} // seconds
	messagesBounds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000}
)

// instruments measure commits. Everything else that is measured of a reader is counted in its Status.
type instruments struct {
	duration metric.Float64Histogram // of each attempt
	messages metric.Int64Histogram   // of each commit

	// Made once: they are handed over for every commit.
	of                       []metric.RecordOption
	stored, conflict, failed []metric.RecordOption
}

func newInstruments(meter metric.Meter, stream, sink string) (*instruments, error) {
	if meter == nil {
		meter = noop.Meter{}
	}
	in := &instruments{}
	var errs [2]error
	in.duration, errs[0] = meter.Float64Histogram("runmetrics.commit.duration", metric.WithUnit("s"),
		metric.WithDescription("What one attempt to store a batch took: stored, in conflict with another writer, or failed."),
		metric.WithExplicitBucketBoundaries(durationBounds...))
	in.messages, errs[1] = meter.Int64Histogram("runmetrics.commit.messages",
		metric.WithDescription("Messages that one commit dealt with."), metric.WithExplicitBucketBoundaries(messagesBounds...))
	name := attribute.String("stream", stream)
	with := func(more ...attribute.KeyValue) []metric.RecordOption {
		return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(append(more, name)...))}
	}
	outcome := func(is string) []metric.RecordOption {
		return with(attribute.String("sink", sink), attribute.String("outcome", is))
	}
	in.of, in.stored, in.conflict, in.failed = with(), outcome("stored"), outcome("conflict"), outcome("failed")
	return in, errors.Join(errs[:]...)
}

// attempted measures one attempt to store a batch.
func (in *instruments) attempted(ctx context.Context, took time.Duration, err error) {
	outcome := in.stored
	var conflict *sinks.VersionConflict
	switch {
	case errors.As(err, &conflict):
		outcome = in.conflict
	case err != nil:
		outcome = in.failed
	}
	in.duration.Record(ctx, took.Seconds(), outcome...)
}

// committed measures a stored batch of so many messages.
func (in *instruments) committed(ctx context.Context, messages int) {
	in.messages.Record(ctx, int64(messages), in.of...)
}

// Sums are of the executions that a reader applied, as they came: what a void takes out of a run stays in them.
type Sums struct {
	Succeeded, Failed, Cancelled int64
	TokensIn, TokensOut          int64
	Cost                         aggregate.Money // of those whose cost is known
	NewRuns                      int64           // runs that the store did not have
}

// add counts an applied event, of which only executions add anything.
func (s *Sums) add(e *events.Event) {
	if e.Type != events.AgentFinished {
		return
	}
	switch e.Status {
	case events.Succeeded:
		s.Succeeded++
	case events.Failed:
		s.Failed++
	case events.Cancelled:
		s.Cancelled++
	}
	s.TokensIn += e.TokensIn
	s.TokensOut += e.TokensOut
	if e.Cost.Known {
		s.Cost = s.Cost.Add(e.Cost.Nanos)
	}
}

// CostUSD is the cost for a chart: rounded as floating point is. The figures to rely on are the store's.
func (s Sums) CostUSD() float64 {
	usd, _ := new(big.Float).SetInt(s.Cost.Nanos()).Float64()
	return usd / float64(events.NanosPerUSD)
}

func (s *Sums) plus(other Sums) {
	s.Succeeded += other.Succeeded
	s.Failed += other.Failed
	s.Cancelled += other.Cancelled
	s.TokensIn += other.TokensIn
	s.TokensOut += other.TokensOut
	s.Cost = s.Cost.Plus(other.Cost)
	s.NewRuns += other.NewRuns
}
