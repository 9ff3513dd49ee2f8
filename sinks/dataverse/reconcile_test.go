package dataverse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// reconciler is one that shares the network of a process.
func (w *world) reconciler(p *process) *Reconciler {
	return NewReconciler(p.Client, w.store, w.table())
}

// copies are all runs of the store.
func (w *world) copies() []sinks.Copy {
	w.t.Helper()
	list, err := w.store.Copies(context.Background(), sinks.CopyFilter{}, uuid.Nil, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestAFullPageOfRunsFitsIntoAURL(t *testing.T) {
	t.Parallel()
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		list := make([]events.Event, RunsAtOnce)
		for i := range list {
			list[i] = execution(fmt.Sprint("run-", i), 1)
		}
		w.commit(list...)
		w.settled()
		compared, err := w.reconciler(p).Compare(context.Background(), w.copies())
		if err != nil || len(compared) != RunsAtOnce {
			t.Fatalf("%d runs, %v", len(compared), err)
		}
		for _, c := range compared {
			if c.State != CopyEqual {
				t.Fatalf("run %s is %s: %v", c.Copy.Metrics.RunID, c.State, c.Differences)
			}
		}
		ids := make([]uuid.UUID, RunsAtOnce)
		query := Query{Select: w.table().fieldColumns(), Filter: among(w.table().PrimaryID, ids)}
		const longest = 32_768
		address := "https://" + strings.Repeat("a", 200) + apiPath + strings.Repeat("b", 100) + query.options(largestPage)
		if len(address) >= longest {
			t.Errorf("a URL has %d characters", len(address))
		}
	})
}

func TestReconcilingWaitsForAnOutageAndNotForEver(t *testing.T) {
	t.Parallel()
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("run", 1))
		w.settled()
		copies, reconciler := w.copies(), w.reconciler(p)

		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		time.AfterFunc(20*time.Second, func() { w.network.down.Store(false) })
		list, err := reconciler.Compare(context.Background(), copies)
		if err != nil || list[0].State != CopyEqual {
			t.Fatalf("%+v, %v", list, err)
		}

		w.network.down.Store(true)
		p.transport.CloseIdleConnections()
		began := time.Now()
		_, err = reconciler.Compare(context.Background(), copies)
		if !errors.Is(err, sinks.ErrUnavailable) || time.Since(began) < time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
