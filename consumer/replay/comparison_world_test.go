package replay_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// storedAt is when the stream of the tests stored its first message; one came every minute.
var storedAt = time.Date(2026, 2, 14, 14, 0, 0, 0, time.UTC)

// listed is a source in memory: the messages of a stream, from a sequence on. A file has none.
type listed struct {
	list  []events.Event
	first uint64
	file  bool
}

func (l listed) Name() string { return "list" }

func (l listed) Read(_ context.Context, each func(*replay.Record) error) error {
	for i := range l.list {
		r := replay.Record{Event: l.list[i], Sequence: max(1, l.first) + uint64(i)}
		if !l.file {
			r.Time = storedAt.Add(time.Duration(r.Sequence-1) * time.Minute)
		}
		if err := each(&r); err != nil {
			return err
		}
	}
	return nil
}

// history is what is known of it.
func (l listed) history() replay.History {
	if l.file {
		return replay.History{}
	}
	first := max(1, l.first)
	return replay.History{First: first, FirstTime: storedAt.Add(time.Duration(first-1) * time.Minute)}
}

// ledger is a store with a way behind its back.
type ledger struct {
	sinks.Store
	sql *sql.DB
}

func openLedger(t testing.TB) *ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "runmetrics.db")
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &ledger{store, db}
}

// exec changes tables by hand.
func (l *ledger) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := l.sql.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// write commits events in batches of a few, as the service does.
func (l *ledger) write(t testing.TB, list []events.Event) *sinktest.Writer {
	t.Helper()
	w := sinktest.NewWriter(t, l.Store, streamName)
	for part := range slices.Chunk(list, 7) {
		if err := w.Write(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// contents is all that the store holds of runs, but for what depends on how many commits there were. What cannot be read is
// a part of it.
func (l *ledger) contents(t testing.TB) string {
	t.Helper()
	records, err := l.Records(t.Context(), sinks.RecordFilter{}, uuid.Nil, 1_000_000)
	if err != nil {
		return err.Error()
	}
	var text string
	for _, m := range records {
		m.Version, m.UpdatedAt = 0, time.Time{}
		held, err := l.Holdings(t.Context(), []events.Key{m.Key()})
		if err != nil {
			t.Fatal(err)
		}
		list, err := sinks.EventsOf(t.Context(), l, m.RunKey)
		if err != nil {
			text += err.Error()
		}
		ids := make([]string, len(list))
		for i := range list {
			ids[i] = string(events.Encode(&list[i]))
		}
		slices.Sort(ids)
		record, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("%s\n%q\n%q gaps %d damage %q\n", record, ids, held[0].Voided, held[0].Gaps, held[0].Damage)
	}
	return text
}

// compare runs a comparison, and returns what it found.
func (l *ledger) compare(t testing.TB, apply bool, sources ...listed) (*replay.Comparison, []replay.Difference) {
	t.Helper()
	c, found := l.comparison(apply, sources...)
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c, *found
}

func (l *ledger) comparison(apply bool, sources ...listed) (*replay.Comparison, *[]replay.Difference) {
	c := &replay.Comparison{Store: l.Store, Apply: apply, IdleTimeout: 30 * time.Minute, Place: replay.Place{Parts: 4}}
	for _, s := range sources {
		c.Sources = append(c.Sources, s)
		c.Histories = append(c.Histories, s.history())
	}
	found := new([]replay.Difference)
	c.Found = func(d *replay.Difference) { *found = append(*found, *d) }
	return c, found
}

// runs makes n executions each of some runs, those of one run together, and the end of each.
func runs(n int, names ...string) []events.Event {
	var list []events.Event
	for _, name := range names {
		for i := range n {
			e := finished(name, i)
			e.CampaignID = "campaign"
			list = append(list, e)
		}
		key := list[len(list)-1].Key
		list = append(list, events.Event{Key: key, ID: "end", Type: events.RunFinished, OccurredAt: list[len(list)-1].OccurredAt,
			Outcome: events.OutcomeCompleted})
	}
	return list
}

func keyOf(run string) events.Key {
	return events.Key{CampaignID: "campaign", RunID: run, Phase: "main"}
}

func id(run string) string { return keyOf(run).UUID().String() }

// verdicts are what was found, by run.
func verdicts(list []replay.Difference) map[string]replay.Verdict {
	found := make(map[string]replay.Verdict)
	for _, d := range list {
		found[d.RunID] = d.Verdict
	}
	return found
}

// repairs is a store that somebody interferes with.
type repairs struct {
	sinks.Repairs
	amend func(b *sinks.Batch) (done bool, err error)
}

func (r *repairs) Amend(ctx context.Context, b *sinks.Batch) error {
	if done, err := r.amend(b); done || err != nil {
		return err
	}
	return r.Repairs.Amend(ctx, b)
}

// folded is the record of a run after events.
func folded(list []events.Event) aggregate.Metrics {
	run := aggregate.NewRun(list[0].Key)
	for i := range list {
		run.Apply(&list[i])
	}
	return run.Metrics()
}
