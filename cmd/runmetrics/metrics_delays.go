package main

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/apexsalesai/runmetrics/consumer"
)

// delays shows the delay of each stream's messages, which readers count themselves. It is an sdkmetric.Producer: the SDK has
// no histogram that is observed as counters are. What it says is cumulative, whatever temporality a collector prefers.
type delays struct {
	began   time.Time
	streams atomic.Pointer[func() []consumer.Status] // nil before there are readers
}

func newDelays() *delays { return &delays{began: time.Now()} }

// of says whose delays are shown.
func (d *delays) of(streams func() []consumer.Status) { d.streams.Store(&streams) }

// Produce is called for each scrape and each report to a collector.
func (d *delays) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	streams := d.streams.Load()
	if streams == nil {
		return nil, nil
	}
	histogram := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
	now := time.Now()
	for _, status := range (*streams)() {
		point := metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("stream", status.Stream)), StartTime: d.began, Time: now,
			Bounds: consumer.DelayBounds[:], BucketCounts: status.Delays.Counts[:], Sum: status.Delays.Seconds,
		}
		for _, n := range point.BucketCounts {
			point.Count += n
		}
		histogram.DataPoints = append(histogram.DataPoints, point)
	}
	return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: module}, Metrics: []metricdata.Metrics{{
		Name: "runmetrics.commit.delay", Unit: "s", Data: histogram,
		Description: "From when the stream stored a message until it was committed, by the clocks of broker and reader; one value for each message.",
	}}}}, nil
}
