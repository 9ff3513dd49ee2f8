package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// A file of before runs had numbers keeps all it has, also the events of runs whose rows somebody deleted.
func TestOlderFileIsMigratedWithItsEvents(t *testing.T) {
	var list []events.Event
	for i := range 100 {
		for _, run := range []string{"r", "deleted", "other deleted"} {
			list = append(list, executionOf(run, fmt.Sprint(i)))
		}
	}
	for _, deleted := range []string{"", "deleted", "%deleted", "%"} {
		path := olderFile(t, 4, list[:150])
		plain := openPlain(t, path)
		if _, err := plain.Exec("DELETE FROM campaign_metrics WHERE run_id LIKE $1", deleted); err != nil {
			t.Fatal(err)
		}
		store := openAt(t, path)
		w := sinktest.NewWriter(t, store, "RUN_EVENTS")
		if err := w.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(t.Context(), executionOf("new", "0")); err != nil { // must not get the number of events that are there
			t.Fatal(err)
		}
		if err := w.Write(t.Context(), list[150:]...); err != nil {
			t.Fatal(err)
		}
		for first := range 3 {
			var want []events.Event
			for i := first; i < len(list); i += 3 {
				want = append(want, list[i])
			}
			got, err := sinks.EventsOf(context.Background(), store, want[0].Key.UUID())
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("without the row of %q: read back of %s: %v, %v", deleted, want[0].RunID, got, err)
			}
		}
		var rows int
		if err := store.reader.QueryRow("SELECT count(*) FROM agent_runs").Scan(&rows); err != nil || rows != len(list)+1 {
			t.Errorf("%d rows of agent_runs, %v", rows, err)
		}
	}
}

// olderFile has a schema of an older version with events in it. What the store writes today is brought into the form that it
// had then: the chunks of a run stood by its key.
func olderFile(t *testing.T, version int64, list []events.Event) (path string) {
	t.Helper()
	today, path := filepath.Join(t.TempDir(), "today.db"), filepath.Join(t.TempDir(), "older.db")
	store := openAt(t, today)
	if err := sinktest.NewWriter(t, store, "RUN_EVENTS").Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	older := openPlain(t, path)
	older.SetMaxOpenConns(1) // of which the attached file is
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, older, files, goose.WithLogger(goose.NopLogger()),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	columns := metricsList + ", sealed_at, latencies"
	for _, statement := range []string{
		"ATTACH '" + today + "' AS today",
		"INSERT INTO stream_positions SELECT * FROM today.stream_positions",
		fmt.Sprintf("INSERT INTO campaign_metrics (%[1]s) SELECT %[1]s FROM today.campaign_metrics", columns),
		`INSERT INTO event_chunks (run_key, version, events, latencies)
			SELECT m.run_key, c.version, c.events, c.latencies FROM today.event_chunks c JOIN today.campaign_metrics m USING (number)`,
		"DETACH today",
	} {
		if _, err := older.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return path
}

func executionOf(run, id string) events.Event {
	return events.Event{Key: events.Key{CampaignID: "c", RunID: run, Phase: "p"}, ID: run + id, Type: events.AgentFinished, AgentID: id,
		Attempt: 1, Status: events.Succeeded, LatencyMs: 100, OccurredAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// openPlain opens a file without the store.
func openPlain(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
