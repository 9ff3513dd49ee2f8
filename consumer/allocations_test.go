//go:build !race

package consumer

import (
	"fmt"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// What is allocated for each event is paid a million times, and again by the collector. The limits are what it takes today;
// who goes beyond them should know why. The race detector empties pools at random, so this is not for it.
func TestAllocationsOfAnEvent(t *testing.T) {
	for _, test := range []struct {
		agents int     // of each run
		limit  float64 // allocations for an event, from its bytes to the batch that the store is given and what is announced
	}{
		{1, 24}, {10, 6}, {1000, 3},
	} {
		messages := executionsOf(10_000/test.agents, test.agents)
		n := testing.AllocsPerRun(5, func() { foldAll(t, messages) }) / float64(len(messages))
		t.Logf("%4d agents a run: %.2f allocations for an event", test.agents, n)
		if n > test.limit {
			t.Errorf("%d agents a run: %.2f allocations for an event, not %.1f", test.agents, n, test.limit)
		}
	}
}

// executionsOf are messages of so many runs, one agent of each after the other.
func executionsOf(runs, agents int) []events.Message {
	var list []events.Message
	for agent := range agents {
		for run := range runs {
			e := events.Event{
				Key: events.Key{CampaignID: "spring", RunID: fmt.Sprint("run-", run), Phase: "1"}, Type: events.AgentFinished,
				ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", run, agent), AgentID: fmt.Sprint("agent-", agent), Attempt: 1,
				OccurredAt: time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC), AgentName: "Writer", Model: "large",
				Status: events.Succeeded, LatencyMs: int64(agent * 7919 % 60_000), TokensIn: 900, Cost: events.USD(12_345_678),
			}
			list = append(list, events.Message{Subject: events.Subject(e.CampaignID, e.RunID), Data: events.Encode(&e)})
		}
	}
	return list
}

// foldAll does what becomes of messages up to the commit of all of them, and after it.
func foldAll(t *testing.T, messages []events.Message) {
	t.Helper()
	inbox, b, cache := new(inbox), newBatch(new(batch)), newCache()
	for i, m := range messages {
		it := inbox.newItem()
		it.sequence = uint64(i + 1)
		it.rejected = events.DecodeTo(&it.event, m)
		b.fold(it, cache)
	}
	b.seal(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	commit := b.commit(sinks.Position{Stream: "RUN_EVENTS", Epoch: 1})
	if commit.Next.Applied != int64(len(messages)) {
		t.Fatalf("%d of %d events were applied", commit.Next.Applied, len(messages))
	}
	if _, err := (Changed{}).append(nil, commit.Runs); err != nil {
		t.Fatal(err)
	}
}
