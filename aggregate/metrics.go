package aggregate

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// Status is the state of a run as it is stored. Everything but Running is closed. Stalled is never stored.
type Status string

// The statuses of a run.
const (
	Running   Status = "running"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Stalled   Status = "stalled" // shown instead of running, worked out when read
)

// Source says where the numbers of a record come from.
type Source string

// The sources of a record.
const (
	FromEvents Source = "events"
	FromReport Source = "reported"
)

// Metrics is the record of one run: CampaignMetrics. Pointers are nil where the number is unknown or has no meaning.
// Its JSON is what the API shows.
type Metrics struct {
	CampaignID string    `json:"campaignId"`
	RunID      string    `json:"runId"`
	Phase      string    `json:"phase"`
	RunKey     uuid.UUID `json:"runKey"`
	Status     Status    `json:"status"`
	Source     Source    `json:"source"`

	AgentsTotal      int64  `json:"agentsTotal"`
	AgentsSuccessful int64  `json:"agentsSuccessful"`
	AgentsFailed     int64  `json:"agentsFailed"`
	AgentsCancelled  *int64 `json:"agentsCancelled"`
	AgentsRunning    *int64 `json:"agentsRunning"`
	AgentsMissing    *int64 `json:"agentsMissing"`
	AgentsExpected   *int64 `json:"agentsExpected"`
	Executions       *int64 `json:"executions"`

	AssetsGenerated int64 `json:"assetsGenerated"`
	TokensIn        int64 `json:"tokensIn"`
	TokensOut       int64 `json:"tokensOut"`
	CostUSD         Money `json:"costUSD"`      // over the executions whose cost is known
	CostComplete    bool  `json:"costComplete"` // every execution had a cost

	LatencyAvgMs *int64 `json:"latencyAvgMs"`
	LatencyP50Ms *int64 `json:"latencyP50Ms"`
	LatencyP95Ms *int64 `json:"latencyP95Ms"`
	LatencyP99Ms *int64 `json:"latencyP99Ms"`
	LatencyMaxMs *int64 `json:"latencyMaxMs"`

	SuccessRate *Percent `json:"successRate"`

	CreatedAt  time.Time  `json:"createdAt"`
	FinishedAt *time.Time `json:"finishedAt"`
	UpdatedAt  time.Time  `json:"updatedAt"` // when it was committed
	Version    int64      `json:"version"`   // how many commits changed the run
}

// Key returns the names of the run.
func (m *Metrics) Key() events.Key {
	return events.Key{CampaignID: m.CampaignID, RunID: m.RunID, Phase: m.Phase}
}

// Divisor is what the success rate is divided by: agents with an outcome that is not cancelled, and once the run is closed
// all that were not cancelled. Status must be as it is stored, or Stalled.
func (m *Metrics) Divisor() int64 {
	switch {
	case m.Status == Running || m.Status == Stalled:
		return m.AgentsSuccessful + m.AgentsFailed
	case m.AgentsCancelled == nil:
		return m.AgentsTotal
	}
	return m.AgentsTotal - *m.AgentsCancelled
}

// Percent is hundredths of a percent, 0…10000: 66.67 % is 6667.
type Percent int64

// PercentOf is 100·part/whole rounded half up to two decimals, nil when whole is 0.
func PercentOf(part, whole int64) *Percent {
	if whole == 0 {
		return nil
	}
	p := Percent((2*10_000*part + whole) / (2 * whole))
	return &p
}

// MarshalJSON writes the percentage as a number without trailing zeros: 66.67, 100.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalJSON reads what MarshalJSON writes, exactly.
func (p *Percent) UnmarshalJSON(b []byte) error {
	m, err := ParseMoney(string(b)) // a decimal is a decimal
	if err != nil {
		return err
	}
	if m.hi > 0 || m.lo%nanosPerHundredth > 0 || m.lo/nanosPerHundredth > 10_000 {
		return strconv.ErrRange
	}
	*p = Percent(m.lo / nanosPerHundredth)
	return nil
}

// nanosPerHundredth is a hundredth in the unit of Money.
const nanosPerHundredth = uint64(events.NanosPerUSD / 100)

// String writes the percentage without trailing zeros.
func (p Percent) String() string { return events.Nanos(int64(p) * int64(nanosPerHundredth)).String() }

// Metrics computes the record from all events applied so far. UpdatedAt and Version are the committer's to set.
func (r *Run) Metrics() Metrics {
	r.settle()
	m := Metrics{
		CampaignID: r.key.CampaignID, RunID: r.key.RunID, Phase: r.key.Phase, RunKey: r.uuid,
		CreatedAt: time.UnixMicro(r.sums.firstAt).UTC(),
	}
	if r.sums.executions == 0 && r.sums.report != nil {
		r.fillReported(&m)
	} else {
		r.fillCounted(&m)
	}
	if m.Status != Running {
		m.FinishedAt = r.finishedAt()
	}
	return m
}

// fillReported takes over what a runtime computed by itself. What it did not say stays nil.
func (r *Run) fillReported(m *Metrics) {
	p := r.sums.report.Report
	m.Status, m.Source = Completed, FromReport
	m.AgentsTotal, m.AgentsSuccessful, m.AgentsFailed = p.AgentsTotal, p.AgentsSuccessful, p.AgentsTotal-p.AgentsSuccessful
	m.AssetsGenerated, m.TokensIn, m.TokensOut = p.AssetsGenerated, p.TokensIn, p.TokensOut
	m.CostUSD, m.CostComplete = Money{}.Add(p.Cost), true
	m.LatencyP95Ms, m.LatencyAvgMs = ptr(p.LatencyP95Ms), ptr(p.LatencyAvgMs)
	m.SuccessRate = PercentOf(p.AgentsSuccessful, m.Divisor())
}

// counted are the numbers of a record that may be nil. Together they take one allocation, and records are made for each
// run of each commit.
type counted struct {
	cancelled, running, missing, expected, executions int64
	latencies                                         struct{ avg, p50, p95, p99, max int64 }
}

func (r *Run) fillCounted(m *Metrics) {
	s, n := &r.sums, new(counted)
	m.Source = FromEvents
	m.Status = r.status()
	m.AgentsTotal = s.seen
	if n.expected = r.agentsExpected(); n.expected > 0 {
		m.AgentsExpected = &n.expected
		if m.Status != Running {
			m.AgentsTotal = max(s.seen, n.expected)
		}
		n.missing = max(0, n.expected-s.seen)
	}
	n.cancelled, n.running, n.executions = s.cancelled, s.seen-(s.succeeded+s.failed+s.cancelled), s.executions
	m.AgentsSuccessful, m.AgentsFailed, m.AgentsCancelled = s.succeeded, s.failed, &n.cancelled
	m.AgentsRunning, m.AgentsMissing, m.Executions = &n.running, &n.missing, &n.executions
	m.AssetsGenerated, m.TokensIn, m.TokensOut = s.assets, s.tokensIn, s.tokensOut
	m.CostUSD, m.CostComplete = s.cost, s.withoutCost == 0
	if s.latencies.count > 0 {
		l := &n.latencies
		l.avg, l.max = s.latencies.average(), s.latencies.at(s.latencies.count)
		l.p50, l.p95, l.p99 = s.latencies.percentile(50), s.latencies.percentile(95), s.latencies.percentile(99)
		m.LatencyAvgMs, m.LatencyMaxMs = &l.avg, &l.max
		m.LatencyP50Ms, m.LatencyP95Ms, m.LatencyP99Ms = &l.p50, &l.p95, &l.p99
	}
	m.SuccessRate = PercentOf(s.succeeded, m.Divisor())
}

// status follows run.finished; without one, a run is complete when as many agents as expected succeeded or were
// cancelled. One that failed may still be retried.
func (r *Run) status() Status {
	if r.sums.finished != nil {
		return Status(r.sums.finished.Outcome)
	}
	if expected := r.agentsExpected(); expected > 0 && r.sums.succeeded+r.sums.cancelled >= expected {
		return Completed
	}
	return Running
}

func (r *Run) agentsExpected() int64 {
	if r.sums.started == nil {
		return 0
	}
	return r.sums.started.AgentsExpected
}

// finishedAt is when run.finished says, else when the last final execution ended, else nil.
func (r *Run) finishedAt() *time.Time {
	if r.sums.finished != nil {
		at := r.sums.finished.OccurredAt
		return &at
	}
	if r.sums.succeeded+r.sums.failed+r.sums.cancelled == 0 {
		return nil
	}
	at := time.UnixMicro(r.lastFinalAt()).UTC()
	return &at
}

func ptr[T any](v T) *T { return &v }
