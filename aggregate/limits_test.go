package aggregate_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// greatest is an execution with the greatest values that the contract allows.
func greatest(i int) events.Event {
	e := finished(fmt.Sprint("e", i), fmt.Sprint("a", i), 1e6, events.Succeeded, 0)
	e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated, e.Cost = 1<<31-1, 1e9, 1e9, 1e9, events.USD(1e15)
	return e
}

// 20,000 executions at a million dollars are more nano-dollars than 64 bits hold.
func TestSumsOfTheGreatestValuesAreExact(t *testing.T) {
	const n = 20_000
	r := fold()
	for i := range n {
		e := greatest(i)
		r.Apply(&e)
	}
	m := r.Metrics()
	if m.TokensIn != n*1e9 || m.TokensOut != n*1e9 || m.AssetsGenerated != n*1e9 || *m.Executions != n {
		t.Errorf("tokens %d and %d, assets %d", m.TokensIn, m.TokensOut, m.AssetsGenerated)
	}
	if want := new(big.Int).Mul(big.NewInt(n), big.NewInt(1e15)); m.CostUSD.Nanos().Cmp(want) != 0 || want.IsInt64() {
		t.Errorf("the cost is %s nanos, want %s", m.CostUSD.Nanos(), want)
	}
	if m.CostUSD.String() != "20000000000" {
		t.Errorf("the cost is %s", m.CostUSD)
	}
	for _, ms := range []*int64{m.LatencyAvgMs, m.LatencyP50Ms, m.LatencyP95Ms, m.LatencyP99Ms, m.LatencyMaxMs} {
		if *ms != 1<<31-1 {
			t.Errorf("a latency is %d", *ms)
		}
	}
}

// Ten cents a hundred times are ten dollars in any order, beside costs that a float would lose them in.
func TestMoneySumsToTheSameInAnyOrder(t *testing.T) {
	var history []events.Event
	for i := range 100 {
		small, great := greatest(2*i), greatest(2*i+1)
		small.Cost = events.USD(100_000_000)
		history = append(history, small, great)
	}
	history[1].Cost = events.USD(1)
	forward := fold(history...).Metrics()
	slices.Reverse(history)
	backward := fold(history...).Metrics()
	if forward.CostUSD != backward.CostUSD || forward.CostUSD.String() != "99000010.000000001" {
		t.Errorf("the cost is %s forward and %s backward", forward.CostUSD, backward.CostUSD)
	}
}

func TestAReportOfTheGreatestValues(t *testing.T) {
	e := runReported("r", 1e9, 1e9, 0)
	e.Report.TokensIn, e.Report.Cost = 1<<53-1, 1e18
	m := fold(e).Metrics()
	if m.TokensIn != 1<<53-1 || m.CostUSD.String() != "1000000000" || *m.SuccessRate != 10_000 {
		t.Errorf("got %+v", m)
	}
}
