package sinktest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) rivalOwnerTests() []test {
	return []test{{"ManyOwnersNeverHoldARunTogether", s.manyOwners}}
}

// manyOwners claim and settle all at once, through two stores, while runs are committed.
func (s suite) manyOwners(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	stores := []sinks.Store{store, db.open(t, Options{})}
	var held sync.Map
	g, ctx := errgroup.WithContext(t.Context())
	written := make(chan struct{})
	runs := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	g.Go(func() error {
		defer close(written)
		w := NewWriter(t, store, stream)
		for i := range 25 {
			w.At = at(float64(i))
			for j, run := range runs { // two of them in each commit
				other := key(runs[(i+j)%len(runs)])
				err := w.Write(ctx, execution(key(run), fmt.Sprint(i)), execution(other, fmt.Sprint("x", i, run)))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i := range 4 {
		d := newDispatcher(stores[i%2])
		g.Go(func() error {
			for last := false; ; {
				select {
				case <-written:
					last = true
				default:
				}
				n, err := d.deliverSome(ctx, &held)
				if err != nil || last && n == 0 {
					return err
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		if c := knownOf(t, store, run); c.Waiting || c.Delivered != c.Metrics.Version {
			t.Errorf("%s: version %d delivered of %d, waiting %v", run, c.Delivered, c.Metrics.Version, c.Waiting)
		}
	}
}

// deliverSome claims, holds and settles, and fails where somebody else holds the same run.
func (d *dispatcher) deliverSome(ctx context.Context, held *sync.Map) (int, error) {
	claimed, err := d.store.Claim(ctx, sinks.Claim{Owner: d.owner, Now: at(1000), NotBefore: at(0), Limit: 3})
	if err != nil {
		return 0, err
	}
	settlement := sinks.Settlement{Owner: d.owner, Now: at(1000), Targets: int64(len(claimed.Copies))}
	for _, c := range claimed.Copies {
		if other, twice := held.LoadOrStore(c.Metrics.RunKey, d.owner); twice {
			return 0, fmt.Errorf("%s is held by %v and %v", c.Metrics.RunID, other, d.owner)
		}
		if c.Delivered >= c.Metrics.Version {
			return 0, fmt.Errorf("version %d of %s is sent after version %d", c.Metrics.Version, c.Metrics.RunID, c.Delivered)
		}
		settlement.Outcomes = append(settlement.Outcomes, sinks.Outcome{RunKey: c.Metrics.RunKey, Version: c.Metrics.Version})
	}
	for _, c := range claimed.Copies {
		held.Delete(c.Metrics.RunKey)
	}
	if len(claimed.Copies) == 0 && !claimed.Next.IsZero() {
		return 1, nil // a commit has what is due
	}
	answer, err := d.store.Settle(ctx, settlement)
	if err == nil && answer.Lost > 0 {
		err = fmt.Errorf("%d claims lost", answer.Lost)
	}
	return len(claimed.Copies), err
}
