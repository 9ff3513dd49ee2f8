package consumer_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// rawRows keeps each event as a row, by COPY, and works out the results when somebody looks. It is right: the primary key
// keeps an event that is delivered again from being stored again, and the highest one says where to go on. Measured
// against unnest with ON CONFLICT DO NOTHING, COPY took half of the server's processor time.
var rawRows = &baseline{
	schema: `
CREATE TABLE agent_events (
	stream_sequence  bigint      NOT NULL PRIMARY KEY,
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
	cost_nanos       bigint      NOT NULL
);
CREATE INDEX agent_events_run ON agent_events (campaign_id, run_id, phase);
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
GROUP BY campaign_id, run_id, phase`,
	store: func(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error {
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"agent_events"}, rawColumns,
			pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
				e := &batch[i]
				return []any{e.sequence, e.CampaignID, e.RunID, e.Phase, e.ID, e.OccurredAt, e.AgentID, e.Attempt, e.Status,
					e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated, e.costNanos()}, nil
			}))
		return err
	},
	results: `
SELECT run_id, concat_ws(' ', agents_total, agents_successful, trim_scale(cost_usd)),
	concat_ws(' ', latency_avg_ms, latency_p95_ms, success_rate)
FROM run_metrics`,
}

var rawColumns = []string{"stream_sequence", "campaign_id", "run_id", "phase", "event_id", "occurred_at", "agent_id", "attempt",
	"status", "latency_ms", "tokens_in", "tokens_out", "assets_generated", "cost_nanos"}

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
