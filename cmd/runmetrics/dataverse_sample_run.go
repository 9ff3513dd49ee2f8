package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

const (
	// sampleCampaign has all sample runs.
	sampleCampaign = "runmetrics-test"
	// lastVoid is how long voiding a sample may take that nobody waits for any more.
	lastVoid = 5 * time.Second
)

// newSampleKey names a run that there never was.
func newSampleKey() events.Key {
	return events.Key{CampaignID: sampleCampaign, RunID: time.Now().UTC().Format("20060102-150405-") + uuid.NewString()[:8],
		Phase: "sample"}
}

// publish sends the run as its agents would: two of them, both of which succeed.
func (s *sample) publish(ctx context.Context) (string, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	agent := func(id string, after time.Duration, cost events.Nanos) events.Event {
		return events.Event{Type: events.AgentFinished, OccurredAt: now.Add(after), AgentID: id, Attempt: 1, Model: "sample",
			Status: events.Succeeded, LatencyMs: after.Milliseconds(), TokensIn: 1200, TokensOut: 340, AssetsGenerated: 1,
			Cost: events.USD(cost)}
	}
	run := []events.Event{
		{Type: events.RunStarted, OccurredAt: now, AgentsExpected: 2},
		agent("first", 1200*time.Millisecond, 12_340_000),
		agent("second", 1850*time.Millisecond, 2_345_000),
		{Type: events.RunFinished, OccurredAt: now.Add(2 * time.Second), Outcome: events.OutcomeCompleted},
	}
	for i := range run {
		if err := s.tell(ctx, run[i]); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d events into %s, the last is number %d", len(s.sent), s.ack.Stream, s.ack.Sequence), nil
}

// tell publishes an event of the run.
func (s *sample) tell(ctx context.Context, e events.Event) error {
	e.Key, e.ID = s.key, uuid.NewString()
	s.sent = append(s.sent, e) // whatever the answer: the stream may have it
	ack, err := s.js.PublishMsg(ctx, eventMessage(&e, events.Encode(&e), events.MessageID(&e)))
	if err != nil {
		return publish.Explain(err)
	}
	s.ack = ack
	return nil
}

// void takes everything out of the run's numbers but that it has finished: a run that is over is sent at once, and never
// looks stalled.
func (s *sample) void(ctx context.Context) error {
	void := events.Event{Type: events.ExecutionsVoided, OccurredAt: time.Now().UTC().Truncate(time.Microsecond),
		Reason: "sample of runmetrics dataverse test"}
	for _, e := range s.sent {
		if e.Type != events.RunFinished {
			void.Voids = append(void.Voids, e.ID)
		}
	}
	return s.tell(ctx, void)
}

// removedSample tells whether a run is a sample that was removed: nobody misses its row.
func removedSample(m *aggregate.Metrics) bool {
	return m.CampaignID == sampleCampaign && m.AgentsTotal == 0 && m.Executions != nil && *m.Executions == 0
}

// abandon makes a sample that did not arrive count nothing, whenever it does.
func (s *sample) abandon(ctx context.Context, failure error) error {
	if s.keep || len(s.sent) == 0 {
		return failure
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastVoid)
	defer cancel()
	if err := s.void(ctx); err != nil {
		return fmt.Errorf("%w; the sample run %s may still come, and could not be voided: %w", failure, s.key.RunID, err)
	}
	return fmt.Errorf("%w (run %s of campaign %s is voided in the stream: it may still come, and counts nothing; "+
		"its row would be %s)", failure, s.key.RunID, s.key.CampaignID, s.key.UUID())
}
