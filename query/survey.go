package query

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// longRead bounds a request that reads much: a campaign of ten million executions, a run of a million agents.
const longRead = 20 * time.Second

// patient is a context for a request that may read much. It ends when nothing was read for storeTimeout, so that a store
// that is away is noticed as soon as by other requests. Whoever reads calls progress.
func patient(request context.Context) (ctx context.Context, progress func(), stop func()) {
	ctx, cancel := context.WithTimeout(request, longRead)
	silence := time.AfterFunc(storeTimeout, cancel)
	stop = func() {
		silence.Stop()
		cancel()
	}
	return ctx, func() { silence.Reset(storeTimeout) }, stop
}

// latencies pools the latencies of surveyed runs.
type latencies struct {
	pool aggregate.Pool
	// blind are runs of which the store does not say what their commits changed: their events do.
	blind []events.Key
	// unknown are runs whose executions nobody knows any more, or ever knew here.
	unknown int64
}

// add takes in a run.
func (l *latencies) add(r *sinks.Surveyed) error {
	switch {
	case r.Source == aggregate.FromReport:
		l.unknown++
		return nil
	case r.Latencies != nil:
		if err := sinks.DecodeLatencies(r.Latencies, l.pool.Change); err != nil {
			return fmt.Errorf("%w: run %s: %w", sinks.ErrBlocked, r.RunKey, err)
		}
		return nil
	case !r.Sealed.IsZero():
		l.unknown++
		return nil
	}
	l.blind = append(l.blind, r.Key())
	return nil
}

// foldBlind reads the events of the runs that need it, after the survey: a commit between them can make these runs a
// little newer.
func (s *server) foldBlind(ctx context.Context, l *latencies, progress func()) error {
	for _, key := range l.blind {
		run := aggregate.NewRun(key)
		err := s.Reader.Events(ctx, run.UUID(), func(e *events.Event) error {
			progress()
			run.Apply(e)
			return nil
		})
		if err != nil {
			return err
		}
		for _, change := range run.TakeLatencyChanges() {
			l.pool.Change(change)
		}
	}
	return nil
}

// stats returns the statistics of the pool. An error means that somebody changed the store by hand.
func (l *latencies) stats() (aggregate.LatencyStats, error) {
	stats, whole := l.pool.Stats()
	if !whole {
		return stats, fmt.Errorf("%w: what is stored of latencies does not add up; `runmetrics rebuild` finds the run", sinks.ErrBlocked)
	}
	return stats, nil
}

// readAgents reads a window of a run's agents.
func (s *server) readAgents(ctx context.Context, run uuid.UUID, w *agentWindow, progress func()) ([]agent, error) {
	voided, err := s.Reader.Voided(ctx, run)
	if err != nil {
		return nil, err
	}
	w.leaveOut(voided)
	err = s.Reader.Events(ctx, run, func(e *events.Event) error {
		progress()
		w.add(e)
		return nil
	})
	return w.agents(), err
}
