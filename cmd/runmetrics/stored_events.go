package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// recordsAtOnce is how many records are read in one go.
	recordsAtOnce = 500
	// loadsAtOnce is how many runs are read at once, and loadedEvents how many executions they may have together: more are
	// read if one run has them.
	loadsAtOnce  = 8
	loadedEvents = 20_000
)

// eachPage gives the records that match, page by page.
func eachPage(ctx context.Context, store sinks.Store, f sinks.RecordFilter, each func([]aggregate.Metrics) error) error {
	var after uuid.UUID
	for {
		page, err := store.Records(ctx, f, after, recordsAtOnce)
		if err != nil || len(page) == 0 {
			return err
		}
		after = page[len(page)-1].RunKey
		if err := each(page); err != nil {
			return err
		}
	}
}

// eachStored gives the stored events of runs, run by run in their order. The next ones are read meanwhile.
func eachStored(
	ctx context.Context, store sinks.Store, runs []aggregate.Metrics, each func(*aggregate.Metrics, []events.Event) error,
) error {
	work, ctx := errgroup.WithContext(ctx)
	room := semaphore.NewWeighted(loadedEvents)
	loaded := make([]chan []events.Event, len(runs))
	for i := range loaded {
		loaded[i] = make(chan []events.Event, 1)
	}
	work.Go(func() error {
		for i := range runs {
			if err := room.Acquire(ctx, roomFor(&runs[i])); err != nil {
				return err
			}
			work.Go(func() error {
				list, err := sinks.EventsOf(ctx, store, runs[i].RunKey)
				if err != nil {
					return fmt.Errorf("read events of run %s: %w", runs[i].RunKey, err)
				}
				loaded[i] <- list
				return nil
			})
		}
		return nil
	})
	work.Go(func() error {
		for i := range runs {
			select {
			case list := <-loaded[i]:
				if err := each(&runs[i], list); err != nil {
					return err
				}
				room.Release(roomFor(&runs[i]))
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return work.Wait()
}

// roomFor is how much a run takes of the room for loaded events.
func roomFor(m *aggregate.Metrics) int64 {
	return min(max(executionsOf(m), loadedEvents/loadsAtOnce), loadedEvents)
}

// executionsOf is how many executions a run has; one that was reported says nothing of them.
func executionsOf(m *aggregate.Metrics) int64 {
	if m.Executions == nil {
		return 0
	}
	return *m.Executions
}
