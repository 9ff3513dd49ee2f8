package query

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

var testKey = events.Key{CampaignID: "camp", RunID: "run", Phase: "1"}

var testStart = time.Date(2026, 2, 14, 12, 0, 0, 0, time.UTC)

// agentsOf are all agents that the applied events of a phase make.
func agentsOf(phase string, applied []events.Event) []agent {
	return agentsAbove(phase, "", len(applied)+1, applied)
}

// agentsAbove are the first of them with greater ids, as a page has them.
func agentsAbove(phase, above string, room int, applied []events.Event) []agent {
	w := newAgentWindow(phase, above, room)
	for i := range applied {
		w.leaveOut(applied[i].Voids)
	}
	for i := range applied {
		w.add(&applied[i])
	}
	return w.agents()
}

func idsOf(agents []agent) []string {
	var ids []string
	for _, a := range agents {
		ids = append(ids, a.AgentID)
	}
	return ids
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// drawEvent makes an event of a small world, so that ids, attempts and times meet often.
func drawEvent(t *rapid.T, i, n int) events.Event {
	number := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	e := events.Event{
		Key: testKey, ID: fmt.Sprintf("e%d", i),
		OccurredAt: testStart.Add(time.Duration(number("second", 0, 4)) * time.Second),
	}
	e.Type = rapid.SampledFrom([]events.Type{
		events.AgentFinished, events.AgentFinished, events.AgentFinished, events.AgentFinished, events.AgentStarted,
		events.AgentStarted, events.RunStarted, events.RunFinished, events.ExecutionsVoided,
	}).Draw(t, "type")
	switch e.Type {
	case events.AgentFinished:
		e.Status = rapid.SampledFrom([]events.Status{events.Succeeded, events.Failed, events.Cancelled}).Draw(t, "status")
		e.LatencyMs, e.TokensIn = int64(number("latency", 0, 9)), int64(number("in", 0, 99))
		e.TokensOut, e.AssetsGenerated = int64(number("out", 0, 99)), int64(number("assets", 0, 9))
		if rapid.IntRange(0, 9).Draw(t, "priced") > 0 {
			e.Cost = events.USD(events.Nanos(number("cost", 0, 2_000_000_000)))
		}
		fallthrough
	case events.AgentStarted:
		e.AgentID, e.Attempt = fmt.Sprintf("a%d", number("agent", 0, 5)), int64(number("attempt", 1, 3))
	case events.RunStarted:
		e.AgentsExpected = int64(number("expected", 0, 8))
	case events.RunFinished:
		e.Outcome = events.OutcomeCompleted
	case events.ExecutionsVoided:
		for range number("voids", 1, 3) {
			e.Voids = append(e.Voids, fmt.Sprintf("e%d", number("voided", 0, n)))
		}
	}
	return e
}

func TestAgentsAddUpToTheRecordOfTheirRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		run := aggregate.NewRun(testKey)
		var applied []events.Event
		n := rapid.IntRange(1, 30).Draw(t, "events")
		for i := range n {
			e := drawEvent(t, i, n)
			if run.Apply(&e) == aggregate.Applied {
				applied = append(applied, e)
			}
		}
		want := run.Metrics()
		agents := agentsOf(testKey.Phase, applied)
		got := aggregate.Metrics{CostComplete: true}
		byStatus := map[string]int64{}
		executions := int64(0)
		for _, a := range agents {
			byStatus[a.Status]++
			executions += a.Attempts
			got.TokensIn += a.TokensIn
			got.TokensOut += a.TokensOut
			got.AssetsGenerated += a.AssetsGenerated
			got.CostUSD = got.CostUSD.Plus(a.CostUSD)
			got.CostComplete = got.CostComplete && a.CostComplete
		}
		equal := func(name string, got, want any) {
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: agents say %v, the record %v", name, got, want)
			}
		}
		equal("executions", executions, *want.Executions)
		equal("tokensIn", got.TokensIn, want.TokensIn)
		equal("tokensOut", got.TokensOut, want.TokensOut)
		equal("assets", got.AssetsGenerated, want.AssetsGenerated)
		equal("cost", got.CostUSD, want.CostUSD)
		equal("costComplete", got.CostComplete, want.CostComplete)
		equal("succeeded", byStatus["succeeded"], want.AgentsSuccessful)
		equal("failed", byStatus["failed"], want.AgentsFailed)
		equal("cancelled", byStatus["cancelled"], *want.AgentsCancelled)
		equal("running", byStatus["running"], *want.AgentsRunning)

		// A page is a part of the whole, whatever came in which order.
		room := rapid.IntRange(1, 7).Draw(t, "room")
		above := rapid.SampledFrom(append([]string{""}, "a0", "a2", "a5", "b")).Draw(t, "above")
		var behind []agent
		for _, a := range agents {
			if a.AgentID > above && len(behind) < room {
				behind = append(behind, a)
			}
		}
		page := agentsAbove(testKey.Phase, above, room, applied)
		equal("page", fmt.Sprint(idsOf(page)), fmt.Sprint(idsOf(behind)))
		for i := range page {
			equal("agent of a page", jsonText(page[i]), jsonText(behind[i]))
		}

		// A run of one phase is its own total.
		sum := sumOf(t, poolOf(run), want)
		equal("total successRate", sum.SuccessRate, want.SuccessRate)
		equal("total avg", sum.LatencyAvgMs, want.LatencyAvgMs)
		equal("total p50", sum.LatencyP50Ms, want.LatencyP50Ms)
		equal("total p95", sum.LatencyP95Ms, want.LatencyP95Ms)
		equal("total p99", sum.LatencyP99Ms, want.LatencyP99Ms)
		equal("total max", sum.LatencyMaxMs, want.LatencyMaxMs)
		equal("total agents", sum.AgentsTotal, want.AgentsTotal)
		equal("total finishedAt", sum.FinishedAt, want.FinishedAt)
	})
}

func finished(id, agentID string, attempt int64, second int, change func(*events.Event)) events.Event {
	e := events.Event{Key: testKey, ID: id, Type: events.AgentFinished, AgentID: agentID, Attempt: attempt,
		Status: events.Succeeded, OccurredAt: testStart.Add(time.Duration(second) * time.Second), LatencyMs: 100}
	if change != nil {
		change(&e)
	}
	return e
}

func TestHighestAttemptDecidesAnAgentWhateverTheOrder(t *testing.T) {
	first := finished("e1", "a", 1, 9, func(e *events.Event) {
		e.Status, e.Error, e.LatencyMs, e.TokensIn, e.AssetsGenerated = events.Failed, "boom", 7, 10, 5
		e.Cost = events.USD(1)
	})
	second := finished("e2", "a", 2, 3, func(e *events.Event) {
		e.AgentName, e.LatencyMs, e.TokensIn, e.AssetsGenerated = "Writer", 8, 20, 2
	})
	start := events.Event{Key: testKey, ID: "s", Type: events.AgentStarted, AgentID: "a", Attempt: 1,
		OccurredAt: testStart, AgentName: "old name", Model: "model-1"}
	for _, applied := range [][]events.Event{{start, first, second}, {second, first, start}} {
		agents := agentsOf("1", applied)
		if len(agents) != 1 {
			t.Fatalf("got %d agents", len(agents))
		}
		a := agents[0]
		if a.Status != "succeeded" || a.Attempts != 2 || *a.LatencyMs != 8 || a.TokensIn != 30 || a.AssetsGenerated != 2 ||
			a.Error != nil || a.CostUSD.String() != "0.000000001" || a.CostComplete || *a.AgentName != "Writer" ||
			*a.Model != "model-1" || !a.OccurredAt.Equal(second.OccurredAt) {
			t.Errorf("got %+v", a)
		}
	}
}

func TestStartedAgentIsRunningUntilItsFirstExecution(t *testing.T) {
	start := events.Event{Key: testKey, ID: "s", Type: events.AgentStarted, AgentID: "a", Attempt: 1, OccurredAt: testStart}
	a := agentsOf("1", []events.Event{start})[0]
	if a.Status != "running" || a.Attempts != 0 || a.LatencyMs != nil || !a.CostComplete || !a.OccurredAt.Equal(testStart) {
		t.Errorf("got %+v", a)
	}
}

func TestVoidedEventsCountNowhereAndVoidsCannotBeVoided(t *testing.T) {
	voids := func(id string, ids ...string) events.Event {
		return events.Event{Key: testKey, ID: id, Type: events.ExecutionsVoided, OccurredAt: testStart, Voids: ids}
	}
	agents := agentsOf("1", []events.Event{
		voids("v1", "e1", "v2"), finished("e1", "a", 1, 1, nil), finished("e2", "b", 1, 1, nil), voids("v2", "v1", "e3"),
		finished("e3", "b", 2, 2, func(e *events.Event) { e.Status = events.Failed }),
	})
	if len(agents) != 1 || agents[0].AgentID != "b" || agents[0].Status != "succeeded" || agents[0].Attempts != 1 {
		t.Errorf("got %+v", agents)
	}
}
