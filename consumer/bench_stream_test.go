package consumer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// workload is a stream of executions, each by an agent of its own: so many agents in a run, runs interleaved as they are
// where that many are under way at once.
type workload struct {
	events, agents, interleaved int
}

// event is the one at place i.
func (w workload) event(i int) events.Event {
	return finished(fmt.Sprintf("run-%d", w.run(i)), i)
}

// run is the number of that event's run.
func (w workload) run(i int) int { return i/(w.agents*w.interleaved)*w.interleaved + i%w.interleaved }

// fill publishes n executions, ten agents a run, interleaved over 40 runs.
func (k *broker) fill(tb testing.TB, n int) { k.publishAll(tb, workload{n, 10, 40}) }

func (k *broker) publishAll(tb testing.TB, w workload) {
	tb.Helper()
	const part = 10_000
	for from := 0; from < w.events; from += part {
		list := make([]events.Event, 0, part)
		for i := from; i < min(from+part, w.events); i++ {
			list = append(list, w.event(i))
		}
		k.publish(tb, messagesOf(list)...)
	}
}

// bareRead reads n messages by a plain pull consumer that does nothing with them.
func (k *broker) bareRead(tb testing.TB, server *sinktest.PostgresServer, n int) sample {
	tb.Helper()
	return k.read(tb, server, n, jetstream.ConsumerConfig{Durable: "bare", AckPolicy: jetstream.AckNonePolicy})
}

// read measures how long a new consumer takes for n messages.
func (k *broker) read(tb testing.TB, server *sinktest.PostgresServer, n int, config jetstream.ConsumerConfig) sample {
	tb.Helper()
	js, err := jetstream.New(k.connect(tb))
	if err != nil {
		tb.Fatal(err)
	}
	c, err := js.CreateConsumer(tb.Context(), streamName, config)
	if err != nil {
		tb.Fatal(err)
	}
	defer js.DeleteConsumer(tb.Context(), streamName, config.Durable)
	var seen atomic.Int64
	done := make(chan struct{})
	clock := startStopwatch(tb, server)
	consume, err := c.Consume(func(jetstream.Msg) {
		if seen.Add(1) == int64(n) {
			close(done)
		}
	}, jetstream.PullMaxMessages(10_000))
	if err != nil {
		tb.Fatal(err)
	}
	defer consume.Stop()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		tb.Fatalf("%d of %d messages read after 5 minutes", seen.Load(), n)
	}
	return clock.stop(tb, n)
}

// commitAll runs the pipeline into an empty store until the n events of the stream are announced as committed.
func (k *broker) commitAll(tb testing.TB, server *sinktest.PostgresServer, store sinks.Store, n int) sample {
	tb.Helper()
	return k.commitFrom(tb, server, store, 0, n)
}

// deployments counts them. Their names are as short as a real one's: each message carries that of its consumer.
var deployments atomic.Int64

// commitFrom does so with a store that has the events before.
func (k *broker) commitFrom(tb testing.TB, server *sinktest.PostgresServer, store sinks.Store, before, n int) sample {
	tb.Helper()
	id, err := store.Identity(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	deployment := fmt.Sprint("bench-", deployments.Add(1)) // what others announce late is not of this one
	watch := k.watchCommits(tb, deployment)
	if _, err := consumer.EnsureConsumers(tb.Context(), k.js, streamName, deployment, id, consumer.DefaultPinnedTTL, false); err != nil {
		tb.Fatal(err)
	}
	defer k.js.DeleteConsumer(tb.Context(), streamName, consumer.ConsumerName(deployment))
	defer k.js.DeleteConsumer(tb.Context(), streamName, consumer.MessagesName(deployment))
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Minute)
	defer cancel()
	clock := startStopwatch(tb, server)
	r := k.startReader(tb, store, func(c *consumer.Config) { c.Deployment, c.Log = deployment, nil })
	if err := watch.Wait(ctx, streamName, uint64(before+n)); err != nil {
		tb.Fatalf("wait for %d commits: %v; %+v", n, err, r.Status())
	}
	result := clock.stop(tb, n)
	if err := r.stop(); err != nil {
		tb.Fatal(err)
	}
	if s := r.Status(); s.Applied != int64(n) {
		tb.Fatalf("%d events applied, want %d: %+v", s.Applied, n, s)
	}
	return result
}

// watchCommits hears of each commit from now on.
func (k *broker) watchCommits(tb testing.TB, deployment string) *consumer.Watch {
	tb.Helper()
	watch, err := consumer.NewWatch(k.conn, deployment)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { watch.Close() })
	if err := k.conn.Flush(); err != nil {
		tb.Fatal(err)
	}
	return watch
}
