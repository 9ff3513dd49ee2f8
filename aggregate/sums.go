package aggregate

import (
	"math"

	"github.com/apexsalesai/runmetrics/events"
)

// sums is what the counted events of a run add up to.
type sums struct {
	firstAt int64 // earliest occurredAt of any counted event, microseconds

	// over all executions: money spent on a failed attempt is spent
	executions, withoutCost int64
	tokensIn, tokensOut     int64 // 10^9 for each of 2^33 executions fit
	cost                    Money

	// over the final executions
	assets                       int64
	succeeded, failed, cancelled int64
	latencies                    latencies // of those not cancelled
	lastFinalAt                  int64     // latest occurredAt, microseconds
	lastFinalStale               bool      // the latest one was replaced by an earlier one

	seen int64 // agents started or finished

	// the latest by occurredAt, then by id, of its type
	started, finished, report *events.Event
}

func newSums() sums { return sums{firstAt: math.MaxInt64, lastFinalAt: math.MinInt64} }

// count adds one entry to the sums.
func (r *Run) count(at int32) {
	e, s := &r.entries[at], &r.sums
	s.firstAt = min(s.firstAt, e.at)
	switch e.kind {
	case kindOther:
		r.countOther(&r.others[e.other])
	case kindStarted:
		a := &r.agents[e.agent]
		if !a.started && a.final < 0 {
			s.seen++
		}
		a.started = true
	default:
		s.executions++
		s.tokensIn += int64(e.tokens[0])
		s.tokensOut += int64(e.tokens[1])
		if e.cost < 0 {
			s.withoutCost++
		} else {
			s.cost = s.cost.Add(e.cost)
		}
		r.countFinal(at)
	}
}

// countFinal lets the execution decide its agent's outcome if its attempt is the highest.
func (r *Run) countFinal(at int32) {
	e := &r.entries[at]
	a := &r.agents[e.agent]
	switch {
	case a.final < 0:
		if !a.started {
			r.sums.seen++
		}
	case supersedes(e, &r.entries[a.final]):
		r.dropFinal(&r.entries[a.final], e.at)
	default:
		return
	}
	a.final = at
	s := &r.sums
	s.assets += int64(e.assets)
	s.lastFinalAt = max(s.lastFinalAt, e.at)
	*s.outcome(e.kind)++
	if e.kind != kindCancelled {
		s.latencies.add(e.latency)
		r.changed(e.latency)
	}
}

// supersedes is the order of an agent's executions: attempt, then occurredAt, then id. It does not know of arrival.
func supersedes(e, than *entry) bool {
	if e.attempt != than.attempt {
		return e.attempt > than.attempt
	}
	if e.at != than.at {
		return e.at > than.at
	}
	return e.id > than.id
}

// dropFinal takes back what a final execution added, which one that occurred at the given time replaces.
func (r *Run) dropFinal(e *entry, by int64) {
	s := &r.sums
	s.assets -= int64(e.assets)
	*s.outcome(e.kind)--
	if e.kind != kindCancelled {
		s.latencies.remove(e.latency)
		r.changed(^e.latency)
	}
	if e.at == s.lastFinalAt && by < e.at {
		s.lastFinalStale = true
	}
}

func (s *sums) outcome(k kind) *int64 {
	switch k {
	case kindSucceeded:
		return &s.succeeded
	case kindFailed:
		return &s.failed
	}
	return &s.cancelled
}

// lastFinalAt looks at all agents only when a retry was said to have ended before the attempt that it replaces.
func (r *Run) lastFinalAt() int64 {
	if r.sums.lastFinalStale {
		r.sums.lastFinalStale, r.sums.lastFinalAt = false, math.MinInt64
		for _, a := range r.agents {
			if a.final >= 0 {
				r.sums.lastFinalAt = max(r.sums.lastFinalAt, r.entries[a.final].at)
			}
		}
	}
	return r.sums.lastFinalAt
}

func (r *Run) countOther(e *events.Event) {
	s := &r.sums
	switch e.Type {
	case events.RunStarted:
		s.started = later(s.started, e)
	case events.RunFinished:
		s.finished = later(s.finished, e)
	case events.RunReported:
		s.report = later(s.report, e)
	}
}

// later returns the event with the latest occurredAt, ties broken by the greatest id. The result is a copy where it is
// new, because others may move when it grows.
func later(have, e *events.Event) *events.Event {
	if have != nil && (have.OccurredAt.After(e.OccurredAt) ||
		have.OccurredAt.Equal(e.OccurredAt) && have.ID > e.ID) {
		return have
	}
	kept := *e
	return &kept
}
