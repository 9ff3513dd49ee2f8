package consumer_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// benchEvents is how many events the throughput is measured with; RUNMETRICS_BENCH_EVENTS overrides it.
func benchEvents(b *testing.B) int {
	if s := os.Getenv("RUNMETRICS_BENCH_EVENTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatalf("RUNMETRICS_BENCH_EVENTS: %v", err)
		}
		return n
	}
	return 1_000_000
}

// BenchmarkPipeline measures, in one run on one machine: how fast a bare consumer reads the stream, how fast the whole
// pipeline commits the same stream to Postgres and to SQLite, and the delay from publish to committed at 1,000
// events/s. Everything shares the machine: broker, database and pipeline. Run it by `make bench`.
func BenchmarkPipeline(b *testing.B) {
	broker := startBroker(b)
	n := benchEvents(b)
	broker.fill(b, n)
	bare := b.Run("BareRead", func(b *testing.B) {
		for b.Loop() {
			reportRate(b, n, broker.bareRead(b, n), "msg/s")
		}
	})
	b.Run("Postgres", func(b *testing.B) {
		server := sinktest.StartPostgres(b)
		for b.Loop() {
			store := openPostgres(b, server)
			reportRate(b, n, broker.commitAll(b, store, uint64(n)), "events/s")
		}
	})
	b.Run("SQLite", func(b *testing.B) {
		for b.Loop() {
			reportRate(b, n, broker.commitAll(b, openSQLite(b), uint64(n)), "events/s")
		}
	})
	b.Run("DelayPostgres", func(b *testing.B) {
		server := sinktest.StartPostgres(b)
		for b.Loop() {
			quiet := startBroker(b)
			reportDelays(b, quiet.delays(b, openPostgres(b, server)))
		}
	})
	if !bare {
		b.Fatal("the bare read failed: there is nothing to compare with")
	}
	report(b, n)
}

// rates holds what the sub-benchmarks measured, in messages a second, for the ratio.
var rates = map[string][]float64{}

func reportRate(b *testing.B, n int, took time.Duration, unit string) {
	rate := float64(n) / took.Seconds()
	rates[b.Name()] = append(rates[b.Name()], rate)
	b.ReportMetric(rate, unit)
	b.ReportMetric(0, "ns/op")
}

func report(b *testing.B, n int) {
	bare := median(rates["BenchmarkPipeline/BareRead"])
	postgres, sqlite := median(rates["BenchmarkPipeline/Postgres"]), median(rates["BenchmarkPipeline/SQLite"])
	fmt.Printf("\n%d events, 10 agents a run, interleaved over 40 runs\n", n)
	fmt.Printf("bare read          %10.0f messages/s\n", bare)
	fmt.Printf("to Postgres        %10.0f events/s committed, ratio %.2f\n", postgres, postgres/bare)
	fmt.Printf("to SQLite          %10.0f events/s committed, ratio %.2f\n", sqlite, sqlite/bare)
	fmt.Printf("delay to Postgres  p50 %.1f ms, p99 %.1f ms at 1,000 events/s\n\n",
		median(rates["p50"]), median(rates["p99"]))
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

func openPostgres(tb testing.TB, server *sinktest.PostgresServer) sinks.Store {
	tb.Helper()
	dsn := server.CreateDatabase(tb)
	if err := postgres.Migrate(tb.Context(), dsn); err != nil {
		tb.Fatal(err)
	}
	store, err := postgres.Open(tb.Context(), postgres.Config{URL: dsn})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}

// fill publishes n executions.
func (k *broker) fill(b *testing.B, n int) {
	b.Helper()
	const part = 10_000
	for from := 0; from < n; from += part {
		list := make([]events.Event, 0, part)
		for i := from; i < min(from+part, n); i++ {
			list = append(list, finished(fmt.Sprintf("run-%d", i/400*40+i%40), i))
		}
		k.publish(b, messagesOf(list)...)
	}
}

// bareRead reads the stream by a plain pull consumer that does nothing with it.
func (k *broker) bareRead(b *testing.B, n int) time.Duration {
	b.Helper()
	conn := k.connect(b)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	c, err := js.CreateConsumer(b.Context(), streamName, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		b.Fatal(err)
	}
	var seen atomic.Int64
	done := make(chan struct{})
	began := time.Now()
	consume, err := c.Consume(func(jetstream.Msg) {
		if seen.Add(1) == int64(n) {
			close(done)
		}
	}, jetstream.PullMaxMessages(10_000))
	if err != nil {
		b.Fatal(err)
	}
	defer consume.Stop()
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		b.Fatalf("bare read: %d of %d messages after 5 minutes", seen.Load(), n)
	}
	return time.Since(began)
}

// commitAll runs the pipeline over the whole stream into an empty store.
func (k *broker) commitAll(b *testing.B, store sinks.Store, last uint64) time.Duration {
	b.Helper()
	watch, err := consumer.NewWatch(k.conn, "bench-"+b.Name()[18:])
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	if err := k.conn.Flush(); err != nil {
		b.Fatal(err)
	}
	id, err := store.Identity(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	deployment := "bench-" + b.Name()[18:]
	if _, err := consumer.EnsureConsumer(b.Context(), k.js, streamName, deployment, id, consumer.DefaultPinnedTTL, true); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	r := k.startReader(b, store, func(c *consumer.Config) { c.Deployment, c.Log = deployment, nil })
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	if err := watch.Wait(ctx, streamName, last); err != nil {
		b.Fatalf("wait for %d commits: %v; %+v", last, err, r.Status())
	}
	took := time.Since(began)
	if err := r.stop(); err != nil {
		b.Fatal(err)
	}
	if s := r.Status(); s.Applied != int64(last) {
		b.Fatalf("%d events applied, want %d: %+v", s.Applied, last, s)
	}
	return took
}

// delays publishes 1,000 events a second for ten seconds and measures the time from before each publish to the
// announcement of the commit that holds it.
func (k *broker) delays(b *testing.B, store sinks.Store) []time.Duration {
	b.Helper()
	const rate, total = 1000, 10_000
	watch, err := consumer.NewWatch(k.conn, "main")
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	k.startReader(b, store, func(c *consumer.Config) { c.Log = nil })
	sent := make([]time.Time, total+1)
	result := make(chan []time.Duration, 1)
	ready := make(chan uint64, total)
	go func() {
		var list []time.Duration
		for sequence := range ready {
			if watch.Wait(b.Context(), streamName, sequence) != nil {
				break
			}
			list = append(list, time.Since(sent[sequence]))
		}
		result <- list
	}()
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := 1; i <= total; i++ {
		<-tick.C
		e := finished(fmt.Sprintf("run-%d", i/400*40+i%40), i)
		sent[i] = time.Now()
		if _, err := k.js.PublishMsgAsync(messageOf(&e)); err != nil {
			b.Fatal(err)
		}
		ready <- uint64(i)
	}
	close(ready)
	list := <-result
	if len(list) != total {
		b.Fatalf("%d of %d events were committed", len(list), total)
	}
	return list[rate:] // the first second warms up
}

func reportDelays(b *testing.B, list []time.Duration) {
	slices.Sort(list)
	for _, p := range []int{50, 99} {
		ms := float64(list[(p*len(list)+99)/100-1]) / float64(time.Millisecond)
		name := fmt.Sprintf("p%d", p)
		rates[name] = append(rates[name], ms)
		b.ReportMetric(ms, name+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}
