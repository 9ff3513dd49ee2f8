package query

import (
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// total is a run over all its phases. Agents are counted per phase: one that worked in two counts twice. A number that
// one of the phases does not know is nil.
type total struct {
	CampaignID string `json:"campaignId"`
	RunID      string `json:"runId"`

	AgentsTotal      int64  `json:"agentsTotal"`
	AgentsSuccessful int64  `json:"agentsSuccessful"`
	AgentsFailed     int64  `json:"agentsFailed"`
	AgentsCancelled  *int64 `json:"agentsCancelled"`
	AgentsRunning    *int64 `json:"agentsRunning"`
	AgentsMissing    *int64 `json:"agentsMissing"`
	AgentsExpected   *int64 `json:"agentsExpected"`
	Executions       *int64 `json:"executions"`

	AssetsGenerated int64           `json:"assetsGenerated"`
	TokensIn        int64           `json:"tokensIn"`
	TokensOut       int64           `json:"tokensOut"`
	CostUSD         aggregate.Money `json:"costUSD"`
	CostComplete    bool            `json:"costComplete"`

	LatencyAvgMs *int64 `json:"latencyAvgMs"`
	LatencyP50Ms *int64 `json:"latencyP50Ms"`
	LatencyP95Ms *int64 `json:"latencyP95Ms"`
	LatencyP99Ms *int64 `json:"latencyP99Ms"`
	LatencyMaxMs *int64 `json:"latencyMaxMs"`

	SuccessRate *aggregate.Percent `json:"successRate"`

	CreatedAt  time.Time  `json:"createdAt"`
	FinishedAt *time.Time `json:"finishedAt" doc:"Null until all phases are closed."`
	UpdatedAt  time.Time  `json:"updatedAt"`
}

// totalOf adds up the records of a run, at least one, as they are stored, and takes the latencies of its agents from the
// pool: the percentiles of phases cannot be added up.
func totalOf(phases []aggregate.Metrics, seen *latencies) (*total, error) {
	zero := func() *int64 { return new(int64) }
	first := &phases[0]
	t := &total{
		CampaignID: first.CampaignID, RunID: first.RunID,
		AgentsCancelled: zero(), AgentsRunning: zero(), AgentsMissing: zero(), AgentsExpected: zero(), Executions: zero(),
		CostComplete: true,
		CreatedAt:    first.CreatedAt, UpdatedAt: first.UpdatedAt, FinishedAt: new(time.Time),
	}
	divisor := int64(0)
	for i := range phases {
		t.add(&phases[i])
		divisor += phases[i].Divisor()
	}
	t.SuccessRate = aggregate.PercentOf(t.AgentsSuccessful, divisor)
	if seen.unknown > 0 {
		return t, nil
	}
	stats, err := seen.stats()
	t.LatencyAvgMs, t.LatencyP50Ms, t.LatencyP95Ms = stats.AvgMs, stats.P50Ms, stats.P95Ms
	t.LatencyP99Ms, t.LatencyMaxMs = stats.P99Ms, stats.MaxMs
	return t, err
}

func (t *total) add(m *aggregate.Metrics) {
	t.AgentsTotal += m.AgentsTotal
	t.AgentsSuccessful += m.AgentsSuccessful
	t.AgentsFailed += m.AgentsFailed
	t.AgentsCancelled = sum(t.AgentsCancelled, m.AgentsCancelled)
	t.AgentsRunning = sum(t.AgentsRunning, m.AgentsRunning)
	t.AgentsMissing = sum(t.AgentsMissing, m.AgentsMissing)
	t.AgentsExpected = sum(t.AgentsExpected, m.AgentsExpected)
	t.Executions = sum(t.Executions, m.Executions)
	t.AssetsGenerated += m.AssetsGenerated
	t.TokensIn += m.TokensIn
	t.TokensOut += m.TokensOut
	t.CostUSD = t.CostUSD.Plus(m.CostUSD)
	t.CostComplete = t.CostComplete && m.CostComplete
	if m.CreatedAt.Before(t.CreatedAt) {
		t.CreatedAt = m.CreatedAt
	}
	if m.UpdatedAt.After(t.UpdatedAt) {
		t.UpdatedAt = m.UpdatedAt
	}
	t.FinishedAt = later(t.FinishedAt, m.FinishedAt)
}

// sum is unknown where one of the two is.
func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	n := *a + *b
	return &n
}

// later is unknown where one of the two is: a phase that is not closed, or that was reported without an end.
func later(a, b *time.Time) *time.Time {
	if a == nil || b == nil {
		return nil
	}
	if b.After(*a) {
		return b
	}
	return a
}
