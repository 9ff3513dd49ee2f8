package sinktest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) repairTests() []test {
	return []test{
		{"HoldingsAreAllThatWasCommitted", s.holdings},
		{"HoldingsTellWhatWasDamaged", s.damagedHoldings},
		{"HoldingIsOfOneCommit", s.holdingsDuringCommits},
		{"AmendIsGuardedByVersionsAndMovesNoPosition", s.amend},
		{"AmendMakesCopiesDueWhenItSays", s.amendDue},
		{"RunWhoseRowWasDeletedGoesOnWithItsEvents", s.leftEvents},
		{"RunWhoseVersionWasSetBackIsBlocked", s.setBack},
		{"RecordsAreSortedAndFiltered", s.sortedRecords},
		{"AuditEntryIsReplaced", s.audit},
	}
}

func hold(t testing.TB, store sinks.Repairs, runs ...events.Key) []sinks.Holding {
	t.Helper()
	list, err := store.Holdings(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(runs) {
		t.Fatalf("%d holdings of %d runs", len(list), len(runs))
	}
	for i, h := range list {
		if h.Run.Key() != runs[i] {
			t.Fatalf("holding %d is of %v, not of %v", i, h.Run.Key(), runs[i])
		}
	}
	return list
}

// exec runs a statement behind the store's back.
func (db Database) exec(t testing.TB, statement string) {
	t.Helper()
	if _, err := db.SQL.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (s suite) holdings(t *testing.T) {
	store, _ := s.open(t, Options{})
	h := newHistory(t, 12)
	all := h.take(600)
	w := NewWriter(t, store, stream)
	for rest := all; len(rest) > 0; {
		n := min(1+h.IntN(60), len(rest))
		if err := w.Write(t.Context(), rest[:n]...); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	applied := appliedOf(all)
	runs := []events.Key{key("absent")}
	for run := range applied {
		runs = append(runs, run)
	}
	list := hold(t, store, runs...)
	if absent := list[0]; absent.Record != nil || absent.Version != 0 || absent.Run.Len() != 0 || absent.Sealed || absent.Gaps != 0 {
		t.Errorf("an absent run: %+v", absent)
	}
	for _, got := range list[1:] {
		want := metricsOf(t, store, got.Run.UUID())
		same(t, "record", []aggregate.Metrics{*got.Record}, []aggregate.Metrics{want})
		same(t, "fold", []aggregate.Metrics{got.Run.Metrics()},
			[]aggregate.Metrics{folded(applied[got.Run.Key()], aggregate.Metrics{})})
		if got.Version != want.Version || got.Sealed || got.Gaps != 0 || got.Damage != "" || got.Run.Len() != len(applied[got.Run.Key()]) {
			t.Errorf("holding of %v: %+v", got.Run.Key(), got)
		}
		if !slices.Equal(got.Voided, got.Run.Voided()) {
			t.Errorf("voided %q, want %q", got.Voided, got.Run.Voided())
		}
	}
	if list := hold(t, store); len(list) != 0 {
		t.Errorf("holdings of no runs: %v", list)
	}
}

func (s suite) damagedHoldings(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	run := key("r")
	of := "run_key = '" + run.UUID().String() + "'"
	void := events.Event{Key: run, ID: "v", Type: events.ExecutionsVoided, OccurredAt: epoch, Voids: []string{"1", "9"}}
	for _, e := range append(executions(run, 0, 3), void) {
		if err := w.Write(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	db.exec(t, "UPDATE campaign_metrics SET tokens_in = 7, cost_usd = '-1' WHERE "+of)
	got := hold(t, store, run)[0]
	if got.Record.TokensIn != 7 || got.Record.CostUSD != aggregate.Unreadable || got.Damage != "" || got.Gaps != 0 {
		t.Errorf("changed figures: %+v %s", got, show(*got.Record))
	}
	eventsOf := "number = " + db.rows(t, "SELECT number FROM campaign_metrics WHERE "+of)[0][0]
	db.exec(t, "DELETE FROM event_chunks WHERE version = 2 AND "+eventsOf)
	db.exec(t, "DELETE FROM voided_events WHERE event_id = '9' AND "+of)
	got = hold(t, store, run)[0]
	if got.Gaps != 1 || got.Run.Len() != 3 || !slices.Equal(got.Voided, []string{"1"}) || got.Damage != "" {
		t.Errorf("without a commit's events and a voided id: %+v", got)
	}
	db.exec(t, "UPDATE campaign_metrics SET version = 3 WHERE "+of)
	if got = hold(t, store, run)[0]; !strings.Contains(got.Damage, "later version") {
		t.Errorf("version set back: %+v", got)
	}
	db.exec(t, "DELETE FROM campaign_metrics WHERE "+of)
	if got = hold(t, store, run)[0]; got.Record != nil || got.Version != 4 || got.Run.Len() != 3 || got.Gaps != 1 || got.Damage != "" {
		t.Errorf("without a record: %+v", got)
	}
	db.exec(t, `UPDATE event_chunks SET events = '[["0"]]' WHERE version = 1 AND `+eventsOf)
	if got = hold(t, store, run)[0]; !strings.Contains(got.Damage, "version 1 cannot be read") {
		t.Errorf("events that cannot be read: %+v", got)
	}
	db.exec(t, "UPDATE event_chunks SET events = (SELECT events FROM event_chunks WHERE version = 3 AND "+eventsOf+") WHERE version = 1 AND "+eventsOf)
	if got = hold(t, store, run)[0]; !strings.Contains(got.Damage, "stored twice") {
		t.Errorf("events that are there twice: %+v", got)
	}
}

func (s suite) holdingsDuringCommits(t *testing.T) {
	store, db := s.open(t, Options{})
	w, other := NewWriter(t, store, stream), db.open(t, Options{})
	w.grow(t, 100, func() {
		held := hold(t, other, key("r"))[0]
		if held.Record != nil && (int64(held.Run.Len()) != held.Version || *held.Record.Executions != held.Version) {
			t.Fatalf("version %d with %d events and %d executions", held.Version, held.Run.Len(), *held.Record.Executions)
		}
	})
}

// amendment adds events to what is held, as replay does.
func amendment(held sinks.Holding, at time.Time, list ...events.Event) sinks.RunChange {
	var change sinks.RunChange
	for i := range list {
		if held.Run.Apply(&list[i]) == aggregate.Applied {
			change.Events = append(change.Events, &list[i])
		}
	}
	change.Metrics = held.Run.Metrics()
	change.Metrics.Version, change.Metrics.UpdatedAt = held.Version+1, at
	return change
}

func (s suite) amend(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	run := key("r")
	all := executions(run, 0, 5)
	if err := w.Write(t.Context(), all[:2]...); err != nil {
		t.Fatal(err)
	}
	held, before := hold(t, store, run)[0], w.Position
	change := amendment(held, at(1), all[2:]...)
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(1)}); err != nil {
		t.Fatal(err)
	}
	samePosition(t, position(t, store, stream), before)
	foldsBack(t, store, all)
	dump := db.dump(t)
	var conflict *sinks.VersionConflict
	err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(2)})
	if !errors.As(err, &conflict) || !slices.Equal(conflict.Runs, []uuid.UUID{run.UUID()}) {
		t.Errorf("the same again: %v", err)
	}
	db.untouched(t, dump)
	// The reader of the stream has folded on the version before, and finds out.
	if err := w.Commit(t.Context(), w.Fold(execution(run, "9"))); !errors.As(err, &conflict) {
		t.Errorf("a commit on the version before: %v", err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution(run, "9")); err != nil {
		t.Fatal(err)
	}
	foldsBack(t, store, append(slices.Clone(all), execution(run, "9")))

	// Only figures and voided ids are wrong: nothing is added, and no commit's events are missing afterwards.
	void := events.Event{Key: run, ID: "v", Type: events.ExecutionsVoided, OccurredAt: epoch, Voids: []string{"1"}}
	if err := w.Write(t.Context(), void); err != nil {
		t.Fatal(err)
	}
	db.exec(t, "UPDATE campaign_metrics SET tokens_in = 0")
	db.exec(t, "UPDATE voided_events SET event_id = 'x'")
	held = hold(t, store, run)[0]
	change = amendment(held, at(3))
	change.Voided = held.Run.Voided()
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(3)}); err != nil {
		t.Fatal(err)
	}
	foldsBack(t, store, append(slices.Clone(all), execution(run, "9"), void))
	if held = hold(t, store, run)[0]; held.Gaps != 0 || !slices.Equal(held.Voided, []string{"1"}) {
		t.Errorf("after a correction: %+v", held)
	}
	change = amendment(held, at(4))
	change.Voided = []string{}
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(4)}); err != nil {
		t.Fatal(err)
	}
	if held = hold(t, store, run)[0]; len(held.Voided) != 0 {
		t.Errorf("voided ids after they were emptied: %q", held.Voided)
	}
}

func (s suite) amendDue(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	run := events.Event{Key: key("r"), ID: "f", Type: events.RunFinished, OccurredAt: epoch, Outcome: events.OutcomeCompleted}
	for i, due := range []time.Time{{}, at(100)} {
		run.Key = key(fmt.Sprint(i))
		change := amendment(hold(t, store, run.Key)[0], at(1), run)
		change.Due = due
		if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(1)}); err != nil {
			t.Fatal(err)
		}
	}
	d := newDispatcher(store)
	next(t, d.claim(t, at(2), "0@1"), at(100))
	next(t, d.claim(t, at(100), "1@1"), time.Time{})
	unmarked := db.open(t, Options{})
	change := amendment(hold(t, unmarked, key("0"))[0], at(101), execution(key("0"), "late"))
	if err := unmarked.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(101)}); err != nil {
		t.Fatal(err)
	}
	d.claim(t, at(200))
}

// leftEvents deletes rows of campaign_metrics by hand. Neither the reader of the stream nor a repair stumbles over the
// events that stay: they are of the run.
func (s suite) leftEvents(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	var runs []events.Key
	for i := range 30 {
		runs = append(runs, key(fmt.Sprint(i)))
	}
	write := func(first, n int) {
		t.Helper()
		var list []events.Event
		for _, run := range runs {
			list = append(list, executions(run, first, n)...)
		}
		if err := w.Write(t.Context(), list...); err != nil {
			t.Fatal(err)
		}
	}
	write(0, 2)
	write(2, 1)
	db.exec(t, "DELETE FROM campaign_metrics")
	if err := w.Reload(t.Context()); err != nil { // and the reader knows none of the runs
		t.Fatal(err)
	}
	write(3, 2)
	for _, run := range runs {
		foldsBack(t, store, executions(run, 0, 5))
	}
	db.exec(t, "DELETE FROM campaign_metrics")
	write(5, 1) // the reader has the runs in memory
	for _, run := range runs {
		foldsBack(t, store, executions(run, 0, 6))
	}
	db.exec(t, "DELETE FROM campaign_metrics")
	b := &sinks.Batch{At: at(1)}
	for _, held := range hold(t, store, runs...) {
		b.Runs = append(b.Runs, amendment(held, at(1)))
	}
	if err := store.Amend(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		foldsBack(t, store, executions(run, 0, 6))
	}
	// Rows and events are gone: what the reader has in memory is not what the store has.
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(6, 1)
	db.exec(t, "DELETE FROM event_chunks")
	db.exec(t, "DELETE FROM campaign_metrics")
	db.exec(t, "DELETE FROM deleted_runs") // as if none had ever been deleted with its events left
	var conflict *sinks.VersionConflict
	if err := w.Commit(t.Context(), w.Fold(execution(runs[0], "7"), execution(runs[1], "7"))); !errors.As(err, &conflict) || len(conflict.Runs) != 2 {
		t.Errorf("a commit of two runs that are not there any more: %v", err)
	}
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := amendment(sinks.Holding{Run: aggregate.NewRun(runs[0]), Version: 5}, at(2), execution(runs[0], "7"))
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{late}, At: at(2)}); !errors.As(err, &conflict) {
		t.Errorf("version 6 of a run that is not there: %v", err)
	}
	write(7, 1)
	foldsBack(t, store, executions(runs[0], 7, 1))
}

func (s suite) setBack(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	for i := range 3 {
		if err := w.Write(t.Context(), execution(key("r"), fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	db.exec(t, "UPDATE campaign_metrics SET version = 2")
	if err := w.Write(t.Context(), execution(key("r"), "3")); !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "event_chunks") {
		t.Errorf("a commit on a version that was set back: %v", err)
	}
	db.exec(t, "UPDATE campaign_metrics SET version = 3")
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution(key("r"), "3")); err != nil {
		t.Fatal(err)
	}
	foldsBack(t, store, executions(key("r"), 0, 4))
}

func (s suite) sortedRecords(t *testing.T) {
	store, _ := s.open(t, Options{})
	all := fill(t, store, 40)
	slices.SortFunc(all, func(a, b aggregate.Metrics) int { return slices.Compare(a.RunKey[:], b.RunKey[:]) })
	for _, f := range []sinks.RecordFilter{
		{},
		{CampaignID: all[3].CampaignID},
		{CampaignID: all[5].CampaignID, RunID: all[5].RunID, Phase: all[5].Phase},
		{CampaignID: "absent"},
		{FinishedBefore: epoch.Add(24 * time.Hour)},
		{FinishedBefore: epoch.Add(-24 * time.Hour)},
	} {
		var want, got []aggregate.Metrics
		for _, m := range all {
			if (f.CampaignID == "" || f.CampaignID == m.CampaignID) && (f.RunID == "" || f.RunID == m.RunID) &&
				(f.Phase == "" || f.Phase == m.Phase) &&
				(f.FinishedBefore.IsZero() || m.Status != aggregate.Running && m.FinishedAt.Before(f.FinishedBefore)) {
				want = append(want, m)
			}
		}
		var after uuid.UUID
		for {
			page, err := store.Records(t.Context(), f, after, 7)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if len(page) < 7 {
				break
			}
			after = page[6].RunKey
		}
		same(t, fmt.Sprintf("records of %+v", f), got, want)
	}
}

func (s suite) audit(t *testing.T) {
	store, db := s.open(t, Options{})
	e := sinks.AuditEntry{ID: uuid.New(), Command: "replay", Arguments: "--apply 'x'", Who: "ops@host", Began: at(1),
		Outcome: sinks.AuditRunning, Counts: "{}"}
	if err := store.Audit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := db.rows(t, "SELECT outcome, ended_at FROM audit_log"); len(got) != 1 || got[0][0] != "running" || got[0][1] != "NULL" {
		t.Errorf("begun: %q", got)
	}
	e.Ended, e.Outcome, e.Counts = at(2), sinks.AuditDone, `{"runs": 3}`
	if err := store.Audit(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	got := db.rows(t, "SELECT command, arguments, who, outcome, counts FROM audit_log WHERE ended_at > began_at")
	if len(got) != 1 || !slices.Equal(got[0], []string{"replay", "--apply 'x'", "ops@host", "done", `{"runs": 3}`}) {
		t.Errorf("ended: %q", got)
	}
}
