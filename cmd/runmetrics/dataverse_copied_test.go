package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// copied is a store and the organization that has the copy, for commands that work between them. The service is not
// running: the test commits, and says when something is sent.
type copied struct {
	t            *testing.T
	environ      map[string]string
	organization *emulator.Emulator
	store        sinks.Store
	writer       *sinktest.Writer
	client       *dataverse.Client
	table        *dataverse.Table // nil where the organization began without
}

// newCopied makes an empty store. All requests pass through watch, where one is given.
func newCopied(t *testing.T, organization *emulator.Emulator, watch func(http.Handler) http.Handler) *copied {
	t.Helper()
	var handler http.Handler = organization
	if watch != nil {
		handler = watch(organization)
	}
	w := &copied{t: t, organization: organization, environ: testOrganization(t, handler)}
	w.environ["DATA_DIR"], w.environ["DATAVERSE_MIN_INTERVAL"] = t.TempDir(), "0s" // all that waits is due
	w.client = testClient(t, w.environ)
	w.store = w.open(w.environ)
	w.writer = sinktest.NewWriter(t, w.store, "RUN_EVENTS")
	return w
}

// open opens the store as a program with this environment does.
func (w *copied) open(environ map[string]string) sinks.Store {
	w.t.Helper()
	cfg, err := loadConfig(environ, "")
	if err != nil {
		w.t.Fatal(err)
	}
	store, err := openStore(w.t.Context(), cfg, quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return store
}

// execution is the n-th execution of a run, of an agent of its own, in the n-th minute of a day.
func execution(key events.Key, n int) events.Event {
	return events.Event{Key: key, ID: fmt.Sprintf("%s/%d", key.RunID, n), Type: events.AgentFinished,
		OccurredAt: time.Date(2026, 3, 1, 12, n, 0, 0, time.UTC), AgentID: fmt.Sprint("agent-", n), Attempt: 1,
		Status: events.Succeeded, LatencyMs: int64(1000 + n), TokensIn: 10, TokensOut: 20, AssetsGenerated: 1,
		Cost: events.USD(59_133_500)}
}

func testKey(run string) events.Key { return events.Key{CampaignID: "spring", RunID: run, Phase: "p"} }

// commit gives each run an execution.
func (w *copied) commit(n int, runs ...string) {
	w.t.Helper()
	w.write(w.writer, n, runs...)
}

func (w *copied) write(writer *sinktest.Writer, n int, runs ...string) {
	w.t.Helper()
	list := make([]events.Event, len(runs))
	for i, run := range runs {
		list[i] = execution(testKey(run), n)
	}
	if err := writer.Write(w.t.Context(), list...); err != nil {
		w.t.Fatal(err)
	}
}

// numbered are n names of runs.
func numbered(n int) []string {
	runs := make([]string, n)
	for i := range runs {
		runs[i] = fmt.Sprintf("run-%04d", i)
	}
	return runs
}

// send sends what is due.
func (w *copied) send() {
	w.t.Helper()
	if err := w.dispatcher().Drain(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *copied) dispatcher() *dataverse.Dispatcher {
	w.t.Helper()
	d, err := dataverse.NewDispatcher(dataverse.DispatcherConfig{Client: w.client, Outbox: w.store,
		Table: dataverse.DefaultTable})
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// reconcile runs the command and returns what it reported.
func (w *copied) reconcile(code int, args ...string) reconcileReport {
	w.t.Helper()
	r := call(w.t, w.environ, "", append([]string{"dataverse", "reconcile", "--output", "json"}, args...)...)
	r.want(w.t, code)
	var report reconcileReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		w.t.Fatalf("%v: %s", err, r.stdout)
	}
	return report
}

// set is the name of the table in URLs.
func (w *copied) set() string {
	w.t.Helper()
	if w.table == nil {
		w.table = testTable(w.t, w.client)
	}
	return w.table.EntitySet
}

// create makes a row of a run by hand, with other numbers than the run has, and returns its id.
func (w *copied) create(key events.Key) uuid.UUID {
	w.t.Helper()
	id, err := w.client.Create(w.t.Context(), w.set(), dataverse.Row{columnCampaign: key.CampaignID, columnRun: key.RunID,
		columnPhase: key.Phase, columnTotal: int64(7)})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// remove deletes the row of a run.
func (w *copied) remove(run string) {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), w.set(), testKey(run).UUID()); err != nil {
		w.t.Fatal(err)
	}
}

// change changes a column of a run's row.
func (w *copied) change(run, column string, value any) {
	w.t.Helper()
	if err := w.client.Update(w.t.Context(), w.set(), testKey(run).UUID(), dataverse.Row{column: value}); err != nil {
		w.t.Fatal(err)
	}
}

// wantOneRowARun fails the test unless each run has one row, which is equal to it, and there are no others.
func (w *copied) wantOneRowARun() {
	w.t.Helper()
	copies, err := w.store.Copies(w.t.Context(), sinks.CopyFilter{}, uuid.Nil, 100_000)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := make(map[string]dataverse.Row)
	for _, row := range w.organization.Rows(w.set()) {
		rows[row[w.table.PrimaryID].(string)] = row
	}
	if len(rows) != len(copies) {
		w.t.Errorf("%d rows of %d runs", len(rows), len(copies))
	}
	for i := range copies {
		c := &copies[i]
		if row, exists := rows[c.RowID.String()]; !exists {
			w.t.Errorf("run %s has no row", c.Metrics.RunID)
		} else if different := w.table.Same(&c.Metrics, row); len(different) > 0 {
			w.t.Errorf("run %s: %v", c.Metrics.RunID, different)
		}
	}
}
