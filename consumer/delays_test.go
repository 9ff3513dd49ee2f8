package consumer

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

func TestDelaysFallIntoTheirBuckets(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var items []*item
	var want Delays
	for i := range 10_000 {
		delay := time.Duration(random.ExpFloat64() * float64(time.Second))
		switch {
		case i < len(DelayBounds):
			delay = time.Duration(DelayBounds[i] * float64(time.Second)) // a bound belongs to the bucket below it
		case i%100 == 0:
			delay = -time.Second // the clock of the broker is ahead
		case i%101 == 0:
			delay = 100 * 24 * time.Hour
		}
		items = append(items, &item{place: place{time: now.Add(-delay)}})
		bucket := 0
		for bucket < len(DelayBounds) && delay.Seconds() > DelayBounds[bucket] {
			bucket++
		}
		want.Counts[bucket]++
		want.Seconds += max(0, delay.Seconds())
	}
	var got Delays
	for len(items) > 0 { // in batches
		n := min(1+random.IntN(500), len(items))
		var part Delays
		part.add(items[:n], now)
		got.plus(part)
		items = items[n:]
	}
	if got.Counts != want.Counts || got.Seconds < want.Seconds*.999 || got.Seconds > want.Seconds*1.001 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// BenchmarkMeasuring measures what a message costs for being measured, whoever looks at it or nobody.
func BenchmarkMeasuring(b *testing.B) {
	const messages = 10_000
	now := time.Now()
	items := make([]*item, messages)
	for i := range items {
		items[i] = &item{place: place{time: now.Add(-time.Duration(messages-i) * 10 * time.Microsecond)},
			event: events.Event{Type: events.AgentFinished, Status: events.Succeeded, TokensIn: 1000, TokensOut: 2000,
				Cost: events.Cost{Known: true, Nanos: 59_133_500}}}
	}
	var delays Delays
	var sums Sums
	for b.Loop() {
		delays.add(items, now)
		for _, it := range items {
			sums.add(&it.event)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/messages, "ns/message")
}
