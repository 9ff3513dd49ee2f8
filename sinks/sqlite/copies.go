package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// selectCopies begins every statement that reads copies: of all runs, marked or not.
var selectCopies = "SELECT " + metricsList +
	`, coalesce(row_id, run_key), coalesce(delivered, 0), coalesce(waiting, false), coalesce(parked, '')
FROM campaign_metrics LEFT JOIN (
	SELECT run_key, row_id, delivered, pending OR claimed_by IS NOT NULL AS waiting, parked, parked_at,
		pending, due_at, closed, sent_closed
	FROM dataverse_outbox
) o USING (run_key) `

// Copies returns runs with a key above after, sorted by key.
func (s *Store) Copies(ctx context.Context, f sinks.CopyFilter, after uuid.UUID, limit int) ([]sinks.Copy, error) {
	var q conditions
	q.add("run_key > ?", after.String())
	q.named(f.CampaignID, "")
	q.created(f.Since, f.Until)
	return s.copies(ctx, q.where()+" ORDER BY run_key LIMIT ?", append(q.args, limit)...)
}

// CopiesOf returns the runs whose key or row id is among the ids.
func (s *Store) CopiesOf(ctx context.Context, ids []uuid.UUID) ([]sinks.Copy, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return s.copies(ctx, `WHERE run_key IN (SELECT value FROM json_each(?1) UNION
	SELECT run_key FROM dataverse_outbox WHERE row_id IN (SELECT value FROM json_each(?1)))`, keysJSON(ids))
}

// Parked returns runs that the copy refuses, those parked last first.
func (s *Store) Parked(ctx context.Context, limit int) ([]sinks.Copy, error) {
	return s.copies(ctx, "WHERE parked_at IS NOT NULL ORDER BY parked_at DESC, run_key LIMIT ?", limit)
}

func (s *Store) copies(ctx context.Context, rest string, args ...any) ([]sinks.Copy, error) {
	list, err := readCopies(ctx, s.reader, rest, args...)
	if err != nil {
		return nil, fmt.Errorf("read copies: %w", classify(err))
	}
	return list, nil
}

// querier reads, within a transaction or outside.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readCopies reads the runs that the rest of the statement selects.
func readCopies(ctx context.Context, q querier, rest string, args ...any) ([]sinks.Copy, error) {
	rows, err := q.QueryContext(ctx, selectCopies+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []sinks.Copy
	for rows.Next() {
		var c sinks.Copy
		if c.Metrics, err = scanMetrics(rows, &c.RowID, &c.Delivered, &c.Waiting, &c.Parked); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// Standing counts what waits and what is parked.
func (s *Store) Standing(ctx context.Context, now time.Time) (sinks.Standing, error) {
	standing, err := readStanding(ctx, s.reader, now)
	if err != nil {
		return sinks.Standing{}, fmt.Errorf("count the outbox: %w", classify(err))
	}
	return standing, nil
}

func readStanding(ctx context.Context, q querier, now time.Time) (standing sinks.Standing, err error) {
	var oldest sql.NullString
	err = q.QueryRowContext(ctx, `
SELECT count(*) FILTER (WHERE pending OR claimed_by IS NOT NULL),
	min(due_at) FILTER (WHERE pending OR claimed_by IS NOT NULL), count(parked_at), (`+targetsOfDay+`)
FROM dataverse_outbox WHERE pending OR claimed_by IS NOT NULL OR parked_at IS NOT NULL`, utcDay(now)).
		Scan(&standing.Waiting, &oldest, &standing.Parked, &standing.TargetsToday)
	if err != nil {
		return sinks.Standing{}, err
	}
	standing.Oldest, err = optionalTime(oldest)
	return standing, err
}
