package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
)

// sampleAgents run campaigns that do not exist, so that dev has something to show. What they report is true: a latency
// is the time that passed. They only work faster than real ones.
type sampleAgents struct {
	js  jetstream.JetStream
	log *slog.Logger
}

const (
	// sampleHaste divides the times that agents and pauses take: a run takes about half a minute.
	sampleHaste = 3
	// sampleCrew is how many agents of a run work at once.
	sampleCrew = 4
)

// sampleCampaigns are under way at once, each one run after the other.
var sampleCampaigns = []struct {
	id, phase string
	agents    int // of a run, on average
}{
	{"spring-launch", "2-3", 36},
	{"partner-outreach", "1-2", 24},
	{"weekly-newsletter", "publish", 12},
}

// Run works until the context ends.
func (s *sampleAgents) Run(ctx context.Context) error {
	campaigns, ctx := errgroup.WithContext(ctx)
	for _, c := range sampleCampaigns {
		campaigns.Go(func() error {
			for ctx.Err() == nil {
				key := events.Key{CampaignID: c.id, RunID: time.Now().UTC().Format("run-20060102-150405.000"), Phase: c.phase}
				s.conduct(ctx, key, c.agents/2+rand.IntN(c.agents))
				wait(ctx, time.Duration(2+rand.IntN(8))*time.Second)
			}
			return nil
		})
	}
	return campaigns.Wait()
}

// conduct does one run. Now and then an agent never reports.
func (s *sampleAgents) conduct(ctx context.Context, key events.Key, agents int) {
	s.tell(ctx, events.Event{Key: key, Type: events.RunStarted, AgentsExpected: int64(agents)})
	var crew errgroup.Group
	crew.SetLimit(sampleCrew)
	failed := make([]bool, agents)
	for agent := range agents {
		if ctx.Err() != nil {
			break
		}
		crew.Go(func() error {
			failed[agent] = !s.engage(ctx, key, agent)
			return nil
		})
	}
	_ = crew.Wait() // its functions return nil
	outcome := events.OutcomeCompleted
	if lost := count(failed); lost > agents/5 {
		outcome = events.OutcomeFailed
	}
	s.tell(ctx, events.Event{Key: key, Type: events.RunFinished, Outcome: outcome})
}

func count(list []bool) int {
	n := 0
	for _, set := range list {
		if set {
			n++
		}
	}
	return n
}

// engage lets an agent work, up to three times, and tells whether it succeeded.
func (s *sampleAgents) engage(ctx context.Context, key events.Key, agent int) bool {
	const attempts = 3
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	role := roles[random.IntN(len(roles))]
	e := events.Event{Key: key, AgentID: fmt.Sprintf("agent-%03d", agent), AgentName: role.Name, Model: role.Model}
	for e.Attempt = 1; e.Attempt <= attempts; e.Attempt++ {
		e.Type = events.AgentStarted
		s.tell(ctx, e)
		work := role.work(random)
		began := time.Now()
		wait(ctx, work.latency)
		if ctx.Err() != nil || random.IntN(100) == 0 {
			return false // never heard of again
		}
		work.latency = time.Since(began)
		done := e
		done.Type = events.AgentFinished
		work.fill(&done)
		failed := random.IntN(8) == 0
		if failed {
			work.fail(&done, random)
		}
		s.tell(ctx, done)
		if !failed {
			return true
		}
	}
	return false
}

// tell publishes an event as a runtime would. A broker that is away costs the event: agents here have no outbox.
func (s *sampleAgents) tell(ctx context.Context, e events.Event) {
	e.ID, e.OccurredAt = uuid.NewString(), time.Now().UTC().Truncate(time.Microsecond)
	_, err := s.js.PublishMsg(ctx, eventMessage(&e, events.Encode(&e), events.MessageID(&e)))
	if err != nil && ctx.Err() == nil {
		s.log.Warn("sample agent cannot publish", "error", err)
	}
}

// wait passes the time that something real would take, in haste.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d / sampleHaste):
	case <-ctx.Done():
	}
}
