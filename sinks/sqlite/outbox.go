package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// markCommitted marks runs that a commit changed. A run that waits keeps its place in the queue. Of a claimed run
// due_at is of the version that is under way, until a commit puts that of the next in its place. '9' is later than
// any time. A version that is not newer than what was delivered is of a run that was removed and has come back.
const markCommitted = `
INSERT INTO dataverse_outbox (run_key, version, closed, pending, due_at)
SELECT run_key, version, status <> 'running', true, ?2 FROM campaign_metrics
WHERE run_key IN (SELECT value FROM json_each(?1))
ON CONFLICT (run_key) DO UPDATE SET version = excluded.version, closed = excluded.closed,
	delivered = min(delivered, excluded.version - 1), pending = claimed_by IS NULL,
	due_at = min(iif(pending, due_at, '9'),
		iif(excluded.closed AND NOT sent_closed, excluded.due_at, max(excluded.due_at, coalesce(not_before, ''))))`

// dueAtOnce makes a run due at ?1, or when its claim has ended, without losing its place in the queue.
const dueAtOnce = `pending = claimed_by IS NULL, again = claimed_by IS NOT NULL,
	due_at = iif(claimed_by IS NOT NULL OR pending AND due_at < ?1, due_at, ?1)`

// adopt is complete without dueAtOnce: nothing of a claim that is given away is left to wait for.
const adopt = `
UPDATE dataverse_outbox SET pending = true, due_at = ?1, claimed_by = NULL, claimed_version = NULL, again = false,
	doubt_until = max(?3, coalesce(doubt_until, ''))
WHERE claimed_by IS NOT NULL AND claimed_by NOT IN (SELECT value FROM json_each(?2))`

// Adopt makes what other owners claimed due at once, and in doubt until doubtUntil.
func (s *Store) Adopt(ctx context.Context, living []uuid.UUID, now, doubtUntil time.Time) (sinks.Standing, error) {
	var standing sinks.Standing
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		if _, err = tx.ExecContext(ctx, adopt, timestamp(now), keysJSON(living), timestamp(doubtUntil)); err != nil {
			return err
		}
		standing, err = readStanding(ctx, tx, now)
		return err
	})
	if err != nil {
		return sinks.Standing{}, fmt.Errorf("adopt claims: %w", err)
	}
	return standing, nil
}

// write runs a transaction that holds the write lock from its begin.
func (s *Store) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return classify(err)
	}
	defer func() { _ = tx.Rollback() }() // of no effect once committed
	if err := do(tx); err != nil {
		return classify(err)
	}
	return classify(tx.Commit())
}

const (
	isDue     = "pending AND due_at <= ?1"
	isClosing = " AND closed AND NOT sent_closed"

	// claimRuns claims what was selected before in the same transaction, so the versions are those that were returned.
	claimRuns = `
UPDATE dataverse_outbox SET pending = false, claimed_by = ?2, claimed_version = m.version, not_before = ?3,
	version = m.version, closed = m.status <> 'running',
	doubt_until = iif(doubt_until > ?1, doubt_until, NULL)
FROM campaign_metrics m
WHERE m.run_key = dataverse_outbox.run_key AND dataverse_outbox.run_key IN (SELECT value FROM json_each(?4))`

	nextDue = "SELECT min(due_at) FROM dataverse_outbox WHERE pending"
)

// Claim takes due runs and returns their newest records. It looks before it takes the write lock: who has nothing to do
// disturbs nobody.
func (s *Store) Claim(ctx context.Context, c sinks.Claim) (sinks.Claimed, error) {
	claimed, err := s.claim(ctx, c)
	if err != nil {
		return sinks.Claimed{}, fmt.Errorf("claim runs: %w", classify(err))
	}
	return claimed, nil
}

func (s *Store) claim(ctx context.Context, c sinks.Claim) (claimed sinks.Claimed, err error) {
	due := isDue
	if c.ClosingOnly {
		due += isClosing
	}
	var some bool
	var next sql.NullString
	err = s.reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM dataverse_outbox WHERE "+due+"), ("+nextDue+")",
		timestamp(c.Now)).Scan(&some, &next)
	if err != nil {
		return claimed, err
	}
	if !some || c.Limit <= 0 {
		claimed.Next, err = optionalTime(next)
		return claimed, err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		rest := "WHERE " + due + " ORDER BY due_at, o.run_key LIMIT ?2"
		if claimed.Copies, err = readCopies(ctx, tx, rest, timestamp(c.Now), c.Limit); err != nil {
			return err
		}
		if err := claimCopies(ctx, tx, &c, claimed.Copies); err != nil {
			return err
		}
		claimed.Next, err = readNextDue(ctx, tx)
		return err
	})
	return claimed, err
}

// readNextDue is when the next run is due that nobody has claimed.
func readNextDue(ctx context.Context, tx *sql.Tx) (time.Time, error) {
	var next sql.NullString
	if err := tx.QueryRowContext(ctx, nextDue).Scan(&next); err != nil {
		return time.Time{}, err
	}
	return optionalTime(next)
}

func claimCopies(ctx context.Context, tx *sql.Tx, c *sinks.Claim, copies []sinks.Copy) error {
	keys := make([]uuid.UUID, len(copies))
	for i := range copies {
		keys[i] = copies[i].Metrics.RunKey
	}
	_, err := tx.ExecContext(ctx, claimRuns, timestamp(c.Now), c.Owner.String(), timestamp(c.NotBefore), keysJSON(keys))
	return err
}

// markRuns inserts a row for a run that no commit marked.
const markRuns = `
INSERT INTO dataverse_outbox (run_key, version, closed, pending, due_at)
SELECT run_key, version, status <> 'running', true, ?1 FROM campaign_metrics
WHERE run_key IN (SELECT value FROM json_each(?2))
ON CONFLICT (run_key) DO UPDATE SET version = max(version, excluded.version), closed = excluded.closed, ` + dueAtOnce

// Mark makes runs due at once whatever was delivered.
func (s *Store) Mark(ctx context.Context, runs []uuid.UUID, now time.Time) error {
	if len(runs) == 0 {
		return nil
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, markRuns, timestamp(now), keysJSON(runs))
		return err
	})
	if err != nil {
		return fmt.Errorf("mark runs: %w", err)
	}
	return nil
}

const setRowIDs = `
INSERT INTO dataverse_outbox (run_key, version, closed, pending, due_at, row_id)
SELECT m.run_key, m.version, m.status <> 'running', false, m.updated_at, nullif(r.value, r.key)
FROM json_each(?1) r JOIN campaign_metrics m ON m.run_key = r.key WHERE true
ON CONFLICT (run_key) DO UPDATE SET row_id = excluded.row_id`

// SetRowIDs says under which id the copy keeps a run's row.
func (s *Store) SetRowIDs(ctx context.Context, rows map[uuid.UUID]uuid.UUID) error {
	if len(rows) == 0 {
		return nil
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("set row ids: %w", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, setRowIDs, string(list))
		return err
	})
	if err != nil {
		return fmt.Errorf("set row ids: %w", err)
	}
	return nil
}
