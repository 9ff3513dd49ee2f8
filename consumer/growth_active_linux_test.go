package consumer_test

import (
	"fmt"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkGrowthActive measures the pipeline with ever more runs under way at a time, of ten executions each: a commit changes
// up to as many of them, and writes a row for each, however few events it has for it.
func BenchmarkGrowthActive(b *testing.B) {
	const n = 100_000
	server := sinktest.StartPostgres(b)
	active := []int{40, 400, 4_000, 10_000}
	streams, costs := make([]*broker, len(active)), make([][]sample, len(active))
	for i, a := range active {
		streams[i] = startBroker(b)
		streams[i].publishAll(b, workload{n, 10, a})
	}
	for range benchRounds(b) {
		for i := range active {
			scoped(b, func(tb testing.TB) {
				costs[i] = append(costs[i], streams[i].commitAll(tb, server, openPostgres(tb, server), n))
			})
		}
	}
	b.ReportMetric(0, "ns/op")
	fmt.Printf("\n%16s %26s %22s %22s\n", "runs at a time", "committed, events/s", "this process, µs", "Postgres, µs")
	for i, a := range active {
		fmt.Printf("%16d %26v %22v %22v\n", a, spreadOf(costs[i], func(s sample) float64 { return s.rate }),
			spreadOf(costs[i], func(s sample) float64 { return s.own }), spreadOf(costs[i], func(s sample) float64 { return s.postgres }))
	}
}
