package consumer_test

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/events"
)

// additiveUpsert adds up each batch in memory and adds the sums to a row of each run. It is wrong: a batch that was stored
// when the process died before it was acknowledged is added again, nothing tells that it was, and there are no percentiles.
var additiveUpsert = &baseline{
	schema: `
CREATE TABLE run_totals (
	campaign_id       text        NOT NULL,
	run_id            text        NOT NULL,
	phase             text        NOT NULL,
	agents_total      bigint      NOT NULL,
	agents_successful bigint      NOT NULL,
	tokens_in         bigint      NOT NULL,
	tokens_out        bigint      NOT NULL,
	assets_generated  bigint      NOT NULL,
	cost_nanos        bigint      NOT NULL,
	latency_sum_ms    bigint      NOT NULL,
	updated_at        timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (campaign_id, run_id, phase)
)`,
	store: func(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error {
		_, err := conn.Exec(ctx, addTotals, totalsOf(batch).arguments()...)
		return err
	},
	results: `
SELECT run_id, concat_ws(' ', agents_total, agents_successful, trim_scale(cost_nanos / 1e9)), '' FROM run_totals`,
}

const addTotals = `
INSERT INTO run_totals AS m (campaign_id, run_id, phase, agents_total, agents_successful, tokens_in, tokens_out,
	assets_generated, cost_nanos, latency_sum_ms)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
	$8::bigint[], $9::bigint[], $10::bigint[])
ON CONFLICT (campaign_id, run_id, phase) DO UPDATE SET
	agents_total = m.agents_total + excluded.agents_total,
	agents_successful = m.agents_successful + excluded.agents_successful,
	tokens_in = m.tokens_in + excluded.tokens_in,
	tokens_out = m.tokens_out + excluded.tokens_out,
	assets_generated = m.assets_generated + excluded.assets_generated,
	cost_nanos = m.cost_nanos + excluded.cost_nanos,
	latency_sum_ms = m.latency_sum_ms + excluded.latency_sum_ms,
	updated_at = now()`

// totals are sums over the events of a run: agents, those that succeeded, tokens in and out, assets, cost, latency.
type totals map[events.Key]*[7]int64

func totalsOf(batch []baselineEvent) totals {
	sums := make(totals)
	for i := range batch {
		e := &batch[i]
		key := events.Key{CampaignID: e.CampaignID, RunID: e.RunID, Phase: e.Phase}
		t := sums[key]
		if t == nil {
			t = new([7]int64)
			sums[key] = t
		}
		if e.Status == "succeeded" {
			t[1]++
		}
		for j, value := range [...]int64{1, 0, e.TokensIn, e.TokensOut, e.AssetsGenerated, e.costNanos(), e.LatencyMs} {
			t[j] += value
		}
	}
	return sums
}

// arguments are the parameters of addTotals.
func (sums totals) arguments() []any {
	campaigns, runs, phases := make([]string, 0, len(sums)), make([]string, 0, len(sums)), make([]string, 0, len(sums))
	var columns [7][]int64
	for key, t := range sums {
		campaigns, runs, phases = append(campaigns, key.CampaignID), append(runs, key.RunID), append(phases, key.Phase)
		for i, value := range t {
			columns[i] = append(columns[i], value)
		}
	}
	arguments := []any{campaigns, runs, phases}
	for _, column := range columns {
		arguments = append(arguments, column)
	}
	return arguments
}
