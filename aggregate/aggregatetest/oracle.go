// Package aggregatetest is the oracle: it computes a run's record from the list of all its events, by brute force and
// straight from the definitions, sorting where package aggregate keeps order, math/big where it counts. It shares nothing
// with that package but the types of the result, so that what both say is true.
package aggregatetest

import (
	"math/big"
	"slices"
	"strings"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// verdict is a record in the making.
type verdict struct {
	aggregate.Metrics
	nanos *big.Int // of CostUSD
}

// Judge returns the record that the events of one run add up to, Version and UpdatedAt aside. Of events that share an id,
// the first in the list counts. The list must not be empty.
func Judge(history []events.Event) aggregate.Metrics {
	counted := withoutVoided(withoutDuplicates(history))
	v := verdict{nanos: new(big.Int)}
	v.CampaignID, v.RunID, v.Phase = history[0].CampaignID, history[0].RunID, history[0].Phase
	v.RunKey = history[0].UUID()
	for i, e := range counted {
		if i == 0 || e.OccurredAt.Before(v.CreatedAt) {
			v.CreatedAt = e.OccurredAt
		}
	}
	executions, reports := ofType(counted, events.AgentFinished), ofType(counted, events.RunReported)
	if len(executions) == 0 && len(reports) > 0 {
		v.judgeReport(reports[len(reports)-1].Report)
	} else {
		v.judgeExecutions(counted, executions)
	}
	v.judgeEnd(counted, executions)
	var fits bool
	if v.CostUSD, fits = aggregate.MoneyFromNanos(v.nanos); !fits {
		panic("the cost is wider than 128 bits")
	}
	return v.Metrics
}

func withoutDuplicates(history []events.Event) []events.Event {
	var first []events.Event
	for _, e := range history {
		if !slices.ContainsFunc(first, func(f events.Event) bool { return f.ID == e.ID }) {
			first = append(first, e)
		}
	}
	return first
}

// withoutVoided takes out what a void names. A void itself always counts: two could name each other.
func withoutVoided(applied []events.Event) []events.Event {
	var named []string
	for _, e := range applied {
		named = append(named, e.Voids...)
	}
	return slices.DeleteFunc(slices.Clone(applied), func(e events.Event) bool {
		return e.Type != events.ExecutionsVoided && slices.Contains(named, e.ID)
	})
}

// ofType returns the events of a type, those that occurred later last, and by id where they occurred together.
func ofType(list []events.Event, of events.Type) []events.Event {
	var found []events.Event
	for _, e := range list {
		if e.Type == of {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b events.Event) int {
		if c := a.OccurredAt.Compare(b.OccurredAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found
}

// finals returns the execution of every agent that decides its outcome.
func finals(executions []events.Event) map[string]events.Event {
	byAttempt := slices.Clone(executions)
	slices.SortStableFunc(byAttempt, func(a, b events.Event) int { return int(a.Attempt - b.Attempt) })
	last := map[string]events.Event{}
	for _, e := range byAttempt {
		last[e.AgentID] = e
	}
	return last
}

func (v *verdict) judgeReport(p *events.Report) {
	v.Source, v.Status = aggregate.FromReport, aggregate.Completed
	v.AgentsTotal, v.AgentsSuccessful, v.AgentsFailed = p.AgentsTotal, p.AgentsSuccessful, p.AgentsTotal-p.AgentsSuccessful
	v.AssetsGenerated, v.TokensIn, v.TokensOut = p.AssetsGenerated, p.TokensIn, p.TokensOut
	v.nanos, v.CostComplete = big.NewInt(int64(p.Cost)), true
	v.LatencyAvgMs, v.LatencyP95Ms = new(p.LatencyAvgMs), new(p.LatencyP95Ms)
	v.SuccessRate = rate(v.AgentsSuccessful, v.AgentsTotal)
}

func (v *verdict) judgeExecutions(counted, executions []events.Event) {
	v.Source, v.CostComplete = aggregate.FromEvents, true
	for _, e := range executions {
		v.TokensIn += e.TokensIn
		v.TokensOut += e.TokensOut
		if e.Cost.Known {
			v.nanos.Add(v.nanos, big.NewInt(int64(e.Cost.Nanos)))
		} else {
			v.CostComplete = false
		}
	}
	v.Executions = new(int64(len(executions)))
	seen := map[string]bool{}
	for _, e := range append(ofType(counted, events.AgentStarted), executions...) {
		seen[e.AgentID] = true
	}
	outcomes := map[events.Status]int64{}
	var latencies []int64
	for _, e := range finals(executions) {
		outcomes[e.Status]++
		v.AssetsGenerated += e.AssetsGenerated
		if e.Status != events.Cancelled {
			latencies = append(latencies, e.LatencyMs)
		}
	}
	v.AgentsSuccessful, v.AgentsFailed = outcomes[events.Succeeded], outcomes[events.Failed]
	v.AgentsCancelled = new(outcomes[events.Cancelled])
	v.AgentsRunning = new(int64(len(seen)) - v.AgentsSuccessful - v.AgentsFailed - *v.AgentsCancelled)
	v.judgeLatencies(latencies)
	v.judgeAgents(counted, int64(len(seen)))
}

// judgeAgents compares the agents seen with those expected, which closes the run and decides what a success is measured by.
func (v *verdict) judgeAgents(counted []events.Event, seen int64) {
	var expected int64
	if starts := ofType(counted, events.RunStarted); len(starts) > 0 {
		expected = starts[len(starts)-1].AgentsExpected
	}
	v.AgentsTotal, v.AgentsMissing = seen, new(max(0, expected-seen))
	if expected > 0 {
		v.AgentsExpected = new(expected)
	}
	v.Status = aggregate.Running
	if expected > 0 && v.AgentsSuccessful+*v.AgentsCancelled >= expected {
		v.Status = aggregate.Completed
	}
	if ends := ofType(counted, events.RunFinished); len(ends) > 0 {
		v.Status = aggregate.Status(ends[len(ends)-1].Outcome)
	}
	divisor := v.AgentsSuccessful + v.AgentsFailed
	if v.Status != aggregate.Running {
		v.AgentsTotal = max(seen, expected)
		divisor = v.AgentsTotal - *v.AgentsCancelled
	}
	v.SuccessRate = rate(v.AgentsSuccessful, divisor)
}

func (v *verdict) judgeLatencies(list []int64) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	sum := new(big.Int)
	for _, ms := range list {
		sum.Add(sum, big.NewInt(ms))
	}
	average := new(big.Rat).SetFrac(sum, big.NewInt(int64(len(list))))
	v.LatencyAvgMs = new(halfUp(average))
	v.LatencyP50Ms, v.LatencyP95Ms, v.LatencyP99Ms = new(nearestRank(list, 50)), new(nearestRank(list, 95)), new(nearestRank(list, 99))
	v.LatencyMaxMs = new(list[len(list)-1])
}

// nearestRank is the smallest value that at least percent of all values do not exceed.
func nearestRank(sorted []int64, percent int) int64 {
	for i, ms := range sorted {
		if 100*(i+1) >= percent*len(sorted) {
			return ms
		}
	}
	panic("no value is the 100th percentile")
}

// judgeEnd says when a closed run ended.
func (v *verdict) judgeEnd(counted, executions []events.Event) {
	if v.Status == aggregate.Running {
		return
	}
	if ends := ofType(counted, events.RunFinished); len(ends) > 0 {
		v.FinishedAt = new(ends[len(ends)-1].OccurredAt)
		return
	}
	for _, e := range finals(executions) {
		if v.FinishedAt == nil || e.OccurredAt.After(*v.FinishedAt) {
			v.FinishedAt = new(e.OccurredAt)
		}
	}
}

// rate is the percentage in hundredths, rounded half up.
func rate(part, whole int64) *aggregate.Percent {
	if whole == 0 {
		return nil
	}
	return new(aggregate.Percent(halfUp(big.NewRat(10_000*part, whole))))
}

// halfUp rounds a number that is not negative: the floor of x + 1/2.
func halfUp(x *big.Rat) int64 {
	x = new(big.Rat).Add(x, big.NewRat(1, 2))
	return new(big.Int).Quo(x.Num(), x.Denom()).Int64()
}
