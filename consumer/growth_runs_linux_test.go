package consumer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkGrowthRuns measures what an event costs the store while ever more runs are in it, ten times as many from size to
// size, up to RUNMETRICS_BENCH_RUNS (1,000,000): the whole pipeline with a stream of new runs, then commits of new runs, of runs in
// memory, and of runs that have to be read back. One kind is measured at a time: what a checkpoint writes for the sake of one is not the cost of another. The rows that are
// there before were written in bulk, see fillRuns. Each size has a Postgres of its own with the default settings, or a file.
func BenchmarkGrowthRuns(b *testing.B) {
	sizes := growingTo(10_000, 10, fromEnvironment(b, "RUNMETRICS_BENCH_RUNS", 1_000_000))
	rounds := benchRounds(b)
	b.Run("Postgres", func(b *testing.B) {
		measureGrowth(b, sizes, rounds, func() grownDatabase {
			return newPostgresDatabase(b, sinktest.StartPostgres(b), false)
		})
	})
	b.Run("SQLite", func(b *testing.B) {
		measureGrowth(b, sizes, rounds, func() grownDatabase { return newSQLiteDatabase(b, false) })
	})
}

func measureGrowth(b *testing.B, sizes []int, rounds int, create func() grownDatabase) {
	var stores []*grownStore
	for _, runs := range sizes {
		stores = append(stores, growStore(b, create(), runs))
	}
	k := startBroker(b)
	for round := range rounds {
		commitStream(b, k, round, stores)
	}
	for _, kind := range growthKinds {
		for range rounds {
			for _, g := range stores {
				g.round(b, kind)
			}
		}
	}
	for _, g := range stores {
		g.check(b)
	}
	b.ReportMetric(0, "ns/op")
	fmt.Printf("\nµs for an event, median of %d rounds (least-most), %s\n", rounds, stores[0].name)
	fmt.Printf("%-44s %12s %22s %22s %22s\n", "from the stream, 10 events of each new run", "runs stored", "all processors", "this process", "Postgres")
	for _, g := range stores {
		fmt.Printf("%-44s %12d %22v %22v %22v\n", "", g.runs, spreadOf(g.streams, func(s sample) float64 { return s.own + s.postgres }),
			spreadOf(g.streams, func(s sample) float64 { return s.own }), spreadOf(g.streams, func(s sample) float64 { return s.postgres }))
	}
	fmt.Printf("%-44s %12s %22s %22s %22s %10s\n", "commits of", "runs stored", "passed", "this process", "Postgres", "log, B")
	for _, kind := range growthKinds {
		for _, g := range stores {
			list := g.costs[kind]
			fmt.Printf("%-44s %12d %22v %22v %22v %10.0f\n", kind, g.runs,
				spreadOf(list, func(c cost) float64 { return c.each(c.wall) }),
				spreadOf(list, func(c cost) float64 { return c.each(c.process) }),
				spreadOf(list, func(c cost) float64 { return c.each(c.server) }),
				spreadOf(list, func(c cost) float64 { return float64(c.log) / float64(c.events) }).median)
		}
	}
}

// What a commit holds, always of growthBatch runs.
const (
	growthBatch = 1_000
	growthTimes = 5 // commits of a kind in each round

	newRuns    = "1,000 new runs, 10 events each"
	runsInside = "1,000 runs in memory, one event each"
	runsBack   = "1,000 runs to be read back, one event each"
)

var growthKinds = []string{newRuns, runsInside, runsBack}

// grownStore is a store that holds many runs.
type grownStore struct {
	grownDatabase
	meter
	store  sinks.Store
	runs   int          // that were there before anything was measured
	stored []events.Key // of these, at random places of all indexes
	writer *sinktest.Writer
	inside []events.Key // runs that the writer has in memory
	costs  map[string][]cost

	streams []sample // of the whole pipeline

	added, executed, changes int // runs, executions and changes of runs since
}

func growStore(b *testing.B, d grownDatabase, runs int) *grownStore {
	g := &grownStore{grownDatabase: d, runs: runs, costs: make(map[string][]cost)}
	began := time.Now()
	g.stored = fillRuns(b, d, runs)
	fmt.Printf("%s: %d runs were filled in within %v\n", d.name, runs, time.Since(began).Round(time.Second))
	g.store = d.open(b)
	g.meter = meter{d.server, d.sql(b, "")}
	return g
}

// commitStream runs the pipeline into each store, one after the other, with events that it publishes behind those of earlier rounds.
func commitStream(b *testing.B, k *broker, round int, stores []*grownStore) {
	const n, part = 200_000, 10_000
	w := workload{n, 10, 40}
	for from := 0; from < n; from += part {
		list := make([]events.Event, part)
		for i := range list {
			key := growthKey(fmt.Sprint("stream-", round, "-"), w.run(from+i))
			list[i] = growthExecution(key, growthID(-1-round, from+i), from+i)
		}
		k.publish(b, messagesOf(list)...)
	}
	for _, g := range stores {
		scoped(b, func(tb testing.TB) {
			g.streams = append(g.streams, k.commitFrom(tb, g.meter.server, g.store, round*n, n))
		})
		g.added, g.executed = g.added+n/w.agents, g.executed+n
	}
}

func (g *grownStore) round(b *testing.B, kind string) {
	switch kind {
	case newRuns:
		g.writer = sinktest.NewWriter(b, g.store, "RUN_EVENTS")
		g.measureKind(b, kind, 10, func(timed func(func() error)) {
			g.inside = growthKeys(g.added, growthBatch)
			g.added += growthBatch
			batch := g.writer.Fold(g.eventsOf(g.inside, 10)...)
			timed(func() error { return g.writer.Commit(b.Context(), batch) })
		})
	case runsInside:
		g.measureKind(b, kind, 1, func(timed func(func() error)) {
			batch := g.writer.Fold(g.eventsOf(g.inside, 1)...)
			timed(func() error { return g.writer.Commit(b.Context(), batch) })
		})
	case runsBack:
		g.measureKind(b, kind, 1, func(timed func(func() error)) {
			back := g.stored[:growthBatch]
			g.stored = append(g.stored[growthBatch:], back...)
			if err := g.writer.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
			list := g.eventsOf(back, 1)
			timed(func() error { return g.writer.Write(b.Context(), list...) })
		})
	}
}

func (g *grownStore) measureKind(b *testing.B, kind string, executions int, commit func(timed func(func() error))) {
	n := growthTimes * growthBatch
	g.costs[kind] = append(g.costs[kind], g.measure(b, n*executions, func(timed func(func() error)) {
		for range growthTimes {
			commit(timed)
			g.executed += growthBatch * executions
			g.changes += growthBatch
		}
	}))
}

// eventsOf makes n new executions of each run, interleaved as they would arrive.
func (g *grownStore) eventsOf(keys []events.Key, n int) []events.Event {
	list := make([]events.Event, 0, n*len(keys))
	for agent := range n {
		for i, key := range keys {
			list = append(list, growthExecution(key, growthID(g.changes, len(list)), 10*g.changes%1000+agent))
			list[len(list)-1].OccurredAt = list[len(list)-1].OccurredAt.AddDate(0, 0, i%28)
		}
	}
	return list
}

// growthKeys are names of runs from number first on: each is a UUID, in one of a thousand campaigns that go on for ever.
func growthKeys(first, n int) []events.Key {
	keys := make([]events.Key, n)
	for i := range keys {
		keys[i] = growthKey("new", first+i)
	}
	return keys
}

// check compares what the store holds with what was written.
func (g *grownStore) check(b *testing.B) {
	changes := number(b, g.db, "SELECT CAST(sum(version) AS bigint) FROM campaign_metrics")
	for _, c := range []struct {
		query string
		want  int
	}{
		{"SELECT count(*) FROM campaign_metrics", g.runs + g.added},
		{"SELECT CAST(sum(executions) AS bigint) FROM campaign_metrics", 10*g.runs + g.executed},
		{"SELECT count(*) FROM event_chunks", int(changes)},
	} {
		if got := number(b, g.db, c.query); got != int64(c.want) {
			b.Errorf("%s with %d runs: %s is %d, want %d", g.name, g.runs, c.query, got, c.want)
		}
	}
}
