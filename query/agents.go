package query

import (
	"cmp"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// agentRunning is the status of an agent that started and has no execution yet.
const agentRunning = "running"

// agent is what became of one agent in one phase, as the API shows it.
type agent struct {
	Phase     string  `json:"phase"`
	AgentID   string  `json:"agentId"`
	AgentName *string `json:"agentName"`
	Model     *string `json:"model"`
	Status    string  `json:"status" enum:"running,succeeded,failed,cancelled"`
	Attempts  int64   `json:"attempts" doc:"Executions, the failed and repeated ones too."`
	LatencyMs *int64  `json:"latencyMs" doc:"Of the final execution."`

	TokensIn     int64           `json:"tokensIn" doc:"Over all executions, as tokensOut and costUSD."`
	TokensOut    int64           `json:"tokensOut"`
	CostUSD      aggregate.Money `json:"costUSD"`
	CostComplete bool            `json:"costComplete"`

	AssetsGenerated int64      `json:"assetsGenerated" doc:"Of the final execution."`
	Error           *string    `json:"error"`
	OccurredAt      time.Time  `json:"occurredAt" doc:"Of the final execution, else of the start."`
	StartedAt       *time.Time `json:"startedAt" doc:"Of the latest start, null where none was published."`
	FinishedAt      *time.Time `json:"finishedAt" doc:"Of the final execution, null while there is none."`

	final, start *events.Event // the latest of each that counts, nil without any
}

// count adds an event of the agent. The event is copied where it is kept.
func (a *agent) count(e *events.Event) {
	if e.Type == events.AgentStarted {
		if a.start == nil || supersedes(e, a.start) {
			kept := *e
			a.start = &kept
		}
		return
	}
	a.Attempts++
	a.TokensIn += e.TokensIn
	a.TokensOut += e.TokensOut
	if e.Cost.Known {
		a.CostUSD = a.CostUSD.Add(e.Cost.Nanos)
	} else {
		a.CostComplete = false
	}
	if a.final == nil || supersedes(e, a.final) {
		kept := *e
		a.final = &kept
	}
}

// supersedes is the order of an agent's executions: attempt, then occurredAt, then id.
func supersedes(e, than *events.Event) bool {
	return cmp.Or(
		cmp.Compare(e.Attempt, than.Attempt),
		e.OccurredAt.Compare(than.OccurredAt),
		cmp.Compare(e.ID, than.ID),
	) > 0
}

// conclude fills what the final execution says, and what only the start said.
func (a *agent) conclude() {
	decisive := a.final
	if decisive == nil {
		decisive, a.Status = a.start, agentRunning
	} else {
		a.Status = string(a.final.Status)
		a.LatencyMs, a.FinishedAt = &a.final.LatencyMs, &a.final.OccurredAt
		a.AssetsGenerated = a.final.AssetsGenerated
	}
	name, model := decisive.AgentName, decisive.Model
	if a.start != nil {
		name, model = cmp.Or(name, a.start.AgentName), cmp.Or(model, a.start.Model)
		a.StartedAt = &a.start.OccurredAt
	}
	a.AgentName, a.Model, a.Error = known(name), known(model), known(decisive.Error)
	a.OccurredAt = decisive.OccurredAt
}

// known is nil for an empty text: the contract does not tell it from an absent one.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
