package postgres

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/sinks"
)

// writeMarks marks runs that a commit changed. A mark that waits keeps its place in the queue.
const writeMarks = `
INSERT INTO dataverse_outbox AS o (run_key, version, marked_at)
SELECT m.run_key, m.version, $3::timestamptz FROM unnest($1::uuid[], $2::bigint[]) AS m (run_key, version)
ON CONFLICT (run_key) DO UPDATE SET version = excluded.version,
	marked_at = CASE WHEN o.version > o.delivered THEN o.marked_at ELSE excluded.marked_at END`

// Undelivered returns runs whose newest version is above the delivered one, those marked first first.
func (s *Store) Undelivered(ctx context.Context, limit int) ([]sinks.Mark, error) {
	ctx, done := s.alive(ctx)
	defer done()
	rows, err := s.pool.Query(ctx, `
SELECT run_key, version FROM dataverse_outbox WHERE version > delivered ORDER BY marked_at, run_key LIMIT $1::bigint`,
		int64(limit))
	if err != nil {
		return nil, failed("read outbox", err)
	}
	marks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sinks.Mark])
	if err != nil {
		return nil, failed("read outbox", err)
	}
	return marks, nil
}

// deliver locks the rows in the order of commits, so that neither waits for the other in a circle.
const deliver = `
WITH locked AS (
	SELECT o.run_key, m.version AS copied
	FROM dataverse_outbox o JOIN unnest($1::uuid[], $2::bigint[]) AS m (run_key, version) ON o.run_key = m.run_key
	ORDER BY o.run_key FOR UPDATE OF o
)
UPDATE dataverse_outbox o SET delivered = greatest(o.delivered, least(o.version, l.copied))
FROM locked l WHERE o.run_key = l.run_key`

// Delivered records that the copy has these versions. One above the newest, from before the store was restored to an
// earlier point, counts as the newest only: the version will come again, with other content.
func (s *Store) Delivered(ctx context.Context, marks []sinks.Mark) error {
	if len(marks) == 0 {
		return nil
	}
	ctx, done := s.alive(ctx)
	defer done()
	_, err := s.pool.Exec(ctx, deliver,
		keysOf(marks, func(m *sinks.Mark) uuid.UUID { return m.RunKey }),
		arrayOf(marks, func(a *array, m *sinks.Mark) { a.integer(m.Version) }))
	return failed("mark delivered", err)
}
