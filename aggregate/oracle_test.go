package aggregate_test

import (
	"math/big"
	"reflect"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// The oracle computes a record from the list of all events of a run, by brute force and straight from the definitions:
// sorting where the package keeps order, math/big where it counts. It shares nothing with the package but Metrics.

// verdict is the record that the oracle demands. Its CostUSD is not set: nanos is what it must be.
type verdict struct {
	aggregate.Metrics
	nanos *big.Int
}

func judge(history []events.Event) verdict {
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
	return v
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

// checkRecord compares a record with the oracle's verdict on the history.
func checkRecord(t rapid.TB, got aggregate.Metrics, history []events.Event) {
	t.Helper()
	want := judge(history)
	if got.CostUSD.Nanos().Cmp(want.nanos) != 0 {
		t.Fatalf("costUSD is %s, want %s nanos\n%s", got.CostUSD, want.nanos, lines(history))
	}
	want.CostUSD = got.CostUSD
	sameRecord(t, got, want.Metrics, lines(history))
}

// sameRecord compares two records field by field.
func sameRecord(t rapid.TB, got, want aggregate.Metrics, context string) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if g, w := g.Field(i), w.Field(i); !reflect.DeepEqual(g.Interface(), w.Interface()) {
			t.Errorf("%s is %v, want %v", reflect.TypeFor[aggregate.Metrics]().Field(i).Name, show(g), show(w))
		}
	}
	if t.Failed() {
		t.Fatalf("%s", context)
	}
}

// show is the value that a pointer points to.
func show(v reflect.Value) any {
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Interface()
}
