package consumer

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// commitTime is how long a commit may take before it counts as doubtful, and a look at the position before it counts
	// as failed. Meanwhile the reader keeps its pin, so this is also how long a standby with a better way to the database
	// waits.
	commitTime = 2 * DefaultPinnedTTL
	// loadTime is how long it may take to read runs back. One may have a million executions and the way to the database
	// may be slow: who gives up does no better the next time, and another replica no better than this one.
	loadTime = 5 * time.Minute
	// maxConflicts is how often one batch is folded again on top of what others stored before the session gives up.
	maxConflicts = 20
)

// committed is how a commit ended.
type committed struct {
	batch *sinks.Batch
	err   error
	at    time.Time // when it was stored
	// reloaded holds the runs of a version conflict as the store has them; absent ones are not in the store.
	reloaded map[uuid.UUID]sinks.StoredRun
	span     trace.SpanContext // of an attempt that failed, where it has one
}

// commitError is why a commit failed, in the store's words.
type commitError struct {
	error
	span trace.SpanContext // of the attempt, where it has one
}

func (e *commitError) Unwrap() error { return e.error }

// failedIn is a context with the span of the attempt that failed, for the log; without one where there is none.
func failedIn(err error) context.Context {
	ctx := context.Background()
	var failed *commitError
	if errors.As(err, &failed) {
		ctx = trace.ContextWithSpanContext(ctx, failed.span)
	}
	return ctx
}

// startCommit seals the open batch and commits it beside the fold of the next, unless one is under way.
func (s *session) startCommit(ctx context.Context) {
	if s.inFlight != nil || len(s.open.items) == 0 {
		return
	}
	s.inFlight, s.open, s.attempts, s.gathered = s.open, newBatch(s.open), 0, nil
	// Whole microseconds, as every store keeps them.
	s.inFlight.seal(s.reader.now().UTC().Truncate(time.Microsecond))
	s.commit(ctx, s.inFlight.commit(s.position))
	signal(s.inbox.ready) // what did not fit into the last batch fits into this one
}

// commit stores the batch in a goroutine of its own, reports to done, and announces what was stored, behind what was stored
// before. A crash anywhere in it leaves a batch that is stored whole or not at all.
func (s *session) commit(ctx context.Context, b *sinks.Batch) {
	stored, inFlight, before, told := s.stored, s.inFlight, s.told, make(chan struct{})
	s.told = told
	go func() {
		defer close(told)
		ctx, attempt := s.reader.startAttempt(ctx, inFlight)
		result := s.store(ctx, stored, b)
		if result.err == nil {
			result.at = s.reader.now()
			s.reader.measured.committed(ctx, len(inFlight.items))
		} else {
			result.span = attempt.context()
		}
		attempt.end(result.err)
		s.done <- result
		<-before
		if result.err == nil {
			s.tell(ctx, b)
		}
	}()
}

// store commits the batch, or reads back the runs that are at another version than it says.
func (s *session) store(ctx context.Context, stored sinks.Position, b *sinks.Batch) committed {
	result := committed{batch: b}
	began := time.Now()
	result.err = s.call(ctx, "commit", commitTime, func(ctx context.Context) error { return s.reader.ledger.Commit(ctx, stored, b) })
	s.reader.measured.attempted(ctx, time.Since(began), result.err)
	var conflict *sinks.VersionConflict
	if !errors.As(result.err, &conflict) {
		return result
	}
	err := s.call(ctx, "load", loadTime, func(ctx context.Context) (err error) {
		result.reloaded, err = s.reader.ledger.Load(ctx, stored, namesOf(b, conflict.Runs))
		return err
	})
	if err != nil {
		result.err = err
	}
	return result
}

// call calls the store, which has a span of its own where the commit has one.
func (s *session) call(ctx context.Context, what string, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ctx, span := s.reader.startCall(ctx, what)
	err := f(ctx)
	endCall(span, err)
	return err
}

// namesOf finds the names of runs that a batch changes.
func namesOf(b *sinks.Batch, runs []uuid.UUID) []events.Key {
	wanted := make(map[uuid.UUID]bool, len(runs))
	for _, run := range runs {
		wanted[run] = true
	}
	names := make([]events.Key, 0, len(runs))
	for i := range b.Runs {
		if m := &b.Runs[i].Metrics; wanted[m.RunKey] {
			names = append(names, m.Key())
		}
	}
	return names
}

// tell announces a commit. That is a hint: who misses it asks the store.
func (s *session) tell(ctx context.Context, b *sinks.Batch) {
	if err := announce(ctx, s.reader.conn, s.reader.deployment, b); err != nil {
		s.reader.log.Debug("announce commit", "error", err)
	}
}

// settle takes in how the commit under way ended. An error ends the session.
func (s *session) settle(ctx context.Context, result committed) error {
	var conflict *sinks.VersionConflict
	switch {
	case result.err == nil:
		before, done := s.stored, s.inFlight
		s.stored, s.position, s.moved, s.inFlight = result.batch.Next, result.batch.Next, true, nil
		if s.ripe() {
			s.startCommit(ctx) // the rest is done beside it
		}
		s.reader.committed(result, done, before)
		s.cache.trim(done)
		s.inbox.giveBack(done.items)
		return nil
	case errors.As(result.err, &conflict) && s.attempts < maxConflicts:
		s.attempts++
		s.commit(ctx, s.refold(conflict.Runs, result.reloaded))
		return nil
	case errors.Is(result.err, sinks.ErrRefused):
		s.reader.refused(s.inFlight)
	}
	s.inFlight = nil
	return &commitError{result.err, result.span}
}

// refold puts the runs as the store has them under both batches.
func (s *session) refold(ids []uuid.UUID, stored map[uuid.UUID]sinks.StoredRun) *sinks.Batch {
	for key, id := range s.inFlight.keys(ids) {
		found, ok := stored[id]
		if !ok {
			found.Run = aggregate.NewRun(key)
		}
		state := s.cache.put(key, found)
		s.inFlight.refold(key, state)
		s.open.refold(key, state)
	}
	return s.inFlight.commit(s.position)
}
