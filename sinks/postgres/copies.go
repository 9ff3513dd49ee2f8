package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/sinks"
)

// selectCopyColumns begins every statement that returns copies; selectCopies goes on with all runs, marked or not.
var (
	selectCopyColumns = selectMetricsColumns +
		", coalesce(row_id, run_key), coalesce(delivered, 0), coalesce(waiting, false), coalesce(parked, '') "
	selectCopies = selectCopyColumns + `FROM campaign_metrics LEFT JOIN (
	SELECT run_key, row_id, delivered, pending OR claimed_by IS NOT NULL AS waiting, parked, parked_at
	FROM dataverse_outbox
) o USING (run_key) `
)

// scanCopy reads the row of a statement that begins with selectCopyColumns.
func scanCopy(row pgx.CollectableRow) (sinks.Copy, error) {
	var c sinks.Copy
	targets := append(metricsTargets(&c.Metrics), &c.RowID, &c.Delivered, &c.Waiting, &c.Parked)
	if err := row.Scan(targets...); err != nil {
		return c, err
	}
	inUTC(&c.Metrics)
	return c, nil
}

// Copies returns runs with a key above after, sorted by key.
func (s *Store) Copies(ctx context.Context, f sinks.CopyFilter, after uuid.UUID, limit int) ([]sinks.Copy, error) {
	var q conditions
	q.add("run_key > ?::uuid", after)
	q.filter("campaign_id", f.CampaignID)
	q.created(f.Since, f.Until)
	where := q.where()
	q.args = append(q.args, int64(limit))
	return s.copies(ctx, where+" ORDER BY run_key LIMIT $"+strconv.Itoa(len(q.args))+"::bigint", q.args...)
}

// CopiesOf returns the runs whose key or row id is among the ids.
func (s *Store) CopiesOf(ctx context.Context, ids []uuid.UUID) ([]sinks.Copy, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return s.copies(ctx, `WHERE run_key = ANY (ARRAY(
	SELECT unnest($1::uuid[]) UNION SELECT run_key FROM dataverse_outbox WHERE row_id = ANY ($1::uuid[])))`,
		keysOf(ids, func(id *uuid.UUID) uuid.UUID { return *id }))
}

// Parked returns runs that the copy refuses, those parked last first.
func (s *Store) Parked(ctx context.Context, limit int) ([]sinks.Copy, error) {
	return s.copies(ctx, "WHERE parked_at IS NOT NULL ORDER BY parked_at DESC, run_key LIMIT $1::bigint", int64(limit))
}

// copies reads the runs that the rest of the statement selects.
func (s *Store) copies(ctx context.Context, rest string, args ...any) ([]sinks.Copy, error) {
	ctx, done := s.alive(ctx)
	defer done()
	rows, err := s.pool.Query(ctx, selectCopies+rest, args...)
	if err != nil {
		return nil, failed("read copies", err)
	}
	list, err := pgx.CollectRows(rows, scanCopy)
	if err != nil {
		return nil, failed("read copies", err)
	}
	return list, nil
}

const readStanding = `
SELECT count(*) FILTER (WHERE pending OR claimed_by IS NOT NULL),
	min(due_at) FILTER (WHERE pending OR claimed_by IS NOT NULL), count(parked_at),
	coalesce((SELECT targets FROM dataverse_targets WHERE day = $1::date), 0)
FROM dataverse_outbox WHERE pending OR claimed_by IS NOT NULL OR parked_at IS NOT NULL`

// Standing counts what waits and what is parked.
func (s *Store) Standing(ctx context.Context, now time.Time) (sinks.Standing, error) {
	ctx, done := s.alive(ctx)
	defer done()
	pipeline := new(pgx.Batch)
	standing := queueStanding(pipeline, now)
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return sinks.Standing{}, failed("count the outbox", err)
	}
	return *standing, nil
}

// queueStanding returns where the answer will stand once the pipeline is through.
func queueStanding(pipeline *pgx.Batch, now time.Time) *sinks.Standing {
	standing := new(sinks.Standing)
	pipeline.Queue(readStanding, utcDay(now)).QueryRow(func(row pgx.Row) error {
		var oldest pgtype.Timestamptz
		err := row.Scan(&standing.Waiting, &oldest, &standing.Parked, &standing.TargetsToday)
		standing.Oldest = utc(oldest)
		return err
	})
	return standing
}
