package aggregate_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// Whatever is taken of a run's changes along the way adds up to its latencies, voids and retries included; so the
// statistics of a pool are those of its record.
func TestChangesAddUpToTheLatenciesOfTheRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := histories().Draw(t, "history")
		run := aggregate.NewRun(key)
		var pool aggregate.Pool
		for i := range history {
			run.Apply(&history[i])
			if rapid.Bool().Draw(t, "take") {
				take(&pool, run)
			}
		}
		m := run.Metrics()
		take(&pool, run)
		if left := run.TakeLatencyChanges(); len(left) > 0 {
			t.Fatalf("taken twice: %v", left)
		}
		stats, whole := pool.Stats()
		if !whole {
			t.Fatal("something was taken out that was never added")
		}
		want := []*int64{m.LatencyAvgMs, m.LatencyP50Ms, m.LatencyP95Ms, m.LatencyP99Ms, m.LatencyMaxMs}
		if m.Source == aggregate.FromReport {
			want = make([]*int64, len(want)) // a report is not of latencies that anybody saw
		}
		got := []*int64{stats.AvgMs, stats.P50Ms, stats.P95Ms, stats.P99Ms, stats.MaxMs}
		for i := range want {
			if (want[i] == nil) != (got[i] == nil) || want[i] != nil && *want[i] != *got[i] {
				t.Fatalf("the record has %+v, the pool %+v\n%s", m, stats, lines(history))
			}
		}
	})
}

func take(pool *aggregate.Pool, run *aggregate.Run) {
	for _, change := range run.TakeLatencyChanges() {
		pool.Change(change)
	}
}

func TestAPoolIsOverAllAgentsOfAllRuns(t *testing.T) {
	var pool aggregate.Pool
	for ms := int32(1); ms <= 100; ms++ { // one run of a hundred quick agents
		pool.Change(ms)
	}
	pool.Change(10_000) // and one of a single slow agent: the average of the p95s would be 5047
	stats, whole := pool.Stats()
	if !whole || stats.Count != 101 || *stats.P95Ms != 96 || *stats.MaxMs != 10_000 || *stats.AvgMs != 149 {
		t.Fatalf("got %+v %t", stats, whole)
	}
}

func TestAPoolThatLacksARunSaysSo(t *testing.T) {
	var pool aggregate.Pool
	pool.Change(5)
	pool.Change(^int32(6))
	if _, whole := pool.Stats(); whole {
		t.Fatal("6 was never added")
	}
}

func BenchmarkPool(b *testing.B) {
	for b.Loop() {
		var pool aggregate.Pool
		x := uint32(1)
		for range 10_000_000 {
			x = x*1664525 + 1013904223
			pool.Change(int32(x >> 12 % 600_000))
		}
		pool.Stats()
	}
}
