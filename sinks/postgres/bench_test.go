package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkCommit commits batches to a server that syncs its writes, with and without marks. The fold is not part of it.
func BenchmarkCommit(b *testing.B) {
	server := sinktest.StartPostgres(b)
	for _, mode := range []mode{cacheStatement, cacheDescribe, exec, simpleProtocol} {
		for _, size := range []struct{ runs, executions int }{{1000, 10_000}, {1, 1}} {
			for marks, suffix := range map[bool]string{false: "", true: "/marks"} {
				b.Run(fmt.Sprintf("%s/%dx%d%s", mode.name, size.runs, size.executions/size.runs, suffix), func(b *testing.B) {
					url := server.CreateDatabase(b)
					if err := Migrate(b.Context(), url); err != nil {
						b.Fatal(err)
					}
					store, err := Open(b.Context(), Config{URL: url + mode.setting, Marks: marks})
					if err != nil {
						b.Fatal(err)
					}
					defer store.Close()
					commitRounds(b, store, size.runs, size.executions)
				})
			}
		}
	}
}

func commitRounds(b *testing.B, store *Store, runs, executions int) {
	w := sinktest.NewWriter(b, store, "RUN_EVENTS")
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		batch := w.Fold(newRuns(round, runs, executions)...)
		b.StartTimer()
		if err := w.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*executions)/b.Elapsed().Seconds(), "executions/s")
}

// newRuns makes executions of runs that no other round has, as they would arrive: interleaved, with ids as UUIDs.
func newRuns(round, runs, executions int) []events.Event {
	list := make([]events.Event, executions)
	for i := range list {
		list[i] = execution(fmt.Sprintf("run-%d-%d", round, i%runs), fmt.Sprintf("%08x-0000-4000-8000-%012x", round, i))
		list[i].AgentID = fmt.Sprintf("agent-%d", i/runs)
		list[i].OccurredAt = list[i].OccurredAt.Add(time.Duration(round)*time.Second + time.Duration(i)*100*time.Microsecond)
		list[i].LatencyMs = int64(i * 7919 % 60_000)
	}
	return list
}
