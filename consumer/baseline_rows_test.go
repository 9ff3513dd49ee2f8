package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Three baselines keep each event as a row and work out the results when somebody looks. None stores an event twice that
// is delivered twice.
var (
	// exampleRows is what one gets by following the examples of both libraries: a consumer as it comes, and a pgx.Batch of
	// INSERTs, one for each event.
	exampleRows = &baseline{schema: rowsTable("campaign_id, run_id, phase, event_id") + rowsView, explicit: true,
		store: insertOneByOne, results: rowsResults}
	// copiedRows is as fast as rows get. An event that is published twice counts twice, unless the broker still knows its
	// message id: a COPY cannot leave out what is there already. Where it stopped, the highest sequence says.
	copiedRows = &baseline{schema: rowsTable("stream_sequence") + rowsIndex + rowsView, store: copyRows, results: rowsResults}
	// distinctRows takes an event once however often it is published, as the pipeline does.
	distinctRows = &baseline{schema: rowsTable("campaign_id, run_id, phase, event_id") + rowsView, store: insertRows,
		results: rowsResults}
)

func rowsTable(key string) string {
	return `
CREATE TABLE agent_events (
	stream_sequence  bigint      NOT NULL,
	campaign_id      text        NOT NULL,
	run_id           text        NOT NULL,
	phase            text        NOT NULL,
	event_id         text        NOT NULL,
	occurred_at      timestamptz NOT NULL,
	agent_id         text        NOT NULL,
	attempt          integer     NOT NULL,
	status           text        NOT NULL,
	latency_ms       integer     NOT NULL,
	tokens_in        bigint      NOT NULL,
	tokens_out       bigint      NOT NULL,
	assets_generated bigint      NOT NULL,
	cost_nanos       bigint      NOT NULL,
	PRIMARY KEY (` + key + `)
);`
}

const (
	rowsIndex = `
CREATE INDEX agent_events_run ON agent_events (campaign_id, run_id, phase);`

	rowsView = `
CREATE VIEW run_metrics AS
SELECT campaign_id, run_id, phase,
	count(*) AS agents_total,
	count(*) FILTER (WHERE status = 'succeeded') AS agents_successful,
	sum(tokens_in) AS tokens_in, sum(tokens_out) AS tokens_out, sum(assets_generated) AS assets_generated,
	sum(cost_nanos) / 1e9 AS cost_usd,
	round(avg(latency_ms)) AS latency_avg_ms,
	percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) AS latency_p95_ms,
	round(100.0 * count(*) FILTER (WHERE status = 'succeeded') / count(*), 2) AS success_rate,
	min(occurred_at) AS created_at
FROM agent_events
GROUP BY campaign_id, run_id, phase`

	rowsResults = `
SELECT run_id, concat_ws(' ', agents_total, agents_successful, trim_scale(cost_usd)),
	concat_ws(' ', latency_avg_ms, latency_p95_ms, success_rate)
FROM run_metrics`

	insertEvents = `
INSERT INTO agent_events
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[],
	$8::integer[], $9::text[], $10::integer[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
ON CONFLICT DO NOTHING`
)

const insertEvent = `
INSERT INTO agent_events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT DO NOTHING`

func insertOneByOne(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error {
	pipeline := new(pgx.Batch)
	for i := range batch {
		pipeline.Queue(insertEvent, batch[i].row()...)
	}
	return conn.SendBatch(ctx, pipeline).Close()
}

// row is what a row holds of the event.
func (e *baselineEvent) row() []any {
	return []any{e.sequence, e.CampaignID, e.RunID, e.Phase, e.ID, e.OccurredAt, e.AgentID, e.Attempt, e.Status,
		e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated, e.costNanos()}
}

var rowsColumns = []string{"stream_sequence", "campaign_id", "run_id", "phase", "event_id", "occurred_at", "agent_id", "attempt",
	"status", "latency_ms", "tokens_in", "tokens_out", "assets_generated", "cost_nanos"}

func copyRows(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error {
	_, err := conn.CopyFrom(ctx, pgx.Identifier{"agent_events"}, rowsColumns,
		pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
			return batch[i].row(), nil
		}))
	return err
}

func insertRows(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error {
	_, err := conn.Exec(ctx, insertEvents,
		column(batch, func(e *baselineEvent) int64 { return e.sequence }),
		column(batch, func(e *baselineEvent) string { return e.CampaignID }),
		column(batch, func(e *baselineEvent) string { return e.RunID }),
		column(batch, func(e *baselineEvent) string { return e.Phase }),
		column(batch, func(e *baselineEvent) string { return e.ID }),
		column(batch, func(e *baselineEvent) time.Time { return e.OccurredAt }),
		column(batch, func(e *baselineEvent) string { return e.AgentID }),
		column(batch, func(e *baselineEvent) int64 { return e.Attempt }),
		column(batch, func(e *baselineEvent) string { return e.Status }),
		column(batch, func(e *baselineEvent) int64 { return e.LatencyMs }),
		column(batch, func(e *baselineEvent) int64 { return e.TokensIn }),
		column(batch, func(e *baselineEvent) int64 { return e.TokensOut }),
		column(batch, func(e *baselineEvent) int64 { return e.AssetsGenerated }),
		column(batch, (*baselineEvent).costNanos))
	return err
}

// column is one value of each event.
func column[T any](batch []baselineEvent, value func(*baselineEvent) T) []T {
	list := make([]T, len(batch))
	for i := range batch {
		list[i] = value(&batch[i])
	}
	return list
}

// Two looks at results, in a view or a table that has the columns: what all runs come to, and one run.
const (
	lookAtAll = "SELECT count(*), sum(agents_total), sum(cost_usd), max(latency_p95_ms), min(success_rate) FROM "
	lookAtOne = "SELECT agents_total, cost_usd, latency_p95_ms, success_rate FROM "
	ofOneRun  = " WHERE campaign_id = 'campaign' AND run_id = 'run-0'"
)

// look is how many milliseconds a query takes that returns one row, on a connection that has sent it before.
func look(tb testing.TB, conn *pgx.Conn, query string) (took float64) {
	tb.Helper()
	for range 2 {
		began := time.Now()
		rows, err := conn.Query(tb.Context(), query)
		if err != nil {
			tb.Fatal(err)
		}
		rows.Close()
		if rows.Err() != nil || rows.CommandTag().RowsAffected() != 1 {
			tb.Fatalf("%s: %v, %v", query, rows.CommandTag(), rows.Err())
		}
		took = ms(time.Since(began))
	}
	return took
}
