package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// pageOfRuns compares a page of runs with their rows.
func (r *reconciling) pageOfRuns(ctx context.Context) error {
	copies, err := r.store.Copies(ctx, r.now.filter(), r.now.After, dataverse.RunsAtOnce)
	if err != nil {
		return err
	}
	list, err := r.reconciler.Compare(ctx, copies)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].State == dataverse.CopyMissing && removedSample(&list[i].Copy.Metrics) {
			list[i].State = dataverse.CopyEqual // its row was deleted on purpose
		}
	}
	last := len(copies) < dataverse.RunsAtOnce
	if len(copies) > 0 {
		r.now.After = copies[len(copies)-1].Metrics.RunKey
	}
	r.now.Counts.Runs += int64(len(copies))
	if r.repair {
		err = r.repairRuns(ctx, list, last)
	} else {
		r.count(list)
	}
	if err != nil {
		return err
	}
	r.done.Add(int64(len(copies)))
	if last {
		r.now.Pass = passDone
	}
	if len(r.repairs) == 0 {
		r.settle()
	}
	return nil
}

// count counts comparisons, and notes differences.
func (r *reconciling) count(list []dataverse.Comparison) {
	for i := range list {
		switch c := &list[i]; c.State {
		case dataverse.CopyEqual:
			r.now.Counts.Equal++
		case dataverse.CopyWaiting:
			r.now.Counts.Waiting++
		default:
			r.note(runDifference(c))
		}
	}
}

// repairRuns marks runs that differ. When there are enough of them, or no more, it sends them and what waits, and compares
// them again.
func (r *reconciling) repairRuns(ctx context.Context, list []dataverse.Comparison, last bool) error {
	if r.repairs == nil {
		r.repairs = make(map[uuid.UUID]dataverse.CopyState)
	}
	var marks []uuid.UUID
	for i := range list {
		switch run := list[i].Copy.Metrics.RunKey; list[i].State {
		case dataverse.CopyEqual:
			r.now.Counts.Equal++
		case dataverse.CopyWaiting:
			r.repairs[run] = list[i].State
		default:
			r.repairs[run] = list[i].State
			marks = append(marks, run)
		}
	}
	if err := r.store.Mark(ctx, marks, time.Now()); err != nil {
		return err
	}
	if len(r.repairs) == 0 || len(r.repairs) < repairAtOnce && !last {
		return nil
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	return r.compareAgain(ctx)
}

// compareAgain compares what was repaired.
func (r *reconciling) compareAgain(ctx context.Context) error {
	runs := slices.SortedFunc(maps.Keys(r.repairs), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	for some := range slices.Chunk(runs, dataverse.RunsAtOnce) {
		copies, err := r.store.CopiesOf(ctx, some)
		if err != nil {
			return err
		}
		list, err := r.reconciler.Compare(ctx, copies)
		if err != nil {
			return err
		}
		for i := range list {
			before := r.repairs[list[i].Copy.Metrics.RunKey]
			if list[i].State == dataverse.CopyEqual && before != dataverse.CopyWaiting {
				r.now.Counts.Repaired++
			}
		}
		r.count(list)
	}
	clear(r.repairs)
	return nil
}
