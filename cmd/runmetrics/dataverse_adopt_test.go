package main

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// rowIDs are the ids of the runs' rows as the store has them, by run.
func (w *copied) rowIDs() map[string]uuid.UUID {
	w.t.Helper()
	copies, err := w.store.Copies(w.t.Context(), sinks.CopyFilter{}, uuid.Nil, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make(map[string]uuid.UUID)
	for i := range copies {
		ids[copies[i].Metrics.RunID] = copies[i].RowID
	}
	return ids
}

func TestAdoptLeavesOneRowARun(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "by hand", "both", "three", "ours")
	w.send()
	w.remove("by hand")
	made := map[string]uuid.UUID{"by hand": w.create(testKey("by hand")), "both": w.create(testKey("both"))}
	three := []uuid.UUID{w.create(testKey("three")), w.create(testKey("three")), w.create(testKey("three"))}

	got := w.reconcile(exitOK, "--adopt", "--repair").Counts
	if want := (counts{Rows: 8, Runs: 4, Equal: 4, Adopted: 3, Removed: 4}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	w.wantOneRowARun()
	ids := w.rowIDs()
	for run, id := range made {
		if ids[run] != id {
			t.Errorf("run %s has row %s, not the one that was made by hand, %s", run, ids[run], id)
		}
	}
	if ids["ours"] != testKey("ours").UUID() {
		t.Errorf("the run without another row has row %s", ids["ours"])
	}
	if id := ids["three"]; id != three[0] && id != three[1] && id != three[2] {
		t.Errorf("of three rows none was kept, but %s", id)
	}

	// What is adopted stays so: new versions go to that row, and a further row by hand is one too many.
	w.commit(2, "by hand")
	w.create(testKey("by hand"))
	got = w.reconcile(exitOK, "--adopt", "--repair").Counts
	if want := (counts{Rows: 5, Runs: 4, Equal: 4, Removed: 1}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	w.wantOneRowARun()
	if id := w.rowIDs()["by hand"]; id != made["by hand"] {
		t.Errorf("the row changed to %s", id)
	}
}

func TestAdoptAloneLeavesTheWritingToTheService(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "both")
	w.send()
	id := w.create(testKey("both"))
	got := w.reconcile(exitOK, "--adopt").Counts
	if want := (counts{Rows: 2, Runs: 1, Waiting: 1, Adopted: 1, Removed: 1}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	rows := w.organization.Rows(w.set())
	if len(rows) != 1 || rows[0][w.table.PrimaryID] != id.String() || rows[0][columnTotal] != json.Number("7") ||
		w.rowIDs()["both"] != id {
		t.Errorf("the row that was made by hand, %s, is not the run's as it was: %v", id, rows)
	}
	w.send()
	w.wantOneRowARun()
}

// A request that is on its way may make the row again which a run has left.
func TestAdoptKeepsARowToWhichSomethingIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "busy")
	w.send()
	w.create(testKey("busy"))
	w.commit(2, "busy")
	got := w.reconcile(exitLeftovers, "--adopt").Counts
	if want := (counts{Rows: 2, OtherID: 1, Runs: 1, Waiting: 1, Adopted: 1}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	w.send()
	got = w.reconcile(exitOK, "--adopt").Counts
	if want := (counts{Rows: 2, Runs: 1, Equal: 1, Removed: 1}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	w.wantOneRowARun()
}

func TestAdoptTouchesNoRowOfAnotherRun(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "a", "b")
	w.send()
	w.create(events.Key{CampaignID: "spring", RunID: "a", Phase: "another"})
	w.create(events.Key{})
	w.change("b", columnRun, "a") // the row of one run says that it is of the other
	report := w.reconcile(exitLeftovers, "--adopt", "--repair")
	if want := (counts{Rows: 4, Unknown: 2, Runs: 2, Equal: 2, Repaired: 1}); report.Counts != want {
		t.Errorf("counts %+v\n  want %+v", report.Counts, want)
	}
	if rows := w.organization.Rows(w.set()); len(rows) != 4 {
		t.Errorf("%d rows are left of 4", len(rows))
	}
}
