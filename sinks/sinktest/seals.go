package sinktest

import (
	"errors"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) sealTests() []test {
	return []test{
		{"SealDropsEventsAndKeepsTheRecord", s.seal},
		{"SealedRunRefusesEveryChange", s.sealedRefuses},
		{"SealLeavesWhatChangedMeanwhile", s.sealOther},
	}
}

// finishedRun writes a run of three executions, one of them voided, and its end.
func finishedRun(t *testing.T, w *Writer, run events.Key) aggregate.Metrics {
	t.Helper()
	list := append(executions(run, 0, 3),
		events.Event{Key: run, ID: "v", Type: events.ExecutionsVoided, OccurredAt: epoch, Voids: []string{"1"}},
		events.Event{Key: run, ID: "f", Type: events.RunFinished, OccurredAt: epoch, Outcome: events.OutcomeCompleted})
	if err := w.Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	return metricsOf(t, w.Store, run.UUID())
}

func seal(t *testing.T, store sinks.Repairs, want int, runs ...aggregate.Metrics) {
	t.Helper()
	if n, err := store.Seal(t.Context(), runs, at(9)); err != nil || n != want {
		t.Fatalf("sealed %d runs, want %d: %v", n, want, err)
	}
}

func (s suite) seal(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	m, other := finishedRun(t, w, key("r")), finishedRun(t, w, key("other"))
	seal(t, store, 1, m)
	same(t, "record", []aggregate.Metrics{metricsOf(t, store, m.RunKey)}, []aggregate.Metrics{m})
	held := hold(t, store, key("r"), key("other"))
	if !held[0].Sealed || held[0].Run.Len() != 0 || held[0].Gaps != 0 || held[0].Damage != "" || len(held[0].Voided) != 0 {
		t.Errorf("held of a sealed run: %+v", held[0])
	}
	if held[1].Sealed || held[1].Run.Len() != 5 {
		t.Errorf("held of another run: %+v", held[1])
	}
	loaded, err := store.Load(t.Context(), w.Position, []events.Key{key("r"), key("other")})
	if err != nil || !loaded[m.RunKey].Sealed || loaded[m.RunKey].Version != m.Version || loaded[other.RunKey].Sealed {
		t.Errorf("loaded: %+v, %v", loaded, err)
	}
	if rows := db.rows(t, "SELECT * FROM agent_runs WHERE run_id = 'r'"); len(rows) != 0 {
		t.Errorf("executions of a sealed run: %q", rows)
	}
	records, err := store.Records(t.Context(), sinks.RecordFilter{FinishedBefore: at(1000)}, [16]byte{}, 10)
	if err != nil || len(records) != 1 || records[0].RunID != "other" {
		t.Errorf("what is left to seal: %s, %v", show(records...), err)
	}
	seal(t, store, 1, m, other) // again, with another one
	seal(t, store, 0)
}

func (s suite) sealedRefuses(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	m := finishedRun(t, w, key("r"))
	seal(t, store, 1, m)
	before := db.dump(t)
	var conflict *sinks.VersionConflict
	late := execution(key("r"), "late")
	if err := w.Commit(t.Context(), w.Fold(late, execution(key("new"), "1"))); !errors.As(err, &conflict) || len(conflict.Runs) != 1 || conflict.Runs[0] != m.RunKey {
		t.Errorf("a commit by who has the run in memory: %v", err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), w.Fold(late)); !errors.As(err, &conflict) {
		t.Errorf("a commit by who takes the run for new: %v", err)
	}
	change := amendment(sinks.Holding{Run: aggregate.NewRun(key("r")), Version: m.Version - 1}, at(1), late)
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(1)}); !errors.As(err, &conflict) {
		t.Errorf("an amendment on the version before: %v", err)
	}
	db.untouched(t, before)
}

func (s suite) sealOther(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	changed := finishedRun(t, w, key("changed"))
	if err := w.Write(t.Context(), execution(key("changed"), "late")); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution(key("running"), "1")); err != nil {
		t.Fatal(err)
	}
	before := db.dump(t)
	seal(t, store, 0, changed, metricsOf(t, store, key("running").UUID()), aggregate.Metrics{RunKey: key("absent").UUID(), Version: 1})
	db.untouched(t, before)
}
