package publish

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// RunHandle tells of one run, and fills in what all its events need. Its methods may be called by many goroutines. It
// remembers the latest attempt of each agent that was started through it, so let go of it when the run is over.
//
// All methods give the error of Publisher.Publish: then nothing was sent, and the same call may be made again.
type RunHandle struct {
	publisher *Publisher
	key       events.Key

	mu       sync.Mutex
	attempts map[string]int64 // the latest of each agent that was started here
}

// Run is the handle of a run that was started elsewhere: by another process, or by this one before it crashed. It
// publishes nothing.
func (p *Publisher) Run(key events.Key) *RunHandle {
	return &RunHandle{publisher: p, key: key, attempts: make(map[string]int64)}
}

// StartRun publishes run.started. AgentsExpected is how many agents will take part, as far as that is known, else 0: with
// it runmetrics knows by itself when the run is complete, and which agents never reported.
func (p *Publisher) StartRun(ctx context.Context, key events.Key, agentsExpected int) (*RunHandle, error) {
	r := p.Run(key)
	e := r.event(events.RunStarted, uuid.NewString(), time.Now())
	e.AgentsExpected = int64(agentsExpected)
	if err := p.Publish(ctx, &e); err != nil {
		return nil, err
	}
	return r, nil
}

// FinishRun publishes run.finished. Without an outcome it is completed.
func (r *RunHandle) FinishRun(ctx context.Context, outcome events.Outcome) error {
	e := r.event(events.RunFinished, uuid.NewString(), time.Now())
	e.Outcome = outcome
	return r.publisher.Publish(ctx, &e)
}

// Agent says who an agent is. Only ID is required.
type Agent struct {
	ID    string // unique in the run, 1 to 128 characters, and the same at each attempt
	Name  string
	Model string
	// Attempt counts from 1. Where it is 0, StartAgent counts by itself, and AgentFinished takes the latest attempt that
	// was started through this handle, or 1.
	Attempt int64
}

// Result is how an execution of an agent ended. Status is required, and so is the cost where it is known: the zero Cost
// is unknown and not nothing. Dollars makes one.
type Result struct {
	Status          events.Status
	Error           string // of an execution that failed
	TokensIn        int64
	TokensOut       int64
	AssetsGenerated int64
	Cost            events.Cost
}

// Execution is an execution of an agent that the runtime measured itself.
type Execution struct {
	Agent
	Result
	Latency time.Duration
	EndedAt time.Time // now where it is zero
	// EventID is the event's id where the runtime has one that it never uses again, such as that of a span. Otherwise the
	// id is made of the agent's and the attempt.
	EventID string
}

// AgentFinished publishes agent.finished, the event that counts. Told again of the same attempt, by this process or
// another, runmetrics counts it once; if it differs then, the first one counts and the other is kept as a dead letter.
func (r *RunHandle) AgentFinished(ctx context.Context, x Execution) error {
	if x.Attempt == 0 {
		r.mu.Lock()
		x.Attempt = max(r.attempts[x.ID], 1)
		r.mu.Unlock()
	}
	if x.EndedAt.IsZero() {
		x.EndedAt = time.Now()
	}
	if x.EventID == "" {
		x.EventID = executionID(r.key, x.ID, x.Attempt)
	}
	e := r.event(events.AgentFinished, x.EventID, x.EndedAt)
	x.fill(&e)
	e.Status, e.Error, e.LatencyMs = x.Status, x.Error, milliseconds(x.Latency)
	e.TokensIn, e.TokensOut, e.AssetsGenerated, e.Cost = x.TokensIn, x.TokensOut, x.AssetsGenerated, x.Cost
	return r.publisher.Publish(ctx, &e)
}

// event begins an event of the run.
func (r *RunHandle) event(kind events.Type, id string, at time.Time) events.Event {
	return events.Event{Key: r.key, ID: id, Type: kind, OccurredAt: at}
}

func (a *Agent) fill(e *events.Event) {
	e.AgentID, e.AgentName, e.Model, e.Attempt = a.ID, a.Name, a.Model, a.Attempt
}

// milliseconds rounds half up, as the contract does.
func milliseconds(d time.Duration) int64 { return int64(d.Round(time.Millisecond) / time.Millisecond) }
