package sinktest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Writer writes events of one stream to a store as the consumer does, one batch after another and without a stream: each
// event given to it is the stream's next message. It is for one goroutine.
type Writer struct {
	Store    sinks.Store
	Position sinks.Position // of the last commit, or as the test sets it
	At       time.Time      // time of the next commit; every one adds a second

	runs map[uuid.UUID]sinks.StoredRun
}

// NewWriter starts at the position that the store has, or makes a first epoch.
func NewWriter(t testing.TB, store sinks.Store, stream string) *Writer {
	t.Helper()
	w := &Writer{Store: store, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.Position.Stream = stream
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// Reload forgets everything and reads the position again, as the consumer does after any doubt.
func (w *Writer) Reload(ctx context.Context) error {
	w.runs = make(map[uuid.UUID]sinks.StoredRun)
	p, err := w.Store.Position(ctx, w.Position.Stream)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	w.Position = p
	return nil
}

// Fold makes the batch that the events would be. A run that is not in memory is taken for new. What is folded stays in
// memory: commit the batch or Reload.
func (w *Writer) Fold(list ...events.Event) *sinks.Batch {
	b := &sinks.Batch{Next: w.next(), At: w.At}
	w.At = w.At.Add(time.Second)
	changed := make(map[uuid.UUID]int)
	for i := range list {
		e := &list[i]
		b.Next.Sequence++
		run := e.Key.UUID()
		stored, known := w.runs[run]
		if !known {
			stored = sinks.StoredRun{Run: aggregate.NewRun(e.Key)}
		}
		switch stored.Run.Apply(e) {
		case aggregate.Duplicate:
			b.Next.Duplicates++
			continue
		case aggregate.Conflict:
			b.Next.DeadLetters++
			b.DeadLetters = append(b.DeadLetters, sinks.DeadLetter{Sequence: b.Next.Sequence,
				Subject: events.Subject(e.CampaignID, e.RunID), CampaignID: e.CampaignID, RunID: e.RunID,
				Reason: events.ConflictingDuplicate, Time: b.At, Payload: events.Encode(e)})
			continue
		}
		b.Next.Applied++
		at, before := changed[run]
		if !before {
			at = len(b.Runs)
			changed[run] = at
			b.Runs = append(b.Runs, sinks.RunChange{})
			stored.Version++
			w.runs[run] = stored
		}
		b.Runs[at].Events = append(b.Runs[at].Events, e)
	}
	for run, at := range changed {
		b.Runs[at].Metrics, b.Runs[at].Latencies = w.runs[run].Run.Metrics(), w.runs[run].Run.TakeLatencyChanges()
		b.Runs[at].Metrics.Version, b.Runs[at].Metrics.UpdatedAt = w.runs[run].Version, b.At
	}
	return b
}

// next is the position that an empty batch would commit.
func (w *Writer) next() sinks.Position {
	next := w.Position
	if next.Epoch == 0 {
		next.Epoch, next.Created = 1, time.Date(2026, 1, 1, 0, 0, 0, 123456789, time.UTC)
	}
	next.MessageTime = w.At.Add(-time.Millisecond)
	return next
}

// Commit commits a batch that Fold made. After an error the writer has to Reload.
func (w *Writer) Commit(ctx context.Context, b *sinks.Batch) error {
	err := w.Store.Commit(ctx, w.Position, b)
	if err == nil {
		w.Position = b.Next
	}
	return err
}

// Write folds and commits the events as one batch. Runs that turn out to be in the store are loaded, and the batch is
// folded again, until it stands or fails for another reason.
func (w *Writer) Write(ctx context.Context, list ...events.Event) error {
	for {
		err := w.Commit(ctx, w.Fold(list...))
		var conflict *sinks.VersionConflict
		if !errors.As(err, &conflict) {
			return err
		}
		// The fold is in memory, so all of it is read anew.
		if err := w.Reload(ctx); err != nil {
			return err
		}
		if err := w.load(ctx, list); err != nil {
			return err
		}
	}
}

// grow commits n executions of the run r one by one, and looks at the store all the while and once more.
func (w *Writer) grow(t testing.TB, n int, look func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			err = w.Write(t.Context(), execution(key("r"), fmt.Sprint(i)))
		}
		done <- err
	}()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
		}
		look()
	}
}

func (w *Writer) load(ctx context.Context, list []events.Event) error {
	var keys []events.Key
	for i := range list {
		keys = append(keys, list[i].Key)
	}
	stored, err := w.Store.Load(ctx, w.Position, keys)
	if err != nil {
		return err
	}
	w.runs = stored
	return nil
}
