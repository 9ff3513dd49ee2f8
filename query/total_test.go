package query

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// fold makes one phase of a run.
func fold(phase string, list ...events.Event) *aggregate.Run {
	key := testKey
	key.Phase = phase
	run := aggregate.NewRun(key)
	for i := range list {
		list[i].Key = key
		run.Apply(&list[i])
	}
	return run
}

// poolOf has the latencies of runs as a store surveys them.
func poolOf(runs ...*aggregate.Run) *latencies {
	seen := new(latencies)
	for _, run := range runs {
		r := sinks.Surveyed{Metrics: run.Metrics(), Latencies: sinks.AppendLatencies([]byte{}, run.TakeLatencyChanges())}
		if err := seen.add(&r); err != nil {
			panic(err)
		}
	}
	return seen
}

// sumOf is the total of phases.
func sumOf(t interface{ Fatal(...any) }, seen *latencies, phases ...aggregate.Metrics) *total {
	sum, err := totalOf(phases, seen)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func value[T any](t *testing.T, p *T) T {
	t.Helper()
	if p == nil {
		t.Fatal("is null")
	}
	return *p
}

func latency(ms int64) func(*events.Event) { return func(e *events.Event) { e.LatencyMs = ms } }

func TestTotalPoolsLatenciesAndDividesByEachPhasesOwnDivisor(t *testing.T) {
	end := events.Event{ID: "f", Type: events.RunFinished, Outcome: events.OutcomeCompleted, OccurredAt: testStart.Add(time.Hour)}
	expect := events.Event{ID: "r", Type: events.RunStarted, AgentsExpected: 4, OccurredAt: testStart}
	closed := fold("1", expect, finished("e1", "a", 1, 1, latency(10)), finished("e2", "b", 1, 2, latency(20)), end)
	running := fold("2", finished("e1", "a", 1, 0, latency(1000)), finished("e2", "b", 1, 3, func(e *events.Event) {
		e.Status, e.LatencyMs = events.Failed, 30
	}))
	got := sumOf(t, poolOf(closed, running), closed.Metrics(), running.Metrics())
	if got.AgentsTotal != 6 || got.AgentsSuccessful != 3 || got.AgentsFailed != 1 || value(t, got.AgentsMissing) != 2 ||
		value(t, got.Executions) != 4 {
		t.Errorf("counts: %+v", got)
	}
	// 3 of (4 of the closed phase + 2 of the running one)
	if rate := value(t, got.SuccessRate); rate != 5000 {
		t.Errorf("successRate %s", rate)
	}
	if value(t, got.LatencyP50Ms) != 20 || value(t, got.LatencyP95Ms) != 1000 || value(t, got.LatencyAvgMs) != 265 {
		t.Errorf("latencies: p50 %d p95 %d avg %d", *got.LatencyP50Ms, *got.LatencyP95Ms, *got.LatencyAvgMs)
	}
	if got.FinishedAt != nil || got.AgentsExpected != nil {
		t.Errorf("finishedAt %v, agentsExpected %v: one phase does not know them", got.FinishedAt, got.AgentsExpected)
	}
	if !got.CreatedAt.Equal(testStart) {
		t.Errorf("createdAt %v", got.CreatedAt)
	}
}

func TestTotalLeavesOpenWhatAReportedPhaseDoesNotSay(t *testing.T) {
	counted := fold("1", finished("e1", "a", 1, 1, nil))
	reported := fold("2", events.Event{ID: "m", Type: events.RunReported, OccurredAt: testStart, Report: &events.Report{
		AgentsTotal: 4, AgentsSuccessful: 2, TokensIn: 5, Cost: 3,
		LatencyP95Ms: 9,
	}})
	got := sumOf(t, poolOf(counted, reported), counted.Metrics(), reported.Metrics())
	if got.Executions != nil || got.AgentsCancelled != nil || got.LatencyP95Ms != nil || got.FinishedAt != nil {
		t.Errorf("not null: %+v", got)
	}
	if got.AgentsTotal != 5 || got.TokensIn != 5 || got.CostUSD.String() != "0.000000003" || got.CostComplete {
		t.Errorf("sums: %+v", got)
	}
	if rate := value(t, got.SuccessRate); rate != 6000 { // 3 of (1 + 4)
		t.Errorf("successRate %s", rate)
	}
}
