package main

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// pageOfRows looks for a page of rows in the store.
func (r *reconciling) pageOfRows(ctx context.Context) error {
	page, err := r.reconciler.Strays(ctx, r.now.filter(), r.now.Next)
	if err != nil {
		return err
	}
	r.now.Counts.Rows += int64(page.Rows)
	strays := page.Strays
	if r.adopt {
		if strays, err = r.adoptRows(ctx, strays); err != nil {
			return err
		}
	}
	for _, s := range strays {
		r.note(strayDifference(s))
	}
	r.done.Add(int64(page.Rows))
	if r.now.Next = page.Next; page.Next == "" {
		r.now.Pass = passRuns
	}
	r.settle()
	return nil
}

// adoptRows takes over strays and returns those that are left. The row that a run leaves is removed once nothing is on its
// way to it.
func (r *reconciling) adoptRows(ctx context.Context, strays []dataverse.Stray) (left []dataverse.Stray, err error) {
	adoption, err := r.reconciler.Adopt(ctx, strays)
	if err != nil {
		return nil, err
	}
	r.now.Counts.Adopted += int64(len(adoption.Runs))
	r.saved.Counts.Adopted = r.now.Counts.Adopted // whatever happens now, they are
	if r.repair && len(adoption.Runs)+len(adoption.Surplus) > 0 {
		if err := r.send(ctx, adoption.Runs); err != nil {
			return nil, err
		}
	}
	removed, left, err := r.reconciler.Remove(ctx, adoption.Surplus)
	r.now.Counts.Removed += int64(removed)
	r.saved.Counts.Removed = r.now.Counts.Removed
	if err != nil {
		return nil, err
	}
	if !r.repair {
		if err := r.store.Mark(ctx, adoption.Runs, time.Now()); err != nil {
			return nil, err
		}
	}
	for _, s := range strays {
		if s.Run == nil {
			left = append(left, s)
		}
	}
	return left, nil
}

// send marks runs and sends them, with all else that is due.
func (r *reconciling) send(ctx context.Context, runs []uuid.UUID) error {
	if err := r.store.Mark(ctx, runs, time.Now()); err != nil {
		return err
	}
	return r.drain(ctx)
}
