package aggregate_test

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

var (
	key   = events.Key{CampaignID: "c", RunID: "r", Phase: "2-3"}
	start = time.Date(2026, 2, 14, 12, 0, 0, 0, time.UTC)
)

// after is a time so many seconds after the start of the history.
func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// fold applies events to a new run.
func fold(history ...events.Event) *aggregate.Run {
	r := aggregate.NewRun(key)
	for i := range history {
		r.Apply(&history[i])
	}
	return r
}

// lines prints a history for a failure.
func lines(history []events.Event) string {
	var b strings.Builder
	for i := range history {
		fmt.Fprintf(&b, "%s\n", events.Encode(&history[i]))
	}
	return b.String()
}

// weighted makes executions the most frequent type and all others frequent enough to meet.
var weighted = []events.Type{events.AgentFinished, events.AgentFinished, events.AgentFinished, events.AgentFinished,
	events.AgentFinished, events.AgentStarted, events.RunStarted, events.RunFinished, events.RunReported, events.ExecutionsVoided}

// histories draws the events of a run, each id once, in no order. There are few agents, attempts and times, so that they
// collide; voids name ids that are there, that come later, that never come, and other voids.
func histories() *rapid.Generator[[]events.Event] {
	return rapid.Custom(func(t *rapid.T) []events.Event {
		ids := make([]string, 40)
		for i := range ids {
			ids[i] = fmt.Sprintf("e%02d", i)
		}
		ids = rapid.Permutation(ids).Draw(t, "ids")
		list := make([]events.Event, rapid.IntRange(1, 30).Draw(t, "length"))
		// Some histories have one type only, or lack executions altogether.
		types := rapid.SliceOfNDistinct(rapid.SampledFrom(weighted), 1, 6, rapid.ID).Draw(t, "types")
		for i := range list {
			list[i] = event(t, ids[i], rapid.SampledFrom(weighted).Filter(func(of events.Type) bool {
				for _, allowed := range types {
					if of == allowed {
						return true
					}
				}
				return false
			}).Draw(t, "type"))
		}
		return list
	})
}

// event draws one event of the given type.
func event(t *rapid.T, id string, of events.Type) events.Event {
	e := events.Event{Key: key, ID: id, Type: of, OccurredAt: after(rapid.IntRange(0, 4).Draw(t, "at"))}
	count := rapid.SampledFrom([]int64{0, 1, 7, 1e9})
	switch of {
	case events.AgentFinished:
		e.Status = rapid.SampledFrom([]events.Status{events.Succeeded, events.Failed, events.Cancelled}).Draw(t, "status")
		e.LatencyMs = rapid.SampledFrom([]int64{0, 1, 2, 3, 500, 501, 1<<31 - 1}).Draw(t, "latency")
		e.TokensIn, e.TokensOut, e.AssetsGenerated = count.Draw(t, "in"), count.Draw(t, "out"), count.Draw(t, "assets")
		e.Cost = cost(t, 1e15)
		fallthrough
	case events.AgentStarted:
		e.AgentID = rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "agent")
		e.Attempt = rapid.Int64Range(1, 3).Draw(t, "attempt")
	case events.RunStarted:
		e.AgentsExpected = rapid.Int64Range(0, 5).Draw(t, "expected")
	case events.RunFinished:
		e.Outcome = rapid.SampledFrom([]events.Outcome{events.OutcomeCompleted, events.OutcomeFailed,
			events.OutcomeCancelled}).Draw(t, "outcome")
	case events.RunReported:
		e.Report = report(t)
	case events.ExecutionsVoided:
		e.Voids = rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 40), func(n int) string { return fmt.Sprintf("e%02d", n) }), 1, 4).Draw(t, "voids")
		e.Reason = rapid.SampledFrom([]string{"", "test"}).Draw(t, "reason")
	}
	return e
}

func cost(t *rapid.T, most events.Nanos) events.Cost {
	if rapid.Bool().Draw(t, "costKnown") {
		return events.USD(rapid.SampledFrom([]events.Nanos{0, 1, 59_133_500, most}).Draw(t, "cost"))
	}
	return events.Cost{}
}

func report(t *rapid.T) *events.Report {
	total := rapid.SampledFrom([]int64{0, 3, 1e9}).Draw(t, "total")
	p := &events.Report{AgentsTotal: total, AgentsSuccessful: rapid.Int64Range(0, total).Draw(t, "successful"), Cost: cost(t, 1e18).Nanos}
	p.AssetsGenerated = rapid.SampledFrom([]int64{0, 1<<53 - 1}).Draw(t, "assets")
	p.TokensIn, p.TokensOut = p.AssetsGenerated, 5
	p.LatencyAvgMs, p.LatencyP95Ms = rapid.Int64Range(0, 1<<31-1).Draw(t, "average"), 0
	return p
}
