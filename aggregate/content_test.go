package aggregate_test

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Every field of the validated event is its content: an event that repeats an id and differs in one is a conflict.
func TestSameIDWithOtherContentIsAConflict(t *testing.T) {
	execution := finished("e", "a", 1, events.Succeeded, 0)
	changes := map[string]struct {
		event  events.Event
		change func(*events.Event)
	}{
		"type":            {execution, func(e *events.Event) { e.Type = events.AgentStarted }},
		"occurredAt":      {execution, func(e *events.Event) { e.OccurredAt = e.OccurredAt.Add(time.Microsecond) }},
		"agentId":         {execution, func(e *events.Event) { e.AgentID = "b" }},
		"attempt":         {execution, func(e *events.Event) { e.Attempt++ }},
		"agentName":       {execution, func(e *events.Event) { e.AgentName = "n" }},
		"model":           {execution, func(e *events.Event) { e.Model = "m" }},
		"error":           {execution, func(e *events.Event) { e.Error = "x" }},
		"status":          {execution, func(e *events.Event) { e.Status = events.Failed }},
		"latencyMs":       {execution, func(e *events.Event) { e.LatencyMs++ }},
		"tokensIn":        {execution, func(e *events.Event) { e.TokensIn++ }},
		"tokensOut":       {execution, func(e *events.Event) { e.TokensOut++ }},
		"tokens swapped":  {execution, func(e *events.Event) { e.TokensIn, e.TokensOut = 1, 2 }},
		"assetsGenerated": {execution, func(e *events.Event) { e.AssetsGenerated++ }},
		"costUSD":         {execution, func(e *events.Event) { e.Cost = events.USD(101) }},
		"unknown cost":    {execution, func(e *events.Event) { e.Cost = events.Cost{} }},
		"started agent":   {started("e", "a", 0), func(e *events.Event) { e.AgentName = "n" }},
		"agentsExpected":  {runStarted("e", 3, 0), func(e *events.Event) { e.AgentsExpected = 0 }},
		"outcome":         {runFinished("e", events.OutcomeFailed, 0), func(e *events.Event) { e.Outcome = events.OutcomeCancelled }},
		"voids":           {voided("e", 0, "x", "y"), func(e *events.Event) { e.Voids = []string{"x"} }},
		"order of voids":  {voided("e", 0, "x", "y"), func(e *events.Event) { e.Voids = []string{"y", "x"} }},
		"reason":          {voided("e", 0, "x"), func(e *events.Event) { e.Reason = "why" }},
		"agentsTotal":     {runReported("e", 3, 2, 0), func(e *events.Event) { e.Report.AgentsTotal++ }},
		"reported cost":   {runReported("e", 3, 2, 0), func(e *events.Event) { e.Report.Cost++ }},
		"latencyP95Ms":    {runReported("e", 3, 2, 0), func(e *events.Event) { e.Report.LatencyP95Ms++ }},
	}
	for name, c := range changes {
		r := aggregate.NewRun(key)
		if got := r.Apply(copyOf(c.event)); got != aggregate.Applied {
			t.Errorf("%s: the first is %d", name, got)
		}
		before := r.Metrics()
		if got := r.Apply(copyOf(c.event)); got != aggregate.Duplicate {
			t.Errorf("%s: the same again is %d, want a duplicate", name, got)
		}
		other := copyOf(c.event)
		c.change(other)
		if got := r.Apply(other); got != aggregate.Conflict {
			t.Errorf("%s: other content is %d, want a conflict", name, got)
		}
		sameRecord(t, r.Metrics(), before, name+": a duplicate changed the record")
		if r.Len() != 1 {
			t.Errorf("%s: %d events are applied, want 1", name, r.Len())
		}
	}
}

// copyOf shares nothing with the event, as if it had come over the wire a second time.
func copyOf(e events.Event) *events.Event {
	if e.Report != nil {
		e.Report = new(*e.Report)
	}
	e.Voids = append([]string(nil), e.Voids...)
	return &e
}

func TestStringsAreNotMixedUpInTheContent(t *testing.T) {
	e := finished("e", "ab", 1, events.Succeeded, 0)
	e.AgentName, e.Model = "c", ""
	r := fold(e)
	e.AgentID, e.AgentName = "a", "bc"
	if got := r.Apply(&e); got != aggregate.Conflict {
		t.Errorf("got %d, want a conflict", got)
	}
}

func TestARunDoesNotKeepTheCallersEvent(t *testing.T) {
	e := runReported("r", 3, 2, 0)
	r := fold(e)
	want := r.Metrics()
	e.OccurredAt, e.ID = after(9), "other"
	sameRecord(t, r.Metrics(), want, "the record follows the caller's event")
}
