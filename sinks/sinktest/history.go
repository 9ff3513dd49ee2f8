package sinktest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// newRandom makes a source whose seed is printed when the test fails.
func newRandom(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("RUNMETRICS_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("RUNMETRICS_TEST_SEED: %v", err)
		}
	}
	t.Logf("RUNMETRICS_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// awkward texts are valid in every field that takes free text. Those without control characters are valid as names too.
var (
	awkwardNames = []string{"plain", `quo"te`, `back\slash`, `it''s; DROP TABLE x --`, "🚀 a/b.c%41", "e\u0301 vs é",
		"\u2028\u2029",
		"$1 ? :x @y", "\ufeffbom", " blank ", "\U0010FFFF\uFFFD", "['a', {}]", "<script>&amp;"}
	awkwardTexts = append([]string{"", "line\nline\r\n\ttab", "\x01\x1f\x7f", "rate limit\u2028retry\u2029"}, awkwardNames...)
)

// epoch is the time around which the suite's events occur.
var epoch = time.Date(2026, 2, 14, 14, 47, 8, 35_001_000, time.UTC)

var outcomes = []events.Outcome{events.OutcomeCompleted, events.OutcomeFailed, events.OutcomeCancelled}

// key names a run of the suite.
func key(run string) events.Key {
	return events.Key{CampaignID: "campaign", RunID: run, Phase: "1"}
}

// execution is a plain agent.finished event.
func execution(key events.Key, id string) events.Event {
	return events.Event{Key: key, ID: id, Type: events.AgentFinished, OccurredAt: epoch, AgentID: "agent-" + id,
		Attempt: 1, Status: events.Succeeded, LatencyMs: 1200, TokensIn: 1000, TokensOut: 200, AssetsGenerated: 1,
		Cost: events.USD(12_500_000)}
}

// executions are n plain ones with ids from first on.
func executions(key events.Key, first, n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = execution(key, strconv.Itoa(first+i))
	}
	return list
}

// history makes random events of a few runs, with retries, late and repeated events, voids, reports and ties in time.
type history struct {
	*rand.Rand
	keys []events.Key
	made []events.Event
}

func newHistory(t testing.TB, runs int) *history {
	h := &history{Rand: newRandom(t)}
	for i := range runs {
		h.keys = append(h.keys, events.Key{CampaignID: fmt.Sprintf("c%d", i%3), RunID: fmt.Sprintf("r%d", i/3),
			Phase: fmt.Sprint(h.IntN(2))})
	}
	return h
}

// take makes the next n events.
func (h *history) take(n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = h.next()
	}
	return list
}

func (h *history) next() events.Event {
	if len(h.made) > 0 && h.IntN(20) == 0 {
		return h.made[h.IntN(len(h.made))]
	}
	e := events.Event{Key: h.keys[h.IntN(len(h.keys))], ID: fmt.Sprintf("e%d", len(h.made)),
		OccurredAt: epoch.Add(time.Duration(h.IntN(40)) * 250 * time.Millisecond)}
	switch n := h.IntN(100); {
	case n < 70:
		h.finished(&e)
	case n < 82:
		e.Type, e.AgentID, e.Attempt, e.Error = events.AgentStarted, h.agent(), 1, h.text()
	case n < 87:
		e.Type, e.AgentsExpected = events.RunStarted, int64(h.IntN(8))
	case n < 90:
		e.Type, e.Outcome = events.RunFinished, outcomes[h.IntN(3)]
	case n < 94:
		h.reported(&e)
	default:
		e.Type, e.Reason = events.ExecutionsVoided, h.text()
		for range 1 + h.IntN(3) { // some are yet to come, some are of other runs
			e.Voids = append(e.Voids, fmt.Sprintf("e%d", h.IntN(len(h.made)+20)))
		}
	}
	h.made = append(h.made, e)
	return e
}

func (h *history) agent() string { return awkwardNames[h.IntN(7)] }
func (h *history) text() string  { return awkwardTexts[h.IntN(len(awkwardTexts))] }

func (h *history) finished(e *events.Event) {
	e.Type, e.AgentID, e.Attempt = events.AgentFinished, h.agent(), int64(1+h.IntN(3))
	e.Status = []events.Status{events.Succeeded, events.Succeeded, events.Failed, events.Cancelled}[h.IntN(4)]
	e.LatencyMs, e.TokensIn, e.TokensOut = int64(h.IntN(30)*100), int64(h.IntN(5000)), int64(h.IntN(500))
	e.AssetsGenerated = int64(h.IntN(4))
	if h.IntN(8) > 0 {
		e.Cost = events.USD(events.Nanos(h.Int64N(3_000_000_000)))
	}
	e.AgentName, e.Model, e.Error = h.text(), h.text(), h.text()
}

func (h *history) reported(e *events.Event) {
	total := int64(h.IntN(10))
	e.Type = events.RunReported
	e.Report = &events.Report{AgentsTotal: total, AgentsSuccessful: h.Int64N(total + 1), AssetsGenerated: int64(h.IntN(100)),
		TokensIn: h.Int64N(1 << 53), TokensOut: int64(h.IntN(100))}
	if h.IntN(2) == 0 {
		e.Report.Cost = events.Nanos(h.Int64N(1e18))
		e.Report.LatencyAvgMs = int64(h.IntN(1000))
		e.Report.LatencyP95Ms = int64(h.IntN(5000))
	}
}
