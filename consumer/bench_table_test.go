package consumer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// distance is how far away a database is in one direction, where it is not on this machine.
const distance = 15 * time.Millisecond

// line is one of the table.
type line struct {
	name    string
	events  int
	of      *line // the rate is compared with its rate in the same round; may be nil
	measure func(tb testing.TB) sample
	samples []sample // of the rounds
}

// section is the lines of one stream of events.
type section struct {
	title string
	lines []*line
}

// table is what BenchmarkPipeline prints.
type table struct {
	server   *sinktest.PostgresServer
	sections []section
	delays   []*line

	bare, postgres, sqlite, distant, rows, copied, distinct, upsert *line

	// What the pipeline and the baselines stored in the round under way.
	stored map[string]runResult
	byHand map[*baseline]map[string]runResult

	ours, views looks
}

// newTable makes the streams, which hold all their events from then on.
func newTable(b *testing.B) *table {
	// A tenth of them are whole runs, too.
	n := max(benchEvents(b)/4_000, 1) * 4_000
	t := &table{server: sinktest.StartPostgres(b), byHand: make(map[*baseline]map[string]runResult)}
	t.mixed(b, n)
	t.shape(b, "1 agent a run", workload{n / 10, 1, 1})
	t.shape(b, "1,000 agents a run, interleaved over 40 runs", workload{n / 10, 1_000, 40})
	t.shape(b, "one run", workload{n, n, 1})
	t.live(n / 100)
	return t
}

// mixed adds what is measured with n events, and with fewer of the same. Those have streams of their own: who reads a part
// of a stream has read far ahead when the part is committed.
func (t *table) mixed(b *testing.B, n int) {
	stream := func(n int) *broker {
		k := startBroker(b)
		k.fill(b, n)
		return k
	}
	fewer, few := n*3/10, n/10
	k, shorter, short := stream(n), stream(fewer), stream(few)
	t.bare = &line{name: "read by a bare consumer", events: n}
	t.bare.measure = func(tb testing.TB) sample { return k.bareRead(tb, t.server, n) }
	t.postgres = &line{name: "committed to Postgres", events: n, of: t.bare}
	t.postgres.measure = func(tb testing.TB) sample { return t.commit(tb, k, n) }
	t.sqlite = &line{name: "committed to SQLite", events: fewer, of: t.bare}
	t.sqlite.measure = func(tb testing.TB) sample { return shorter.commitAll(tb, t.server, openSQLite(tb), fewer) }
	t.distant = &line{name: "committed to Postgres 30 ms away", events: n, of: t.bare}
	t.distant.measure = func(tb testing.TB) sample {
		dsn := t.server.CreateDatabase(tb)
		return k.commitAll(tb, t.server, openPostgresBy(tb, dsn, sinktest.DelayedDSN(tb, dsn, distance)), n)
	}
	t.rows = t.baseline(short, "by hand: raw rows, as the examples do", exampleRows, few)
	t.distinct = t.baseline(short, "by hand: raw rows, in arrays", distinctRows, few)
	t.copied = t.baseline(short, "by hand: raw rows, COPY, repeats count", copiedRows, few)
	t.upsert = t.baseline(short, "by hand: additive upsert, not exact", additiveUpsert, few)
	t.sections = append(t.sections, section{"10 agents a run, interleaved over 40 runs",
		[]*line{t.bare, t.postgres, t.sqlite, t.distant, t.rows, t.distinct, t.copied, t.upsert}})
}

// shape adds what is measured with a stream of another shape.
func (t *table) shape(b *testing.B, title string, w workload) {
	k := startBroker(b)
	k.publishAll(b, w)
	bare := &line{name: "read by a bare consumer", events: w.events}
	bare.measure = func(tb testing.TB) sample { return k.bareRead(tb, t.server, w.events) }
	committed := &line{name: "committed to Postgres", events: w.events, of: bare}
	committed.measure = func(tb testing.TB) sample {
		return k.commitAll(tb, t.server, openPostgres(tb, t.server), w.events)
	}
	t.sections = append(t.sections, section{title, []*line{bare, committed}})
}

// live adds what is measured while events are published: n through a broker that syncs, and delays.
func (t *table) live(n int) {
	synced := &line{name: "published and committed at once", events: n}
	synced.measure = func(tb testing.TB) sample { return syncedCommits(tb, t.server, workload{n, 10, 40}) }
	t.sections = append(t.sections, section{"each event synced to disk by the broker, NATS_SYNC=always", []*line{synced}})
	near := &line{name: "Postgres on this machine"}
	near.measure = func(tb testing.TB) sample { return delays(tb, t.server, openPostgres(tb, t.server)) }
	far := &line{name: "Postgres 30 ms away"}
	far.measure = func(tb testing.TB) sample {
		dsn := t.server.CreateDatabase(tb)
		return delays(tb, t.server, openPostgresBy(tb, dsn, sinktest.DelayedDSN(tb, dsn, distance)))
	}
	t.delays = []*line{near, far}
}

// commit measures the pipeline and keeps its results for who is compared with it.
func (t *table) commit(tb testing.TB, k *broker, n int) sample {
	tb.Helper()
	dsn := t.server.CreateDatabase(tb)
	result := k.commitAll(tb, t.server, openPostgresBy(tb, dsn, dsn), n)
	conn := connectTo(tb, dsn)
	t.stored = resultsOf(tb, conn, storedResults)
	t.ours.add(tb, conn, "campaign_metrics")
	return result
}

// baseline is the line of a baseline, which also keeps its results.
func (t *table) baseline(k *broker, name string, l *baseline, n int) *line {
	return &line{name: name, events: n, of: t.bare, measure: func(tb testing.TB) sample {
		conn := l.connect(tb, t.server)
		clock := startStopwatch(tb, t.server)
		l.run(tb, k, conn, n)
		result := clock.stop(tb, n)
		t.byHand[l] = resultsOf(tb, conn, l.results)
		if l == distinctRows {
			t.views.add(tb, conn, "run_metrics")
		}
		return result
	}}
}

// measure measures each line once. Every other round goes through them backwards: what gets better or worse within a round
// is not for ever at the cost of the same ones.
func (t *table) measure(b *testing.B, round int) {
	lines := t.lines()
	if round%2 == 1 {
		slices.Reverse(lines)
	}
	for _, l := range lines {
		scoped(b, func(tb testing.TB) { l.samples = append(l.samples, l.measure(tb)) })
	}
	for _, results := range t.byHand {
		compareResults(b, results, t.stored, t.distinct.events/10)
	}
}

// lines are all of them, of each section and the delays.
func (t *table) lines() []*line {
	var all []*line
	for _, s := range t.sections {
		all = append(all, s.lines...)
	}
	return append(all, t.delays...)
}

// looks are how many milliseconds looks at results took: at all runs and at one.
type looks struct{ all, one []float64 }

// add looks at a table or view after its statistics were brought up to date, as the server does by itself before long.
func (l *looks) add(tb testing.TB, conn *pgx.Conn, relation string) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), "VACUUM ANALYZE"); err != nil {
		tb.Fatal(err)
	}
	l.all = append(l.all, look(tb, conn, lookAtAll+relation))
	l.one = append(l.one, look(tb, conn, lookAtOne+relation+ofOneRun))
}
