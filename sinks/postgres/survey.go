package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/sinks"
)

// surveyRuns goes from run to run, and to the commits of each through their primary key. Postgres adds the latencies of a
// run's commits up, so that a million commits are not as many rows on the way.
var surveyRuns = selectMetricsColumns + `, sealed_at,
	CASE WHEN sealed_at IS NOT NULL THEN latencies WHEN commits.known THEN commits.changed END
FROM campaign_metrics m
CROSS JOIN LATERAL (
	SELECT bool_and(c.latencies IS NOT NULL) AS known, string_agg(c.latencies, '') AS changed
	FROM event_chunks c WHERE c.number = m.number
) commits `

// Survey visits every record that matches.
func (s *Store) Survey(ctx context.Context, f sinks.Filter, visit func(r *sinks.Surveyed) error) error {
	ctx, done := s.alive(ctx)
	defer done()
	var q conditions
	q.records(f)
	pipeline := new(pgx.Batch)
	pipeline.Queue(withoutJIT)
	pipeline.Queue(surveyRuns+q.where(), q.args...)
	results := s.pool.SendBatch(ctx, pipeline)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return failed("survey runs", err)
	}
	rows, err := results.Query()
	if err != nil {
		return failed("survey runs", err)
	}
	var (
		r         sinks.Surveyed
		sealed    *time.Time
		latencies pgtype.DriverBytes
	)
	targets := append(metricsTargets(&r.Metrics), &sealed, &latencies)
	return failed("survey runs", visitRows(rows, func(rows pgx.Rows) error {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		inUTC(&r.Metrics)
		if r.Sealed = (time.Time{}); sealed != nil {
			r.Sealed = sealed.UTC()
		}
		r.Latencies = latencies
		return visit(&r)
	}))
}
