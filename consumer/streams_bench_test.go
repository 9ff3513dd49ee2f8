package consumer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkStreams measures, in one run on one machine, how fast the same events are committed to one Postgres where one,
// two or four streams share them, each with a reader of its own, all in one process. Readers, broker and database share
// the machine's cores, so this says what more streams cost where there is nothing to gain. Run it by `make bench-more`.
func BenchmarkStreams(b *testing.B) {
	n := benchEvents(b)
	counts := []int{1, 2, 4}
	server := sinktest.StartPostgres(b)
	for _, count := range counts {
		k := startBroker(b)
		streams := k.split(b, count)
		k.fill(b, n)
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				reportRate(b, n, k.commitStreams(b, openPostgres(b, server), streams, n), "events/s")
			}
		})
	}
	one := median(rates["BenchmarkStreams/1"])
	fmt.Printf("\n%d events to one Postgres, runs spread over streams, one reader each in one process\n", n)
	for _, count := range counts {
		rate := median(rates[fmt.Sprintf("BenchmarkStreams/%d", count)])
		fmt.Printf("%d stream(s)        %10.0f events/s committed, %.2f of one stream\n", count, rate, rate/one)
	}
	fmt.Println()
}

// commitStreams runs a reader for each of the streams until an empty store has all n events.
func (k *broker) commitStreams(b *testing.B, store sinks.Store, streams []string, n int) time.Duration {
	b.Helper()
	id, err := store.Identity(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	deployment := "bench-" + id.Database
	watch, err := consumer.NewWatch(k.conn, deployment)
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	last := make(map[string]uint64)
	for _, name := range streams {
		if _, err := consumer.EnsureConsumers(b.Context(), k.js, name, deployment, id, consumer.DefaultPinnedTTL, true); err != nil {
			b.Fatal(err)
		}
		stream, err := k.js.Stream(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		last[name] = stream.CachedInfo().State.LastSeq
	}
	began := time.Now()
	var readers []*running
	for _, name := range streams {
		readers = append(readers, k.startReader(b, store, func(c *consumer.Config) {
			c.Stream, c.Deployment, c.Log = name, deployment, nil
		}))
	}
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	for name, sequence := range last {
		if err := watch.Wait(ctx, name, sequence); err != nil {
			b.Fatalf("wait for %d commits of %s: %v", sequence, name, err)
		}
	}
	took := time.Since(began)
	var applied int64
	for _, r := range readers {
		if err := r.stop(); err != nil {
			b.Fatal(err)
		}
		applied += r.Status().Applied
	}
	if applied != int64(n) {
		b.Fatalf("%d events applied, want %d", applied, n)
	}
	return took
}
