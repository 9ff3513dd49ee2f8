package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// panelWorld is a service with runs of all kinds, which browsers look at.
type panelWorld struct {
	*process
	addresses
	js      jetstream.JetStream
	environ map[string]string
	now     time.Time // when the world was made, in whole seconds
}

// newPanelWorld starts a service and publishes what a test is to find: hostile texts, too.
func newPanelWorld(t *testing.T) *panelWorld {
	t.Helper()
	w := startPanelWorld(t, embedded(t))
	w.publishRuns(t)
	return w
}

func startPanelWorld(t *testing.T, environ map[string]string) *panelWorld {
	t.Helper()
	p := startService(t, environ)
	at := p.up(t)
	return &panelWorld{process: p, addresses: at, js: jetStreamAt(t, at.NATS), environ: environ, now: time.Now().UTC().Truncate(time.Second)}
}

// publishRuns publishes runs that completed, failed, were cancelled, run, or were reported; of two phases; of last month.
func (w *panelWorld) publishRuns(t *testing.T) {
	t.Helper()
	for i := range 6 {
		key := events.Key{CampaignID: "spring", RunID: fmt.Sprintf("run-%d", i), Phase: "2-3"}
		w.conduct(t, key, w.now.Add(-time.Duration(6-i)*time.Hour), 24, events.OutcomeCompleted)
	}
	autumn := func(run string) events.Key { return events.Key{CampaignID: "autumn", RunID: run, Phase: "1"} }
	second := events.Key{CampaignID: "spring", RunID: "run-5", Phase: "4"}
	w.conduct(t, second, w.now.Add(-30*time.Minute), 5, events.OutcomeFailed)
	w.conduct(t, autumn("called-off"), w.now.Add(-90*time.Minute), 4, events.OutcomeCancelled)
	w.conduct(t, autumn("last-month"), w.now.Add(-35*24*time.Hour), 3, events.OutcomeCompleted)
	w.conduct(t, autumn("under-way"), w.now.Add(-40*time.Second), 8, "")
	w.tell(t, events.Event{Key: autumn("reported"), Type: events.RunReported, OccurredAt: w.now.Add(-2 * time.Hour),
		Report: &events.Report{AgentsTotal: 12, AgentsSuccessful: 11, AssetsGenerated: 40, TokensIn: 1_234_567,
			TokensOut: 98_765, Cost: 3_480_000_001, LatencyP95Ms: 42_000, LatencyAvgMs: 31_500}})
	w.publishHostile(t)
	w.caughtUp(t)
}

// conduct publishes a run of some agents, which take turns: most succeed, every seventh fails twice and succeeds, every
// eleventh fails for good, one is cancelled, and one tells no cost. Without an outcome the last three still run.
func (w *panelWorld) conduct(t *testing.T, key events.Key, began time.Time, agents int, outcome events.Outcome) {
	t.Helper()
	at := began
	w.tell(t, events.Event{Key: key, Type: events.RunStarted, OccurredAt: at, AgentsExpected: int64(agents)})
	for i := range agents {
		e := events.Event{Key: key, AgentID: fmt.Sprintf("agent-%02d", i), AgentName: "Copywriter", Model: "atlas-large",
			Type: events.AgentStarted, Attempt: 1, OccurredAt: at}
		w.tell(t, e)
		if outcome == "" && i >= agents-3 {
			continue
		}
		at = at.Add(time.Duration(200+137*(i*i%29)) * time.Millisecond)
		e.Type, e.LatencyMs = events.AgentFinished, at.Sub(e.OccurredAt).Milliseconds()
		e.TokensIn, e.TokensOut, e.AssetsGenerated = int64(900+31*i), int64(300+17*i), 1
		e.OccurredAt, e.Status, e.Cost = at, events.Succeeded, events.USD(events.Nanos(1_234_567*(i+1)))
		switch {
		case i%7 == 6:
			for range 2 {
				failed := e
				failed.Status, failed.Error = events.Failed, "the model did not answer in time"
				w.tell(t, failed)
				e.Attempt++
			}
		case i%11 == 10:
			e.Status, e.Error = events.Failed, "output did not match the expected schema"
		case i == 3:
			e.Status = events.Cancelled
		case i == 2:
			e.Cost = events.Cost{}
		}
		w.tell(t, e)
	}
	if outcome != "" {
		w.tell(t, events.Event{Key: key, Type: events.RunFinished, OccurredAt: at.Add(time.Second), Outcome: outcome})
	}
}

// tell publishes an event under an id of its own.
func (w *panelWorld) tell(t *testing.T, e events.Event) {
	t.Helper()
	e.ID = uuid.NewString()
	if _, err := w.js.PublishMsg(t.Context(), eventMessage(&e, events.Encode(&e), events.MessageID(&e))); err != nil {
		t.Fatal(err)
	}
}

// caughtUp waits until everything that was published is committed.
func (w *panelWorld) caughtUp(t *testing.T) {
	t.Helper()
	stream, err := w.js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var state stateOf
	eventually(t, "everything is committed", func() bool {
		get(t, w.API+"/readyz", &state)
		return len(state.Streams) == 1 && state.Streams[0].Position >= info.State.LastSeq
	})
}

// numbers is JSON with its numbers as they are written.
type numbers = map[string]any

// api reads JSON from the API, with its numbers as they are written.
func (w *panelWorld) api(t *testing.T, path string) numbers {
	t.Helper()
	var raw json.RawMessage
	if status := get(t, w.API+path, &raw); status != 200 {
		t.Fatalf("GET %s: %d: %s", path, status, raw)
	}
	return decodeNumbers(t, raw)
}
