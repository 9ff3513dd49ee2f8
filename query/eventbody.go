package query

import "time"

// eventBody describes an event. The contract of events decides what is valid; nothing is read into this.
type eventBody struct {
	Version         *int64        `json:"version" required:"false" enum:"1"`
	ID              string        `json:"id" minLength:"1" maxLength:"128" doc:"Unique per event within its run."`
	Type            string        `json:"type" required:"false" default:"agent.finished" enum:"agent.finished,agent.started,run.started,run.finished,run.reported,executions.voided"`
	CampaignID      string        `json:"campaignId" minLength:"1" maxLength:"64"`
	RunID           string        `json:"runId" minLength:"1" maxLength:"64"`
	Phase           string        `json:"phase" minLength:"1" maxLength:"16"`
	OccurredAt      time.Time     `json:"occurredAt" doc:"From the year 2000 to a day ahead."`
	AgentID         string        `json:"agentId" required:"false" minLength:"1" maxLength:"128" doc:"Required of agent events."`
	Attempt         *int64        `json:"attempt" required:"false" default:"1" minimum:"1" maximum:"1000000"`
	Status          string        `json:"status" required:"false" enum:"succeeded,failed,cancelled" doc:"Required of agent.finished."`
	LatencyMs       *numberSchema `json:"latencyMs" required:"false"`
	TokensIn        *int64        `json:"tokensIn" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	TokensOut       *int64        `json:"tokensOut" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	AssetsGenerated *int64        `json:"assetsGenerated" required:"false" default:"0" minimum:"0" maximum:"1000000000"`
	CostUSD         *costSchema   `json:"costUSD" required:"false"`
	AgentName       *string       `json:"agentName" required:"false" maxLength:"256"`
	Model           *string       `json:"model" required:"false" maxLength:"256"`
	Error           *string       `json:"error" required:"false" maxLength:"2048"`
	AgentsExpected  *int64        `json:"agentsExpected" required:"false" minimum:"1" maximum:"1000000" doc:"Of run.started."`
	Outcome         string        `json:"outcome" required:"false" default:"completed" enum:"completed,failed,cancelled" doc:"Of run.finished."`
	Metrics         *reportBody   `json:"metrics" required:"false" doc:"Of run.reported, required there."`
	Voids           []string      `json:"voids" required:"false" nullable:"false" minItems:"1" maxItems:"1000" doc:"Ids of the events that count nowhere. Of executions.voided, required there."`
	Reason          *string       `json:"reason" required:"false" maxLength:"256" doc:"Of executions.voided."`
}

// exampleEvent is the body that the documentation shows.
const exampleEvent = `{"id":"0191-1","campaignId":"api-test-001","runId":"api-run-001","phase":"2-3",` +
	`"occurredAt":"2026-02-14T14:47:08Z","agentId":"writer","status":"succeeded","latencyMs":38000,"tokensIn":1000,` +
	`"tokensOut":2000,"costUSD":0.002,"assetsGenerated":8}`

// cloudEventBody describes an event in an envelope.
type cloudEventBody struct {
	SpecVersion string         `json:"specversion" enum:"1.0"`
	ID          string         `json:"id" minLength:"1" doc:"The event's, where data has none."`
	Source      string         `json:"source" minLength:"1" doc:"Not looked at."`
	Type        string         `json:"type" minLength:"1" doc:"Not looked at: the event's own type counts."`
	Time        *time.Time     `json:"time" required:"false" doc:"The event's occurredAt, where data has none."`
	Data        map[string]any `json:"data" doc:"The event."`
}
