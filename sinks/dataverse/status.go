package dataverse

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// State is what a dispatcher is doing.
type State string

// The states of a dispatcher.
const (
	StateStandby   State = "standby"   // another replica dispatches
	StateActive    State = "active"    // it sends, or would if anything were due
	StateThrottled State = "throttled" // the organisation asked for a pause
	StateDegraded  State = "degraded"  // Dataverse or the store is away; it goes on by itself when they are back
	StateBlocked   State = "blocked"   // it cannot go on before a person acts
	StateBudget    State = "budget"    // the day's budget is used up, but for records that close a run
)

// Status is a snapshot of a dispatcher. Counts are of this process unless they say otherwise.
type Status struct {
	State  State
	Reason string    // why it is not active or standby, else empty
	Since  time.Time // of the state

	Requests  int64 // with rows, answered or lost
	Throttles int64 // answers that asked for a pause
	Delivered int64 // rows that Dataverse took
	// Parked counts the runs that Dataverse refuses: those in the store when this dispatcher took over, and those since.
	// ParkedRows are the newest of them.
	Parked       int64
	ParkedRows   []ParkedRow
	TargetsToday int64 // rows sent on this UTC day by all processes, as the store last said
	// BehindSince is since when something is due that Dataverse has not got, as far as this process knows. It is zero where
	// nothing is, and where another replica dispatches. Rows that wait for Interval are not due, refused ones not missing;
	// those that wait for a budget are.
	BehindSince time.Time
}

// ParkedRow is a run that Dataverse refuses. All of it is untrusted text.
type ParkedRow struct {
	Key     events.Key
	Version int64
	Reason  string
}

// mostParkedRows is how many of them a status shows.
const mostParkedRows = 20

func parkedRow(c *sinks.Copy, reason string) ParkedRow {
	return ParkedRow{Key: c.Metrics.Key(), Version: c.Metrics.Version, Reason: reason}
}

// status is the shared, guarded form of Status.
type status struct {
	log   *slog.Logger
	mu    sync.Mutex
	s     Status
	off   bool   // another replica dispatches: how the last requests of this one end changes no state
	spent bool   // the budget is
	fault string // for which it is blocked
}

// Status tells what the dispatcher is doing. It asks nobody.
func (d *Dispatcher) Status() Status {
	d.status.mu.Lock()
	defer d.status.mu.Unlock()
	s := d.status.s
	s.ParkedRows = slices.Clone(s.ParkedRows)
	s.BehindSince = d.behind.since(time.Now())
	return s
}

func (s *status) set(ctx context.Context, state State, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(ctx, state, why)
}

// own says whether the dispatcher is to work.
func (s *status) own(ctx context.Context, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !own {
		s.change(ctx, StateStandby, nil)
	}
	s.off = !own
}

// recovered ends what an error began: the store answers again, or only a row is at fault.
func (s *status) recovered(ctx context.Context, from error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.s.State == StateDegraded && s.s.Reason == from.Error() {
		s.change(ctx, StateActive, nil)
	}
}

// change logs each new state once, and each new fault that a person has to mend: there may be another behind the first. The
// caller holds the lock.
func (s *status) change(ctx context.Context, state State, why error) {
	if s.off {
		return
	}
	if state == StateActive && s.spent {
		state, why = StateBudget, errBudget
	}
	if s.s.State != state {
		s.s.Since = time.Now()
	} else if state != StateBlocked || s.fault == faultOf(why) {
		s.s.Reason = reasonOf(why)
		return
	}
	s.s.State, s.s.Reason, s.fault = state, reasonOf(why), faultOf(why)
	level := slog.LevelInfo
	switch state {
	case StateDegraded, StateThrottled, StateBudget:
		level = slog.LevelWarn
	case StateBlocked:
		level = slog.LevelError
	}
	s.log.Log(ctx, level, "copy to Dataverse", "state", state, "reason", s.s.Reason)
}

func reasonOf(why error) string {
	if why == nil {
		return ""
	}
	return why.Error()
}

// faultOf is the reason without what differs from request to request.
func faultOf(why error) string {
	var answered *Error
	if errors.As(why, &answered) && answered.Status != 0 {
		return strconv.Itoa(answered.Status) + answered.Code + answered.Hint
	}
	return reasonOf(why)
}

// adopted takes in how the outbox stands when a tenure begins.
func (s *status) adopted(ctx context.Context, standing sinks.Standing, parked []sinks.Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(ctx, StateActive, nil)
	s.s.TargetsToday = standing.TargetsToday
	s.park(standing.Parked, parked)
}

// parked takes in which runs are parked, of which rows has the newest.
func (s *status) parked(n int64, rows []sinks.Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.park(n, rows)
}

// park is parked for who holds the lock.
func (s *status) park(n int64, rows []sinks.Copy) {
	s.s.Parked, s.s.ParkedRows = n, nil
	for i := range rows {
		s.s.ParkedRows = append(s.s.ParkedRows, parkedRow(&rows[i], rows[i].Parked))
	}
}

// budget says whether the budget is used up but for closing records.
func (s *status) budget(ctx context.Context, spent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spent = spent
	switch {
	case spent:
		s.change(ctx, StateBudget, errBudget)
	case s.s.State == StateBudget:
		s.change(ctx, StateActive, nil)
	}
}

// answered takes in how a request with so many rows ended.
func (s *status) answered(ctx context.Context, rows int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rows > 0 {
		s.s.Requests++
	}
	_, throttled := Throttled(err)
	switch {
	case throttled:
		s.s.Throttles++
		s.change(ctx, StateThrottled, err)
	case answers(err):
		if s.s.State == StateThrottled || s.s.State == StateDegraded || s.s.State == StateBlocked {
			s.change(ctx, StateActive, nil)
		}
		if err == nil {
			s.s.Delivered += int64(rows)
		}
	case errors.Is(err, context.Canceled):
	case errors.Is(err, sinks.ErrBlocked):
		s.change(ctx, StateBlocked, err)
	default:
		s.change(ctx, StateDegraded, err)
	}
}

// finished takes in what became of a parcel.
func (s *status) finished(p *parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Parked = max(0, s.s.Parked+p.parked-p.unparked) // others may have parked what this one unparks
	s.s.ParkedRows = slices.DeleteFunc(s.s.ParkedRows, func(row ParkedRow) bool {
		return slices.Contains(p.judged, row.Key)
	})
	s.s.ParkedRows = append(slices.Clone(p.refused), s.s.ParkedRows...)
	s.s.ParkedRows = s.s.ParkedRows[:min(len(s.s.ParkedRows), mostParkedRows)]
	if p.answer != nil {
		s.s.TargetsToday = p.answer.TargetsToday
	}
}
