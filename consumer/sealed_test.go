package consumer_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
)

// TestEventsForASealedRunAreDeadLetters seals a run that the reader has in memory, and reads on, also after a restart. Runs
// beside it in the same batch go on.
func TestEventsForASealedRunAreDeadLetters(t *testing.T) {
	t.Parallel()
	b, store := startBroker(t), openSQLite(t)
	reader := b.startReader(t, store)
	list := []events.Event{finished("old", 1), finished("old", 2), finished("other", 1),
		{Key: finished("old", 1).Key, ID: "end", Type: events.RunFinished, OccurredAt: finished("old", 2).OccurredAt, Outcome: events.OutcomeCompleted}}
	waitCommitted(t, b, store, b.publish(t, messagesOf(list)...))
	record, _, err := store.Get(t.Context(), list[0].UUID())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := store.Seal(t.Context(), []aggregate.Metrics{record}, time.Now()); n != 1 || err != nil {
		t.Fatalf("sealed %d runs: %v", n, err)
	}
	late := []events.Event{finished("old", 3), finished("other", 2), finished("old", 1)}
	p := waitCommitted(t, b, store, b.publish(t, messagesOf(late)...))
	if p.Applied != 5 || p.DeadLetters != 2 {
		t.Errorf("position %+v", p)
	}
	if err := reader.stop(); err != nil {
		t.Fatal(err)
	}
	again := b.startReader(t, store)
	p = waitCommitted(t, b, store, b.publish(t, messagesOf([]events.Event{finished("old", 4), finished("other", 3), finished("old", 5)})...))
	if p.Applied != 6 || p.DeadLetters != 4 || p.Sequence != 10 {
		t.Errorf("position after a restart %+v", p)
	}
	if state := again.Status().State; state != consumer.Active {
		t.Errorf("state %s", state)
	}
	if got, _, err := store.Get(t.Context(), list[0].UUID()); err != nil || asJSON(t, got) != asJSON(t, record) {
		t.Errorf("the sealed record is %s, was %s: %v", asJSON(t, got), asJSON(t, record), err)
	}
	if n, err := store.CountDeadLetters(t.Context(), "campaign", "old"); n != 4 || err != nil {
		t.Errorf("%d dead letters of the sealed run: %v", n, err)
	}
	expect(t, store, append(list, finished("other", 2), finished("other", 3)))
}

// TestARowThatWasDeletedStopsNothing deletes the rows of runs by hand while the reader has some of them in memory. Their next
// event brings them back whole.
func TestARowThatWasDeletedStopsNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	path := t.TempDir() + "/runmetrics.db"
	store := openSQLiteAt(t, path)
	reader := b.startReader(t, store)
	list := history(400)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:200])...))
	deleteRows(t, path)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[200:300])...))
	if err := reader.stop(); err != nil {
		t.Fatal(err)
	}
	deleteRows(t, path)
	b.startReader(t, store)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[300:])...))
	expect(t, store, list)
}

func deleteRows(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "DELETE FROM campaign_metrics"); err != nil {
		t.Fatal(err)
	}
}
