package sinktest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) sqlTests() []test {
	return []test{
		{"PlainSQLRecomputesEveryRecord", s.recompute},
		{"ViewsShowEventsAsTheyAre", s.views},
		{"LedgerHoldsOneRow", s.ledgerRow},
	}
}

// recomputed is every number of campaign_metrics that its counted events make, from agent_runs and run_events alone.
// Words in braces differ between the dialects.
const recomputed = `
WITH finals AS (
	SELECT * FROM (
		SELECT r.*, row_number() OVER (PARTITION BY run_key, agent_id
			ORDER BY attempt DESC, occurred_at DESC, id {bytes} DESC) AS place
		FROM agent_runs r) ranked
	WHERE place = 1),
executions AS (
	SELECT run_key, count(*) AS executions, sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out,
		{cost} AS cost_usd, CASE WHEN count(cost_nanos) = count(*) THEN 1 ELSE 0 END AS cost_complete
	FROM agent_runs GROUP BY run_key),
outcomes AS (
	SELECT run_key, sum(assets_generated) AS assets, count(*) AS ended, max(occurred_at) AS last_at,
		sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
		sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS failed,
		sum(CASE WHEN status = 'cancelled' THEN 1 ELSE 0 END) AS cancelled
	FROM finals GROUP BY run_key),
latencies AS ({latencies}),
seen AS (
	SELECT run_key, count(*) AS seen FROM (
		SELECT run_key, agent_id FROM agent_runs
		UNION SELECT run_key, agent_id FROM run_events WHERE type = 'agent.started') agents
	GROUP BY run_key),
created AS (
	SELECT run_key, min(occurred_at) AS created_at FROM (
		SELECT run_key, occurred_at FROM agent_runs UNION ALL SELECT run_key, occurred_at FROM run_events) every_event
	GROUP BY run_key),
latest AS (
	SELECT * FROM (
		SELECT e.*, row_number() OVER (PARTITION BY run_key, type ORDER BY occurred_at DESC, id {bytes} DESC) AS place
		FROM run_events e WHERE type IN ('run.started', 'run.finished')) ranked
	WHERE place = 1),
counted AS (
	SELECT m.run_key, coalesce(x.executions, 0) AS executions, coalesce(x.tokens_in, 0) AS tokens_in,
		coalesce(x.tokens_out, 0) AS tokens_out, x.cost_usd, coalesce(x.cost_complete, 1) AS cost_complete,
		coalesce(o.assets, 0) AS assets, coalesce(o.ended, 0) AS ended, o.last_at,
		coalesce(o.succeeded, 0) AS succeeded, coalesce(o.failed, 0) AS failed, coalesce(o.cancelled, 0) AS cancelled,
		coalesce(s.seen, 0) AS seen, c.created_at, b.agents_expected AS expected, f.occurred_at AS finish_at,
		CASE WHEN f.outcome IS NOT NULL THEN f.outcome
			WHEN coalesce(o.succeeded, 0) + coalesce(o.cancelled, 0) >= b.agents_expected THEN 'completed'
			ELSE 'running' END AS status
	FROM campaign_metrics m
	LEFT JOIN executions x ON x.run_key = m.run_key
	LEFT JOIN outcomes o ON o.run_key = m.run_key
	LEFT JOIN seen s ON s.run_key = m.run_key
	LEFT JOIN created c ON c.run_key = m.run_key
	LEFT JOIN latest b ON b.run_key = m.run_key AND b.type = 'run.started'
	LEFT JOIN latest f ON f.run_key = m.run_key AND f.type = 'run.finished'
	WHERE m.source = 'events'),
totals AS (
	SELECT c.*, CASE WHEN status <> 'running' AND expected > seen THEN expected ELSE seen END AS total,
		CASE WHEN status = 'running' THEN succeeded + failed
			WHEN expected > seen THEN expected - cancelled ELSE seen - cancelled END AS divisor
	FROM counted c)
SELECT t.run_key, t.status, total, succeeded, failed, cancelled, seen - ended AS running,
	CASE WHEN expected > seen THEN expected - seen ELSE 0 END AS missing, expected, executions, assets, tokens_in, tokens_out,
	cost_usd, cost_complete, l.average, l.p50, l.p95, l.p99, l.most,
	CASE WHEN divisor > 0 THEN {rate} END AS hundredths, created_at,
	CASE WHEN status <> 'running' THEN coalesce(finish_at, last_at) END AS finished_at
FROM totals t LEFT JOIN latencies l ON l.run_key = t.run_key ORDER BY t.run_key`

// stored is the same of the table, column by column.
const stored = `
SELECT run_key, status, agents_total, agents_successful, agents_failed, agents_cancelled, agents_running, agents_missing,
	agents_expected, executions, assets_generated, tokens_in, tokens_out, cost_usd,
	CASE WHEN {complete} THEN 1 ELSE 0 END, latency_avg_ms, latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms,
	cast(round(success_rate * 100) AS integer), created_at, finished_at
FROM campaign_metrics WHERE source = 'events' ORDER BY run_key`

const costColumn = 13

// words are what the dialects say differently. Nearest rank is percentile_disc where that exists.
var words = map[Dialect]*strings.Replacer{
	SQLite: strings.NewReplacer("{bytes}", "", "{complete}", "cost_complete = 1",
		"{cost}", `(sum(cost_nanos / 1000000000) + sum(cost_nanos % 1000000000) / 1000000000)
			|| printf('.%09d', sum(cost_nanos % 1000000000) % 1000000000)`,
		"{rate}", "(2 * 10000 * succeeded + divisor) / (2 * divisor)",
		"{latencies}", `
	SELECT run_key, (2 * sum(latency_ms) + count(*)) / (2 * count(*)) AS average,
		max(CASE WHEN rank = ceil(n * 50 / 100.0) THEN latency_ms END) AS p50,
		max(CASE WHEN rank = ceil(n * 95 / 100.0) THEN latency_ms END) AS p95,
		max(CASE WHEN rank = ceil(n * 99 / 100.0) THEN latency_ms END) AS p99, max(latency_ms) AS most
	FROM (
		SELECT run_key, latency_ms, row_number() OVER (PARTITION BY run_key ORDER BY latency_ms) AS rank,
			count(*) OVER (PARTITION BY run_key) AS n
		FROM finals WHERE status <> 'cancelled') ranked
	GROUP BY run_key`),
	Postgres: strings.NewReplacer("{bytes}", `COLLATE "C"`, "{complete}", "cost_complete",
		"{cost}", "sum(cost_usd)",
		"{rate}", "floor((2 * 10000 * succeeded + divisor)::numeric / (2 * divisor))::integer",
		"{latencies}", `
	SELECT run_key, floor((2 * sum(latency_ms) + count(*))::numeric / (2 * count(*)))::bigint AS average,
		percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) AS p50,
		percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS p95,
		percentile_disc(0.99) WITHIN GROUP (ORDER BY latency_ms) AS p99, max(latency_ms) AS most
	FROM finals WHERE status <> 'cancelled' GROUP BY run_key`),
}

// recompute writes random histories and lets the database add them up.
func (s suite) recompute(t *testing.T) {
	store, db := s.open(t, Options{})
	h := newHistory(t, 40)
	w := NewWriter(t, store, stream)
	for range 30 {
		if err := w.Write(t.Context(), h.take(50)...); err != nil {
			t.Fatal(err)
		}
	}
	got := db.rows(t, words[db.Dialect].Replace(recomputed))
	want := db.rows(t, words[db.Dialect].Replace(stored))
	if len(got) != len(want) || len(want) < 20 {
		t.Fatalf("recomputed %d runs of %d", len(got), len(want))
	}
	for i := range want {
		for _, row := range [][]string{got[i], want[i]} {
			row[costColumn] = plainMoney(t, row[costColumn])
		}
		if g, w := fmt.Sprint(got[i]), fmt.Sprint(want[i]); g != w {
			t.Errorf("recomputed %s\nstored     %s", g, w)
		}
	}
}

// plainMoney writes a sum of dollars in one way; no cost at all is no money.
func plainMoney(t testing.TB, s string) string {
	if s == "NULL" {
		s = "0"
	}
	m, err := aggregate.ParseMoney(s)
	if err != nil {
		t.Fatalf("cost %q: %v", s, err)
	}
	return m.String()
}

// views compares every column of the views with the events of one run.
func (s suite) views(t *testing.T) {
	store, db := s.open(t, Options{})
	run := events.Key{CampaignID: `c'"\`, RunID: "🚀", Phase: "1"}
	full := execution(run, `e'"\1`)
	full.Attempt, full.Status, full.AgentName, full.Model, full.Error = 3, events.Failed, "name\u2028", "model", "error\n\"\\"
	full.Cost = events.USD(1_000_000*events.NanosPerUSD - 1)
	bare := execution(run, "2")
	bare.Cost, bare.OccurredAt = events.Cost{}, epoch.Truncate(1e9)
	list := []events.Event{full, bare, execution(run, "voided"),
		{Key: run, ID: "3", Type: events.AgentStarted, OccurredAt: epoch, AgentID: "a", Attempt: 1},
		{Key: run, ID: "4", Type: events.RunStarted, OccurredAt: epoch.Truncate(1e9), AgentsExpected: 7},
		{Key: run, ID: "5", Type: events.RunFinished, OccurredAt: epoch.Add(99e6), Outcome: events.OutcomeFailed},
		{Key: run, ID: "6", Type: events.ExecutionsVoided, OccurredAt: epoch, Voids: []string{"voided", "6", "7", "later"}},
		{Key: run, ID: "7", Type: events.RunStarted, OccurredAt: epoch},
	}
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), execution(run, "later")); err != nil {
		t.Fatal(err)
	}
	names := fmt.Sprintf("%s %s %s %s", run.UUID(), run.CampaignID, run.RunID, run.Phase)
	want := fmt.Sprintf("[[%s 2 agent-2 1 succeeded 1200 1000 200 1 NULL NULL   ] "+
		"[%s %s agent-%s 3 failed 1200 1000 200 1 %d 1 %s]]",
		names, names, full.ID, full.ID, int64(full.Cost.Nanos), "name\u2028 model error\n\"\\")
	got := fmt.Sprint(db.rows(t, `SELECT run_key, campaign_id, run_id, phase, id, agent_id, attempt, status,
		latency_ms, tokens_in, tokens_out, assets_generated, cost_nanos,
		CASE WHEN cost_usd BETWEEN 999999.99 AND 1000000 THEN 1 END, agent_name, model, error
		FROM agent_runs ORDER BY attempt`))
	if got != want {
		t.Errorf("agent_runs %q\nwant       %q", got, want)
	}
	want = fmt.Sprintf("[[%s 3 agent.started a NULL NULL] [%s 4 run.started NULL 7 NULL] [%s 5 run.finished NULL NULL failed] "+
		"[%s 6 executions.voided NULL NULL NULL]]", names, names, names, names)
	got = fmt.Sprint(db.rows(t, `SELECT run_key, campaign_id, run_id, phase, id, type, agent_id, agents_expected, outcome
		FROM run_events ORDER BY id`))
	if got != want {
		t.Errorf("run_events %q\nwant       %q", got, want)
	}
	s.viewTimes(t, store, db)
}

// viewTimes looks for each instant in the views as text of the table's kind: created_at of the only record is the earliest.
func (s suite) viewTimes(t *testing.T, store sinks.Store, db Database) {
	rows := db.rows(t, `SELECT count(*) FROM campaign_metrics m WHERE
		m.created_at = (SELECT min(occurred_at) FROM agent_runs) AND
		m.created_at = (SELECT min(occurred_at) FROM run_events) AND
		m.finished_at = (SELECT occurred_at FROM run_events WHERE type = 'run.finished') AND
		m.finished_at > (SELECT max(occurred_at) FROM agent_runs)`)
	if rows[0][0] != "1" {
		list, err := store.List(t.Context(), sinks.Filter{}, nil, 10)
		t.Errorf("times of the views differ from the record's: %s%v\n%v\n%v", show(list...), err,
			db.rows(t, "SELECT id, occurred_at FROM agent_runs"), db.rows(t, "SELECT id, occurred_at FROM run_events"))
	}
}

func (s suite) ledgerRow(t *testing.T) {
	store, db := s.open(t, Options{})
	identity, err := store.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := db.rows(t, "SELECT id FROM ledger"); len(rows) != 1 || rows[0][0] != identity.Ledger.String() {
		t.Errorf("ledger %v, identity %v", rows, identity)
	}
	if v := identity.Ledger.Version(); v != 4 {
		t.Errorf("ledger id %v is of version %d, not random", identity.Ledger, v)
	}
}
