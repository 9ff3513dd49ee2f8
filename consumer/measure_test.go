package consumer_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// histogram returns how many values an instrument has for the attributes, and their sum.
func histogram(t *testing.T, reader *metric.ManualReader, name string, with ...attribute.KeyValue) (count uint64, sum float64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	want := attribute.NewSet(with...)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if p.Attributes.Equals(&want) {
						return p.Count, p.Sum
					}
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					if p.Attributes.Equals(&want) {
						return p.Count, float64(p.Sum)
					}
				}
			}
		}
	}
	return 0, 0
}

func TestCommitsAreMeasured(t *testing.T) {
	b := startBroker(t)
	store := sinktest.NewFaulty(openSQLite(t), func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		if m == sinktest.Commit && n == 1 {
			return sinktest.NotStored
		}
		return sinktest.None
	})
	reader := metric.NewManualReader()
	r := b.startReader(t, store, func(c *consumer.Config) {
		c.Sink, c.Meter = "sqlite", metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")
	})
	ok, again, failed, cancelled := finished("run", 1), finished("run", 1), finished("run", 2), finished("other", 3)
	failed.Status, cancelled.Status = events.Failed, events.Cancelled
	ok.Cost, again.Cost = events.Cost{Known: true, Nanos: 1_500_000_000}, events.Cost{Known: true, Nanos: 1_500_000_000}
	failed.Cost, cancelled.Cost = events.Cost{Known: true, Nanos: 250_000_000}, events.Cost{}
	list := []events.Event{ok, again, failed, cancelled}
	waitCommitted(t, b, store, b.publish(t, append(messagesOf(list), &nats.Msg{Subject: "runs.a.b", Data: []byte("malformed")})...))
	poll(t, "the reader knows of its commit", func() bool { return r.Status().InFlight == 0 && r.Status().Position.Sequence == 5 })

	s := r.Status()
	want := consumer.Sums{Succeeded: 1, Failed: 1, Cancelled: 1, NewRuns: 2, Cost: s.Sums.Cost,
		TokensIn: ok.TokensIn + failed.TokensIn + cancelled.TokensIn, TokensOut: ok.TokensOut + failed.TokensOut + cancelled.TokensOut}
	if s.Sums != want || s.Sums.CostUSD() != 1.75 || s.Pending() != 0 {
		t.Errorf("sums %+v, %v USD, want %+v and 1.75; %d pending", s.Sums, s.Sums.CostUSD(), want, s.Pending())
	}
	stream, sink := attribute.String("stream", streamName), attribute.String("sink", "sqlite")
	var delays uint64
	for _, n := range s.Delays.Counts {
		delays += n
	}
	if delays != 5 || s.Delays.Seconds <= 0 || s.Delays.Seconds > 5*60 {
		t.Errorf("%d delays, %v s together", delays, s.Delays.Seconds)
	}
	commits, messages := histogram(t, reader, "runmetrics.commit.messages", stream)
	stored, took := histogram(t, reader, "runmetrics.commit.duration", stream, sink, attribute.String("outcome", "stored"))
	if messages != 5 || commits != stored || took <= 0 {
		t.Errorf("%d commits with %v messages, %d durations of %v s together", commits, messages, stored, took)
	}
	if n, _ := histogram(t, reader, "runmetrics.commit.duration", stream, sink, attribute.String("outcome", "failed")); n != 1 {
		t.Errorf("%d failed attempts were measured, there was one", n)
	}
}
