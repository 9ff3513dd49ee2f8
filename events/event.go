package events

import "time"

// Version is the contract version that this package speaks.
const Version = 1

// MaxSize is the greatest accepted length of a message's payload in bytes.
const MaxSize = 64 << 10

// Limits of the contract. Lengths count UTF-16 code units: a character beyond the basic plane, such as an emoji, is two.
const (
	MaxID              = 128 // of id, agentId and each of voids
	MaxName            = 64  // of campaignId and runId
	MaxPhase           = 16
	MaxLabel           = 256 // of agentName, model and reason
	MaxError           = 2048
	MaxAttempt         = 1_000_000
	MaxAgents          = 1_000_000     // of agentsExpected
	MaxCount           = 1_000_000_000 // of tokens and assets of an execution, and of agents in a report
	MaxReported        = 1<<53 - 1     // of tokens and assets in a report: what JavaScript counts exactly
	MaxLatencyMs       = 1<<31 - 1
	MaxVoids           = 1000
	MaxCostUSD         = 1_000_000     // of an execution
	MaxReportedCostUSD = 1_000_000_000 // of a report
)

// Type says what an event reports.
type Type string

// The types of contract version 1.
const (
	AgentFinished    Type = "agent.finished" // one execution of an agent ended; the default
	AgentStarted     Type = "agent.started"
	RunStarted       Type = "run.started"
	RunFinished      Type = "run.finished"
	RunReported      Type = "run.reported"      // a runtime that aggregates by itself reports the whole record
	ExecutionsVoided Type = "executions.voided" // these events of the run count nowhere
)

// Status is how an execution ended.
type Status string

// The statuses of an agent.finished event.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
)

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.finished event.
const (
	OutcomeCompleted Outcome = "completed"
	OutcomeFailed    Outcome = "failed"
	OutcomeCancelled Outcome = "cancelled"
)

// Key names a run: the three together, case-sensitive and not normalised.
type Key struct {
	CampaignID string
	RunID      string
	Phase      string
}

// Event is one validated event. Fields that its type does not have are zero.
type Event struct {
	Key
	ID         string // unique among all events of the run
	Type       Type
	OccurredAt time.Time // UTC, whole microseconds

	// agent.started and agent.finished
	AgentID   string
	Attempt   int64 // 1…10^6
	AgentName string
	Model     string
	Error     string

	// agent.finished
	Status          Status
	LatencyMs       int64 // 0…2^31-1
	TokensIn        int64 // 0…10^9
	TokensOut       int64 // 0…10^9
	AssetsGenerated int64 // 0…10^9
	Cost            Cost

	AgentsExpected int64   // run.started: 1…10^6, 0 when not said
	Outcome        Outcome // run.finished
	Report         *Report // run.reported, never nil there
	Voids          []string
	Reason         string
}

// Report is the record that a runtime computed by itself, as POST /api/metrics/campaign takes it.
type Report struct {
	AgentsTotal      int64 // 0…10^9
	AgentsSuccessful int64 // 0…AgentsTotal
	AssetsGenerated  int64 // 0…2^53-1
	TokensIn         int64 // 0…2^53-1
	TokensOut        int64 // 0…2^53-1
	Cost             Nanos // up to 10^9 USD
	LatencyP95Ms     int64 // 0…2^31-1
	LatencyAvgMs     int64 // 0…2^31-1
}
