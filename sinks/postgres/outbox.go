package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/sinks"
)

// Commit, Settle, Adopt, Mark and SetRowIDs lock rows of the outbox sorted by key, so that none waits for another in a
// circle. Claim waits for nobody: it takes what is not locked.

// Both mark runs that a commit changed: due all at once, or each at a time of its own. A run that waits keeps its place in the
// queue. Of a claimed run due_at is of the version that is under way, until a commit puts that of the next in its place. A
// version that is not newer than what was delivered is of a run that was removed and has come back.
var (
	writeMarks      = marking("unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::boolean[]), true, $4::timestamptz")
	writeLaterMarks = marking("unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::boolean[]), true, " +
		fmt.Sprintf(fromMicroseconds, "unnest($4::bigint[])"))
)

// marking is the statement that marks runs, of which it is given the columns.
func marking(columns string) string {
	return `
INSERT INTO dataverse_outbox AS o (run_key, version, closed, pending, due_at)
SELECT ` + columns + `
ON CONFLICT (run_key) DO UPDATE SET version = excluded.version, closed = excluded.closed,
	delivered = least(o.delivered, excluded.version - 1), pending = o.claimed_by IS NULL,
	due_at = least(CASE WHEN o.pending THEN o.due_at END, CASE
		WHEN excluded.closed AND NOT o.sent_closed THEN excluded.due_at
		ELSE greatest(excluded.due_at, o.not_before) END)`
}

// dueAtOnce makes a run due at $1, or when its claim has ended, without losing its place in the queue.
const dueAtOnce = `pending = o.claimed_by IS NULL, again = o.claimed_by IS NOT NULL,
	due_at = CASE
		WHEN o.claimed_by IS NOT NULL OR o.pending AND o.due_at < $1::timestamptz THEN o.due_at
		ELSE $1::timestamptz END`

// adopt is complete without dueAtOnce: nothing of a claim that is given away is left to wait for.
const adopt = `
WITH locked AS (
	SELECT run_key FROM dataverse_outbox
	WHERE claimed_by IS NOT NULL AND claimed_by <> ALL ($2::uuid[]) ORDER BY run_key FOR UPDATE
)
UPDATE dataverse_outbox o SET pending = true, due_at = $1::timestamptz,
	claimed_by = NULL, claimed_version = NULL, again = false, doubt_until = greatest(o.doubt_until, $3::timestamptz)
WHERE o.run_key = ANY (ARRAY(SELECT run_key FROM locked))`

// Adopt makes what other owners claimed due at once, and in doubt until doubtUntil.
func (s *Store) Adopt(ctx context.Context, living []uuid.UUID, now, doubtUntil time.Time) (sinks.Standing, error) {
	ctx, done := s.alive(ctx)
	defer done()
	pipeline := new(pgx.Batch)
	pipeline.Queue(adopt, now, keysOf(living, func(owner *uuid.UUID) uuid.UUID { return *owner }), doubtUntil)
	standing := queueStanding(pipeline, now)
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return sinks.Standing{}, failed("adopt claims", err)
	}
	return *standing, nil
}

// A claim goes from key to key through the primary keys, whatever the planner believes about the tables. It reads
// records as they stood when its statement began, while the row that it locks may be newer: a run that was committed
// in between is left for the next claim, or else an older record could be sent after a newer one.
const (
	claimBegin = `
WITH due AS MATERIALIZED (
	SELECT run_key FROM dataverse_outbox
	WHERE pending AND due_at <= $1::timestamptz`
	claimEnd = `
	ORDER BY due_at, run_key LIMIT $4::bigint FOR UPDATE SKIP LOCKED
), claimed AS (
	UPDATE dataverse_outbox o SET pending = false, claimed_by = $2::uuid, not_before = $3::timestamptz,
		doubt_until = CASE WHEN o.doubt_until > $1::timestamptz THEN o.doubt_until END,
		(version, claimed_version, closed) = (
			SELECT m.version, m.version, m.status <> 'running' FROM campaign_metrics m WHERE m.run_key = o.run_key)
	WHERE o.run_key = ANY (ARRAY(SELECT run_key FROM due))
		AND o.version <= (SELECT m.version FROM campaign_metrics m WHERE m.run_key = o.run_key)
	RETURNING o.run_key, o.due_at, o.row_id, o.delivered, true AS waiting, o.parked
)`
)

var (
	claimDue     = claimBegin + claimEnd + selectClaimed
	claimClosing = claimBegin + " AND closed AND NOT sent_closed" + claimEnd + selectClaimed

	selectClaimed = selectCopyColumns + "FROM claimed JOIN campaign_metrics USING (run_key) ORDER BY due_at, run_key"
)

// queueNextDue asks when the next run is due. It comes after a claim or a settlement in one transaction, and so sees
// what that left.
func queueNextDue(pipeline *pgx.Batch, next *time.Time) {
	pipeline.Queue("SELECT min(due_at) FROM dataverse_outbox WHERE pending").QueryRow(func(row pgx.Row) error {
		var t pgtype.Timestamptz
		err := row.Scan(&t)
		*next = utc(t)
		return err
	})
}

// Claim takes due runs and returns their newest records.
func (s *Store) Claim(ctx context.Context, c sinks.Claim) (sinks.Claimed, error) {
	ctx, done := s.alive(ctx)
	defer done()
	statement := claimDue
	if c.ClosingOnly {
		statement = claimClosing
	}
	var claimed sinks.Claimed
	pipeline := new(pgx.Batch)
	pipeline.Queue(statement, c.Now, c.Owner, c.NotBefore, int64(c.Limit)).Query(func(rows pgx.Rows) (err error) {
		claimed.Copies, err = pgx.CollectRows(rows, scanCopy)
		return err
	})
	queueNextDue(pipeline, &claimed.Next)
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return sinks.Claimed{}, failed("claim runs", err)
	}
	return claimed, nil
}

// utc is the time of a column, zero where it is NULL.
func utc(t pgtype.Timestamptz) time.Time {
	if !t.Valid {
		return time.Time{}
	}
	return t.Time.UTC()
}

// markRuns inserts a row for a run that no commit marked. A commit that ends meanwhile may have marked a newer version.
const markRuns = `
INSERT INTO dataverse_outbox AS o (run_key, version, closed, pending, due_at)
SELECT m.run_key, m.version, m.status <> 'running', true, $1::timestamptz
FROM campaign_metrics m WHERE m.run_key = ANY ($2::uuid[]) ORDER BY m.run_key
ON CONFLICT (run_key) DO UPDATE SET version = greatest(o.version, excluded.version),
	closed = CASE WHEN excluded.version < o.version THEN o.closed ELSE excluded.closed END, ` + dueAtOnce

// Mark makes runs due at once whatever was delivered.
func (s *Store) Mark(ctx context.Context, runs []uuid.UUID, now time.Time) error {
	if len(runs) == 0 {
		return nil
	}
	ctx, done := s.alive(ctx)
	defer done()
	_, err := s.pool.Exec(ctx, markRuns, now, keysOf(runs, func(key *uuid.UUID) uuid.UUID { return *key }))
	return failed("mark runs", err)
}

const setRowIDs = `
INSERT INTO dataverse_outbox AS o (run_key, version, closed, pending, due_at, row_id)
SELECT m.run_key, m.version, m.status <> 'running', false, m.updated_at, nullif(r.row_id, r.run_key)
FROM unnest($1::uuid[], $2::uuid[]) AS r (run_key, row_id)
JOIN campaign_metrics m ON m.run_key = r.run_key ORDER BY m.run_key
ON CONFLICT (run_key) DO UPDATE SET row_id = excluded.row_id`

// SetRowIDs says under which id the copy keeps a run's row.
func (s *Store) SetRowIDs(ctx context.Context, rows map[uuid.UUID]uuid.UUID) error {
	if len(rows) == 0 {
		return nil
	}
	ctx, done := s.alive(ctx)
	defer done()
	runs := make([]uuid.UUID, 0, len(rows))
	for run := range rows {
		runs = append(runs, run)
	}
	_, err := s.pool.Exec(ctx, setRowIDs,
		keysOf(runs, func(run *uuid.UUID) uuid.UUID { return *run }),
		keysOf(runs, func(run *uuid.UUID) uuid.UUID { return rows[*run] }))
	return failed("set row ids", err)
}
