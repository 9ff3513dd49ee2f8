package postgres

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apexsalesai/runmetrics/sinks"
)

// collision explains a row that could not be inserted because it was there. What it cannot explain by what it finds is the
// error as it was.
func (s *Store) collision(ctx context.Context, runs []sinks.RunChange, err error) error {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != uniqueViolation {
		return err
	}
	var found error
	switch answer.ConstraintName {
	case "campaign_metrics_pkey", "campaign_metrics_number_key": // the latter of runs that are gone: all are offered number 0
		found = s.otherVersions(ctx, runs)
	case "event_chunks_pkey":
		found = s.leftBehind(ctx, runs)
	}
	if found == nil {
		return err
	}
	return found
}

// A run is as its writer expected if it has the version before, or no row and nothing or the events of the version before.
const otherVersions = `
SELECT k.run_key FROM unnest($1::uuid[], $2::bigint[]) AS k (run_key, version)
LEFT JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.run_key LIMIT 1) m ON true
WHERE m.sealed_at IS NOT NULL OR CASE
	WHEN m.run_key IS NOT NULL THEN m.version <> k.version - 1
	ELSE k.version > 1 AND NOT EXISTS (
		SELECT FROM event_chunks c WHERE c.number = ` + numberKept + ` AND c.version = k.version - 1) END`

// otherVersions is the conflict of a commit that took a run for new which is not: it names all runs that are at another
// version than expected. The refusal itself names one.
func (s *Store) otherVersions(ctx context.Context, runs []sinks.RunChange) error {
	rows, err := s.queryVersions(ctx, otherVersions, runs)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(list) == 0 {
		return err
	}
	return &sinks.VersionConflict{Runs: list}
}

const leftEvents = `
SELECT k.run_key, m.run_key IS NOT NULL
FROM unnest($1::uuid[], $2::bigint[]) AS k (run_key, version)
LEFT JOIN campaign_metrics m ON m.run_key = k.run_key
JOIN event_chunks c ON c.number = coalesce(m.number, ` + numberKept + `) AND c.version = k.version`

// leftBehind explains why the events of a commit could not be inserted although its versions were right: somebody deleted
// the row of a run and left its events. That is a conflict: who reads the run back finds them.
func (s *Store) leftBehind(ctx context.Context, runs []sinks.RunChange) error {
	rows, err := s.queryVersions(ctx, leftEvents, runs)
	if err != nil {
		return err
	}
	var conflict sinks.VersionConflict
	err = visitRows(rows, func(rows pgx.Rows) error {
		var run uuid.UUID
		var recorded bool
		if err := rows.Scan(&run, &recorded); err != nil {
			return err
		}
		if recorded {
			return sinks.SetBack(run)
		}
		conflict.Runs = append(conflict.Runs, run)
		return nil
	})
	if err != nil || conflict.Runs == nil {
		return err
	}
	return &conflict
}

// queryVersions asks about runs and the versions that they were to get.
func (s *Store) queryVersions(ctx context.Context, statement string, runs []sinks.RunChange) (pgx.Rows, error) {
	return s.pool.Query(ctx, statement, keysOf(runs, func(r *sinks.RunChange) uuid.UUID { return r.Metrics.RunKey }),
		arrayOf(runs, func(a *array, r *sinks.RunChange) { a.integer(r.Metrics.Version) }))
}
