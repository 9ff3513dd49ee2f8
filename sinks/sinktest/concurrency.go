package sinktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) concurrencyTests() []test {
	return []test{
		{"OneOfManyRivalsWinsEachStep", s.rivals},
		{"TwoStreamsShareRuns", s.sharedRuns},
		{"ReadersSeeWholeCommits", s.readersDuringCommits},
	}
}

// rivals read one stream all at once, each as if it were alone. The event of sequence n is all[n-1], so the position
// alone decides what the next batch is.
func (s suite) rivals(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	stores := []sinks.Store{store, db.open(t, Options{Marks: true})}
	h := newHistory(t, 5)
	all := h.take(120)
	steps := make([]int, 6) // batches that each rival committed
	g, ctx := errgroup.WithContext(t.Context())
	for i := range steps {
		w := NewWriter(t, stores[i%len(stores)], stream)
		size := 1 + i%4
		g.Go(func() (err error) {
			steps[i], err = readOn(ctx, w, all, size)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	won := 0
	for _, n := range steps {
		won += n
	}
	t.Logf("batches committed by each rival: %v", steps)
	versions := int64(0)
	for _, list := range appliedOf(all) {
		foldsBack(t, store, list)
		versions = max(versions, metricsOf(t, store, list[0].UUID()).Version)
	}
	p := position(t, store, stream)
	applied := 0
	for _, list := range appliedOf(all) {
		applied += len(list)
	}
	if p.Sequence != uint64(len(all)) || p.Applied != int64(applied) {
		t.Errorf("position %+v, want %d applied", p, applied)
	}
	if versions > int64(won) {
		t.Errorf("version %d after %d batches", versions, won)
	}
}

// readOn commits what follows the position until all is committed, by whomever, and returns how many batches were its own.
func readOn(ctx context.Context, w *Writer, all []events.Event, size int) (won int, err error) {
	for {
		if err := w.Reload(ctx); err != nil {
			return won, err
		}
		rest := all[w.Position.Sequence:]
		if len(rest) == 0 {
			return won, nil
		}
		rest = rest[:min(size, len(rest))]
		err := w.load(ctx, rest)
		if err == nil {
			err = w.Commit(ctx, w.Fold(rest...))
		}
		switch {
		case err == nil:
			won++
		case !isConflict(err):
			return won, err
		}
	}
}

// isConflict tells whether somebody else was faster, which is no fault.
func isConflict(err error) bool {
	var conflict *sinks.VersionConflict
	return errors.Is(err, sinks.ErrPositionMoved) || errors.As(err, &conflict)
}

// sharedRuns: two streams carry events of the same runs, some of them in both, as they do while partitions are changed.
func (s suite) sharedRuns(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	h := newHistory(t, 8)
	all := h.take(400)
	shares := h.share(all)
	g, ctx := errgroup.WithContext(t.Context())
	for i, store := range []sinks.Store{store, db.open(t, Options{Marks: true})} {
		w := NewWriter(t, store, fmt.Sprint("PART_", i))
		g.Go(func() error {
			for rest := shares[i]; len(rest) > 0; {
				n := min(20, len(rest))
				if err := w.Write(ctx, rest[:n]...); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	want := appliedOf(all)
	total := 0
	for run, list := range want {
		total += len(list)
		m := metricsOf(t, store, run.UUID())
		if got, want := show(m), show(folded(list, m)); got != want {
			t.Errorf("record %s\nwant %s", got, want)
		}
		if got, want := sorted(eventsOf(t, store, run.UUID())), sorted(encoded(list)); !slices.Equal(got, want) {
			t.Errorf("events of %v: %q\nwant %q", run, got, want)
		}
	}
	a, b := position(t, store, "PART_0"), position(t, store, "PART_1")
	if a.Applied+b.Applied != int64(total) || a.Sequence+b.Sequence != uint64(len(shares[0])+len(shares[1])) {
		t.Errorf("positions %+v and %+v, want %d applied", a, b, total)
	}
}

// share deals the events out to two streams; every fifth goes to both.
func (h *history) share(all []events.Event) (shares [2][]events.Event) {
	for _, e := range all {
		n := h.IntN(5)
		if n < 3 {
			shares[0] = append(shares[0], e)
		}
		if n > 1 {
			shares[1] = append(shares[1], e)
		}
	}
	return shares
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// readersDuringCommits: a record, its events and the list are of whole commits, whenever they are read. Each commit adds
// one event to both runs.
func (s suite) readersDuringCommits(t *testing.T) {
	store, db := s.open(t, Options{})
	w, other := NewWriter(t, store, stream), db.open(t, Options{})
	g, ctx := errgroup.WithContext(t.Context())
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		for i := range 60 {
			if err := w.Write(ctx, execution(key("a"), fmt.Sprint(i)), execution(key("b"), fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	})
	for range 3 {
		g.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				list, err := other.List(ctx, sinks.Filter{}, nil, 10)
				if err != nil {
					return err
				}
				if len(list) == 1 || len(list) == 2 && (list[0].Version != list[1].Version || *list[0].Executions != list[1].Version) {
					return fmt.Errorf("half a commit:\n%s", show(list...))
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}
