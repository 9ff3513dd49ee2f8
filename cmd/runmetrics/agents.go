package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// sampleAgents run campaigns that do not exist, so that dev has something to show. What they report is true: a latency
// is the time that passed. They only work faster than real ones.
type sampleAgents struct {
	conn *nats.Conn
	log  *slog.Logger
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
	publisher, err := publish.New(publish.Config{Conn: s.conn})
	if err != nil {
		return err
	}
	defer s.close(publisher)
	campaigns, ctx := errgroup.WithContext(ctx)
	for _, c := range sampleCampaigns {
		campaigns.Go(func() error {
			for ctx.Err() == nil {
				key := events.Key{CampaignID: c.id, RunID: time.Now().UTC().Format("run-20060102-150405.000"), Phase: c.phase}
				if err := conduct(ctx, publisher, key, c.agents/2+rand.IntN(c.agents)); err != nil && ctx.Err() == nil {
					s.log.Warn("sample agents cannot publish", "error", err)
				}
				wait(ctx, time.Duration(2+rand.IntN(8))*time.Second)
			}
			return nil
		})
	}
	return campaigns.Wait()
}

// close waits for a moment only: the broker may end at the same time.
func (s *sampleAgents) close(p *publish.Publisher) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		s.log.Debug("sample agents stopped with events under way", "error", err)
	}
}

// conduct does one run. Now and then an agent never reports.
func conduct(ctx context.Context, p *publish.Publisher, key events.Key, agents int) error {
	run, err := p.StartRun(ctx, key, agents)
	if err != nil {
		return err
	}
	crew, working := errgroup.WithContext(ctx)
	crew.SetLimit(sampleCrew)
	succeeded := make([]bool, agents)
	for agent := range agents {
		crew.Go(func() (err error) {
			succeeded[agent], err = engage(working, run, agent)
			return err
		})
	}
	if err := crew.Wait(); err != nil {
		return err
	}
	outcome := events.OutcomeCompleted
	if lost := agents - count(succeeded); lost > agents/5 {
		outcome = events.OutcomeFailed
	}
	return run.FinishRun(ctx, outcome)
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
func engage(ctx context.Context, run *publish.RunHandle, agent int) (succeeded bool, err error) {
	const attempts = 3
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	role := roles[random.IntN(len(roles))]
	for range attempts {
		execution, err := run.StartAgent(ctx, publish.Agent{ID: fmt.Sprintf("agent-%03d", agent), Name: role.Name, Model: role.Model})
		if err != nil {
			return false, err
		}
		work := role.work(random)
		wait(ctx, work.latency)
		if random.IntN(100) == 0 {
			return false, nil // never heard of again
		}
		succeeded = random.IntN(8) > 0
		if err := execution.Finished(ctx, work.result(succeeded, random)); err != nil || succeeded {
			return succeeded, err
		}
	}
	return false, nil
}

// wait passes the time that something real would take, in haste.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d / sampleHaste):
	case <-ctx.Done():
	}
}
