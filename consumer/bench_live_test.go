package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// syncedCommits measures events that are published and committed at the same time, through a broker that syncs each of
// them before it acknowledges it.
func syncedCommits(tb testing.TB, postgres *sinktest.PostgresServer, w workload) sample {
	tb.Helper()
	k := startBroker(tb, func(o *server.Options) { o.SyncAlways = true })
	watch := k.watchCommits(tb, "main")
	k.startReader(tb, openPostgres(tb, postgres), func(c *consumer.Config) { c.Log = nil })
	clock := startStopwatch(tb, postgres)
	k.publishAll(tb, w)
	if err := watch.Wait(tb.Context(), streamName, uint64(w.events)); err != nil {
		tb.Fatal(err)
	}
	return clock.stop(tb, w.events)
}

const (
	delayRate    = 1000 // events/s
	delaySeconds = 3    // of which the first one warms up
)

// delays publishes events at delayRate and measures the time from before each publish to the announcement of the commit
// that holds it.
func delays(tb testing.TB, postgres *sinktest.PostgresServer, store sinks.Store) sample {
	tb.Helper()
	const total = delayRate * delaySeconds
	k := startBroker(tb)
	watch := k.watchCommits(tb, "main")
	k.startReader(tb, store, func(c *consumer.Config) { c.Log = nil })
	list := make([]events.Event, total)
	for i := range list {
		list[i] = workload{total, 10, 40}.event(i)
	}
	published := make(chan time.Time, total) // when each event was, in the order of their sequences
	measured := make(chan []time.Duration, 1)
	go func() {
		var waits []time.Duration
		for sent := range published {
			if watch.Wait(tb.Context(), streamName, uint64(len(waits)+1)) != nil {
				break
			}
			waits = append(waits, time.Since(sent))
		}
		measured <- waits
	}()
	clock := startStopwatch(tb, postgres)
	k.publishEvenly(tb, list, published)
	waits := <-measured
	if len(waits) != total {
		tb.Fatalf("%d of %d events were committed", len(waits), total)
	}
	result := clock.stop(tb, total)
	waits = slices.Sorted(slices.Values(waits[delayRate:]))
	result.p50, result.p99 = waits[(len(waits)+1)/2-1], waits[(99*len(waits)+99)/100-1]
	return result
}

// publishEvenly publishes at delayRate and tells when each event was. After a pause in which it had no processor it makes
// up for what it missed.
func (k *broker) publishEvenly(tb testing.TB, list []events.Event, published chan<- time.Time) {
	tb.Helper()
	defer close(published)
	tick := time.NewTicker(time.Second / delayRate)
	defer tick.Stop()
	began := time.Now()
	for i := 0; i < len(list); {
		<-tick.C
		for due := int(time.Since(began) * delayRate / time.Second); i < min(due, len(list)); i++ {
			sent := time.Now()
			if _, err := k.js.PublishMsgAsync(messageOf(&list[i])); err != nil {
				tb.Fatal(err)
			}
			published <- sent
		}
	}
}
