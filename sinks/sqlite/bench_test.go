package sqlite

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkCommit commits 10,000 executions in each step, in new runs or in one that grows, with and without marks.
func BenchmarkCommit(b *testing.B) {
	for _, runs := range []int{1, 100, 1000, 10_000} {
		for marks, suffix := range map[bool]string{false: "", true: "/marks"} {
			b.Run(fmt.Sprintf("runs=%d%s", runs, suffix), func(b *testing.B) { commitSteps(b, runs, marks) })
		}
	}
}

func commitSteps(b *testing.B, runs int, marks bool) {
	const executions = 10_000
	path := filepath.Join(b.TempDir(), "x.db")
	s, err := Open(b.Context(), Config{Path: path, Marks: marks})
	if err != nil {
		b.Fatal(err)
	}
	w := sinktest.NewWriter(b, s, "S")
	var took time.Duration
	for i := range b.N {
		b.StopTimer()
		if err := w.Reload(b.Context()); err != nil {
			b.Fatal(err)
		}
		batch := w.Fold(load(i, runs, executions)...)
		b.StartTimer()
		begun := time.Now()
		if err := w.Commit(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		took += time.Since(begun)
	}
	total := float64(b.N) * executions
	b.ReportMetric(total/took.Seconds(), "executions/s")
	if err := s.Close(); err != nil { // moves the log into the file
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/total, "B/execution")
}

// load is the n executions of a step, evenly over its runs, with ids as producers make them.
func load(step, runs, n int) []events.Event {
	list := make([]events.Event, n)
	at := time.Date(2026, 1, 1, 0, 0, step, 0, time.UTC)
	for i := range list {
		run := strconv.Itoa(step) + "-" + strconv.Itoa(i%runs)
		list[i] = events.Event{Key: events.Key{CampaignID: "campaign-" + strconv.Itoa(step), RunID: run, Phase: "2-3"},
			ID: uuid.NewString(), Type: events.AgentFinished, OccurredAt: at.Add(time.Duration(i) * time.Microsecond),
			AgentID: "agent-" + strconv.Itoa(i/runs), Attempt: 1, Status: events.Succeeded, LatencyMs: int64(i), TokensIn: 1200,
			TokensOut: 340, AssetsGenerated: 1, Cost: events.USD(12_500_000), Model: "model-large", AgentName: "Writer"}
	}
	return list
}

// BenchmarkLoad reads a run of 10,000 executions back, which ten commits made.
func BenchmarkLoad(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "x.db"))
	w := sinktest.NewWriter(b, s, "S")
	list := load(0, 1, 10_000)
	for rest := list; len(rest) > 0; rest = rest[1000:] {
		if err := w.Write(b.Context(), rest[:1000]...); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		loaded, err := s.Load(b.Context(), w.Position, []events.Key{list[0].Key})
		if err != nil || loaded[list[0].Key.UUID()].Run.Len() != len(list) {
			b.Fatal(err)
		}
	}
}
