package aggregate_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// finished is an execution that ended so many seconds after the start; every figure is 100.
func finished(id, agent string, attempt int64, status events.Status, at int) events.Event {
	return events.Event{Key: key, ID: id, Type: events.AgentFinished, OccurredAt: after(at), AgentID: agent, Attempt: attempt,
		Status: status, LatencyMs: 100, TokensIn: 100, TokensOut: 100, AssetsGenerated: 100, Cost: events.USD(100)}
}

func started(id, agent string, at int) events.Event {
	return events.Event{Key: key, ID: id, Type: events.AgentStarted, OccurredAt: after(at), AgentID: agent, Attempt: 1}
}

func runStarted(id string, expected int64, at int) events.Event {
	return events.Event{Key: key, ID: id, Type: events.RunStarted, OccurredAt: after(at), AgentsExpected: expected}
}

func runFinished(id string, outcome events.Outcome, at int) events.Event {
	return events.Event{Key: key, ID: id, Type: events.RunFinished, OccurredAt: after(at), Outcome: outcome}
}

func runReported(id string, total, successful int64, at int) events.Event {
	return events.Event{Key: key, ID: id, Type: events.RunReported, OccurredAt: after(at), Report: &events.Report{
		AgentsTotal: total, AgentsSuccessful: successful, AssetsGenerated: 5, TokensIn: 6, TokensOut: 7, Cost: 8e9,
		LatencyP95Ms: 9, LatencyAvgMs: 4}}
}

func voided(id string, at int, ids ...string) events.Event {
	return events.Event{Key: key, ID: id, Type: events.ExecutionsVoided, OccurredAt: after(at), Voids: ids}
}

// record is a record as the API shows it, by field.
func record(t *testing.T, m aggregate.Metrics) map[string]string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for name, value := range raw {
		fields[name] = string(value)
	}
	return fields
}

// check folds the history and compares the fields named in want, then the whole record with the oracle.
func check(t *testing.T, want map[string]string, history ...events.Event) {
	t.Helper()
	m := fold(history...).Metrics()
	got := record(t, m)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %s, want %s", name, got[name], value)
		}
	}
	checkRecord(t, m, history)
}

func at(seconds int) string { return fmt.Sprintf("%q", after(seconds).Format("2006-01-02T15:04:05Z")) }

func TestRetryAfterSuccessDecidesTheOutcomeAndIsPaidFor(t *testing.T) {
	check(t, map[string]string{
		"agentsTotal": "1", "agentsSuccessful": "0", "agentsFailed": "1", "executions": "2", "tokensIn": "200",
		"costUSD": "0.0000002", "assetsGenerated": "100", "successRate": "0",
	}, finished("e2", "a", 2, events.Failed, 0), finished("e1", "a", 1, events.Succeeded, 9))
}

func TestEqualAttemptsAreDecidedByTimeThenById(t *testing.T) {
	check(t, map[string]string{"agentsSuccessful": "1"},
		finished("e1", "a", 1, events.Succeeded, 2), finished("e2", "a", 1, events.Failed, 1))
	check(t, map[string]string{"agentsSuccessful": "0", "agentsFailed": "1"},
		finished("e2", "a", 1, events.Failed, 1), finished("e1", "a", 1, events.Succeeded, 1))
}

func TestCancelledAgentCountsNeitherForNorAgainst(t *testing.T) {
	check(t, map[string]string{
		"agentsTotal": "3", "agentsSuccessful": "1", "agentsFailed": "1", "agentsCancelled": "1", "successRate": "50",
		"latencyAvgMs": "100", "assetsGenerated": "300", "status": `"running"`,
	}, finished("e1", "a", 1, events.Succeeded, 0), finished("e2", "b", 1, events.Failed, 0), finished("e3", "c", 1, events.Cancelled, 0))
	check(t, map[string]string{"successRate": "null", "latencyAvgMs": "null", "latencyMaxMs": "null"},
		finished("e1", "a", 1, events.Cancelled, 0), runFinished("end", events.OutcomeCancelled, 1))
}

func TestSuccessRateIsNullWithoutAnOutcome(t *testing.T) {
	check(t, map[string]string{"successRate": "null", "agentsTotal": "1", "agentsRunning": "1", "executions": "0",
		"costUSD": "0", "costComplete": "true", "latencyP50Ms": "null", "finishedAt": "null"}, started("s1", "a", 0))
}

func TestAgentsThatNeverReportedAreMissingAndCountOnceClosed(t *testing.T) {
	history := []events.Event{runStarted("s", 4, 0), finished("e1", "a", 1, events.Succeeded, 1), started("s2", "b", 1)}
	check(t, map[string]string{"status": `"running"`, "agentsTotal": "2", "agentsMissing": "2", "agentsRunning": "1",
		"agentsExpected": "4", "successRate": "100"}, history...)
	check(t, map[string]string{"status": `"completed"`, "agentsTotal": "4", "agentsMissing": "2", "agentsRunning": "1",
		"successRate": "25", "finishedAt": at(9)}, append(history, runFinished("end", events.OutcomeCompleted, 9))...)
}

func TestARunWithMoreAgentsThanExpected(t *testing.T) {
	check(t, map[string]string{"status": `"completed"`, "agentsTotal": "2", "agentsExpected": "1", "agentsMissing": "0",
		"successRate": "50"}, runStarted("s", 1, 0), finished("e1", "a", 1, events.Succeeded, 1), finished("e2", "b", 1, events.Failed, 2))
}

func TestARunIsCompleteWhenAllExpectedSucceededOrWereCancelled(t *testing.T) {
	history := []events.Event{runStarted("s", 2, 0), finished("e1", "a", 1, events.Succeeded, 5), finished("e2", "b", 1, events.Failed, 3)}
	check(t, map[string]string{"status": `"running"`, "finishedAt": "null", "successRate": "50"}, history...)
	check(t, map[string]string{"status": `"completed"`, "finishedAt": at(5), "successRate": "100"},
		append(history, finished("e3", "b", 2, events.Cancelled, 4))...)
}

func TestTheLatestRunStartedSaysHowManyAreExpected(t *testing.T) {
	one := finished("e1", "a", 1, events.Succeeded, 1)
	check(t, map[string]string{"agentsExpected": "1", "status": `"completed"`}, runStarted("s2", 1, 2), one, runStarted("s1", 3, 1))
	check(t, map[string]string{"agentsExpected": "3", "status": `"running"`}, runStarted("s2", 3, 1), one, runStarted("s1", 1, 1))
	check(t, map[string]string{"agentsExpected": "null", "agentsMissing": "0"}, runStarted("s1", 3, 1), one, runStarted("s2", 0, 2))
}

func TestRunFinishedDecidesOverTheCount(t *testing.T) {
	complete := []events.Event{runStarted("s", 1, 0), finished("e1", "a", 1, events.Succeeded, 1)}
	check(t, map[string]string{"status": `"failed"`, "finishedAt": at(7), "successRate": "100"},
		append(complete, runFinished("f1", events.OutcomeFailed, 7))...)
	check(t, map[string]string{"status": `"cancelled"`, "finishedAt": at(8)},
		append(complete, runFinished("f2", events.OutcomeCancelled, 8), runFinished("f3", events.OutcomeFailed, 7))...)
	check(t, map[string]string{"status": `"failed"`},
		append(complete, runFinished("f2", events.OutcomeFailed, 8), runFinished("f1", events.OutcomeCancelled, 8))...)
}

func TestFinishedAtFollowsTheFinalExecutions(t *testing.T) {
	// The retry is said to have ended before the attempt that it replaces.
	check(t, map[string]string{"finishedAt": at(2), "createdAt": at(0)}, runStarted("s", 2, 0), finished("e1", "a", 1, events.Failed, 9),
		finished("e2", "a", 2, events.Succeeded, 1), finished("e3", "b", 1, events.Cancelled, 2))
	// Without run.finished a run can be closed again by its executions.
	check(t, map[string]string{"finishedAt": at(2), "status": `"completed"`}, runStarted("s", 1, 0),
		finished("e1", "a", 1, events.Succeeded, 2), runFinished("f", events.OutcomeFailed, 3), voided("v", 4, "f"))
}

func TestUnknownCostMakesTheSumIncomplete(t *testing.T) {
	free, unknown := finished("e1", "a", 1, events.Succeeded, 0), finished("e2", "a", 2, events.Succeeded, 0)
	free.Cost, unknown.Cost = events.USD(0), events.Cost{}
	check(t, map[string]string{"costUSD": "0", "costComplete": "true"}, free)
	check(t, map[string]string{"costUSD": "0.0000001", "costComplete": "false"}, free, unknown, finished("e3", "b", 1, events.Failed, 0))
}

func TestReportStandsUntilTheFirstExecution(t *testing.T) {
	report := runReported("r1", 3, 2, 5)
	check(t, map[string]string{
		"source": `"reported"`, "status": `"completed"`, "agentsTotal": "3", "agentsSuccessful": "2", "agentsFailed": "1",
		"successRate": "66.67", "costUSD": "8", "costComplete": "true", "tokensIn": "6", "tokensOut": "7", "assetsGenerated": "5",
		"latencyAvgMs": "4", "latencyP95Ms": "9", "agentsCancelled": "null", "agentsRunning": "null", "agentsMissing": "null",
		"agentsExpected": "null", "executions": "null", "latencyP50Ms": "null", "latencyP99Ms": "null", "latencyMaxMs": "null",
		"createdAt": at(5), "finishedAt": "null",
	}, report)
	counted := map[string]string{"source": `"events"`, "status": `"running"`, "agentsTotal": "1", "costUSD": "0.0000001",
		"latencyP95Ms": "100", "createdAt": at(5)}
	check(t, counted, report, finished("e1", "a", 1, events.Succeeded, 6))
	check(t, counted, finished("e1", "a", 1, events.Succeeded, 6), report)
	// A start is no execution.
	check(t, map[string]string{"source": `"reported"`, "agentsTotal": "3", "createdAt": at(1)}, report, started("s", "a", 1))
}

func TestTheLatestReportWins(t *testing.T) {
	check(t, map[string]string{"agentsTotal": "4"}, runReported("r1", 4, 1, 6), runReported("r2", 3, 1, 5))
	check(t, map[string]string{"agentsTotal": "3"}, runReported("r2", 3, 1, 5), runReported("r1", 4, 1, 5))
	check(t, map[string]string{"agentsTotal": "0", "successRate": "null"}, runReported("r1", 0, 0, 1))
}

func TestReportWinsAgainWhenAllExecutionsAreVoided(t *testing.T) {
	history := []events.Event{runReported("r", 3, 2, 5), finished("e1", "a", 1, events.Succeeded, 1), finished("e2", "b", 1, events.Failed, 2)}
	check(t, map[string]string{"source": `"events"`, "agentsTotal": "1"}, append(history, voided("v1", 6, "e1"))...)
	check(t, map[string]string{"source": `"reported"`, "agentsTotal": "3", "createdAt": at(5)},
		append(history, voided("v1", 6, "e1"), voided("v2", 7, "e2"))...)
}

func TestVoidedEventsCountNowhere(t *testing.T) {
	retried := []events.Event{finished("e1", "a", 1, events.Succeeded, 1), finished("e2", "a", 2, events.Failed, 2)}
	want := map[string]string{"agentsSuccessful": "1", "agentsFailed": "0", "executions": "1", "tokensIn": "100", "costUSD": "0.0000001"}
	check(t, want, append(retried, voided("v", 3, "e2"))...)
	check(t, want, append([]events.Event{voided("v", 3, "e2")}, retried...)...) // before its target arrives
	check(t, map[string]string{"agentsTotal": "0", "executions": "0", "successRate": "null", "createdAt": at(3)},
		append(retried, voided("v", 3, "e1", "e2", "unknown"))...)
}

func TestAnyEventButAVoidCanBeVoided(t *testing.T) {
	check(t, map[string]string{"status": `"running"`, "agentsExpected": "null", "agentsTotal": "0", "source": `"events"`},
		runStarted("s", 1, 0), runFinished("f", events.OutcomeFailed, 9), started("as", "a", 1), runReported("r", 2, 1, 3),
		voided("v", 3, "s", "f", "as", "r"))
	// Two voids that name each other both hold.
	check(t, map[string]string{"executions": "0", "createdAt": at(3)}, finished("e1", "a", 1, events.Succeeded, 1),
		finished("e2", "b", 1, events.Succeeded, 1), voided("v", 3, "w", "e1"), voided("w", 4, "v", "e2"))
}

func TestALateEventRevisesAClosedRun(t *testing.T) {
	r := fold(runStarted("s", 1, 0), finished("e1", "a", 1, events.Succeeded, 1), runFinished("f", events.OutcomeCompleted, 2))
	if m := r.Metrics(); m.AgentsTotal != 1 || *m.SuccessRate != 10_000 {
		t.Fatalf("%d agents at %s %%", m.AgentsTotal, m.SuccessRate)
	}
	late := finished("e2", "b", 1, events.Failed, 1)
	if r.Apply(&late) != aggregate.Applied {
		t.Fatal("the late event was not applied")
	}
	m := r.Metrics()
	if m.AgentsTotal != 2 || *m.SuccessRate != 5_000 || *m.Executions != 2 || m.Status != aggregate.Completed || !m.FinishedAt.Equal(after(2)) {
		t.Errorf("got %+v", m)
	}
}

func TestLatencyIsOverFinalExecutions(t *testing.T) {
	var history []events.Event
	for i, ms := range []int64{900, 10, 20, 31} {
		e := finished(fmt.Sprint("e", i), fmt.Sprint("a", max(i, 1)), int64(i+1), events.Succeeded, i)
		e.LatencyMs = ms
		history = append(history, e)
	}
	// The 900 ms are of a first attempt; the average of 10, 20 and 31 is 20.33.
	check(t, map[string]string{"latencyAvgMs": "20", "latencyP50Ms": "20", "latencyP95Ms": "31", "latencyP99Ms": "31", "latencyMaxMs": "31"},
		history...)
}

func TestAFailedAgentHasALatencyACancelledNone(t *testing.T) {
	failed, cancelled := finished("e1", "a", 1, events.Failed, 0), finished("e2", "b", 1, events.Cancelled, 0)
	failed.LatencyMs, cancelled.LatencyMs = 7, 1000
	check(t, map[string]string{"latencyAvgMs": "7", "latencyMaxMs": "7"}, failed, cancelled)
}

func TestTheRunsNamesAreInTheRecord(t *testing.T) {
	m := fold(started("s", "a", 0)).Metrics()
	if m.Key() != key || m.RunKey != key.UUID() || m.CreatedAt.Location().String() != "UTC" {
		t.Errorf("got %+v", m)
	}
}
