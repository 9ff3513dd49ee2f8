package query

import (
	"cmp"
	"slices"
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

	AssetsGenerated int64     `json:"assetsGenerated" doc:"Of the final execution."`
	Error           *string   `json:"error"`
	OccurredAt      time.Time `json:"occurredAt" doc:"Of the final execution, else of the start."`

	final, start *events.Event // the latest of each that counts, nil without any
}

// agentsOf derives the agents of one phase from its applied events, sorted by agent id. It counts as aggregate.Run does:
// a voided event counts nowhere, and the execution with the highest attempt is an agent's final one.
func agentsOf(phase string, applied []events.Event) []agent {
	voided := voidedIDs(applied)
	byID := map[string]*agent{}
	for i := range applied {
		e := &applied[i]
		if e.Type != events.AgentStarted && e.Type != events.AgentFinished || voided[e.ID] {
			continue
		}
		a := byID[e.AgentID]
		if a == nil {
			a = &agent{Phase: phase, AgentID: e.AgentID, CostComplete: true}
			byID[e.AgentID] = a
		}
		a.count(e)
	}
	agents := make([]agent, 0, len(byID))
	for _, a := range byID {
		a.conclude()
		agents = append(agents, *a)
	}
	slices.SortFunc(agents, func(a, b agent) int { return cmp.Compare(a.AgentID, b.AgentID) })
	return agents
}

// voidedIDs are the ids that count nowhere. A void names events that came before or after it; it cannot be voided
// itself, so every one of them holds.
func voidedIDs(applied []events.Event) map[string]bool {
	ids := map[string]bool{}
	for i := range applied {
		for _, id := range applied[i].Voids {
			ids[id] = true
		}
	}
	return ids
}

// count adds an event of the agent.
func (a *agent) count(e *events.Event) {
	if e.Type == events.AgentStarted {
		if a.start == nil || supersedes(e, a.start) {
			a.start = e
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
		a.final = e
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
		a.LatencyMs = &a.final.LatencyMs
		a.AssetsGenerated = a.final.AssetsGenerated
	}
	name, model := decisive.AgentName, decisive.Model
	if a.start != nil {
		name, model = cmp.Or(name, a.start.AgentName), cmp.Or(model, a.start.Model)
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
