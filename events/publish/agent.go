package publish

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// ErrFinished is what RunningAgent.Finished returns after its event was accepted. So it may be deferred as a precaution.
var ErrFinished = errors.New("the end of this execution is published already")

// RunningAgent is one execution of an agent, from StartAgent to Finished.
type RunningAgent struct {
	run   *RunHandle
	agent Agent
	began time.Time // on the monotonic clock, too

	mu       sync.Mutex
	ended    time.Time // when Finished was called first
	finished bool
}

// StartAgent publishes agent.started and begins to measure the latency as it returns. An agent that is started again is at
// its next attempt. A process that goes on with a run after a crash has to say the attempt of an agent that it runs
// again, because this one counts from 1.
func (r *RunHandle) StartAgent(ctx context.Context, a Agent) (*RunningAgent, error) {
	r.mu.Lock()
	before := r.attempts[a.ID]
	if a.Attempt == 0 {
		a.Attempt = before + 1
	}
	r.attempts[a.ID] = max(before, a.Attempt)
	r.mu.Unlock()

	e := r.event(events.AgentStarted, uuid.NewString(), time.Now())
	a.fill(&e)
	if err := r.publisher.Publish(ctx, &e); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.attempts[a.ID] == a.Attempt {
			r.attempts[a.ID] = before // it did not start
		}
		return nil, err
	}
	return &RunningAgent{run: r, agent: a, began: time.Now()}, nil
}

// Attempt is which one of the agent this is.
func (a *RunningAgent) Attempt() int64 { return a.agent.Attempt }

// Finished publishes agent.finished with the time since StartAgent as its latency. It does so once.
func (a *RunningAgent) Finished(ctx context.Context, result Result) error {
	a.mu.Lock()
	if a.finished {
		a.mu.Unlock()
		return ErrFinished
	}
	a.finished = true
	if a.ended.IsZero() {
		a.ended = time.Now()
	}
	x := Execution{Agent: a.agent, Result: result, Latency: a.ended.Sub(a.began), EndedAt: a.ended}
	a.mu.Unlock()

	err := a.run.AgentFinished(ctx, x)
	if err != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.finished = false
	}
	return err
}
