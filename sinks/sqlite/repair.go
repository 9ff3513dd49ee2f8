package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// What is held of runs is read by three statements of one transaction, which sees one snapshot.
var (
	heldRecords = "SELECT " + metricsList + `, sealed_at IS NOT NULL FROM campaign_metrics
WHERE run_key IN (SELECT value FROM json_each(?))`
	heldEvents = `SELECT k.value, c.version, c.events, c.latencies IS NOT NULL, c.latencies
FROM json_each(?) k JOIN event_chunks c ON c.number = ` + numberOf("k.value")
	heldVoided = `SELECT v.run_key, v.event_id FROM json_each(?) k JOIN voided_events v ON v.run_key = k.value`
)

// Holdings returns all that the store has of the runs.
func (s *Store) Holdings(ctx context.Context, runs []events.Key) ([]sinks.Holding, error) {
	held := sinks.NewHolder(runs)
	if err := s.hold(ctx, held, keysJSON(held.IDs())); err != nil {
		return nil, fmt.Errorf("read what is held of runs: %w", classify(err))
	}
	return held.Holdings(), nil
}

func (s *Store) hold(ctx context.Context, held *sinks.Holder, keys string) error {
	tx, err := s.reader.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it only reads
	err = readRows(ctx, tx, func(rows *sql.Rows) error {
		var sealed bool
		m, err := scanMetrics(rows, &sealed)
		switch {
		case errors.Is(err, sinks.ErrBlocked):
			m.CostUSD = aggregate.Unreadable // whichever it was: the record is not what any events add up to
		case err != nil:
			return err
		}
		held.Record(&m, sealed)
		return nil
	}, heldRecords, keys)
	if err != nil {
		return err
	}
	err = readRows(ctx, tx, func(rows *sql.Rows) error {
		var (
			run              uuid.UUID
			version          int64
			known            bool
			chunk, latencies sql.RawBytes // nil for an empty value, too
		)
		if err := rows.Scan(&run, &version, &chunk, &known, &latencies); err != nil {
			return err
		}
		if known && latencies == nil {
			latencies = sql.RawBytes{}
		}
		held.Events(run, version, chunk, latencies)
		return nil
	}, heldEvents, keys)
	if err != nil {
		return err
	}
	return readRows(ctx, tx, func(rows *sql.Rows) error {
		var (
			run uuid.UUID
			id  string
		)
		if err := rows.Scan(&run, &id); err != nil {
			return err
		}
		held.Voided(run, id)
		return nil
	}, heldVoided, keys)
}

const (
	// mendNames puts the names of a run right, which a commit never changes.
	mendNames = `
UPDATE campaign_metrics SET campaign_id = ?2, run_id = ?3, phase = ?4
WHERE run_key = ?1 AND (campaign_id, run_id, phase) <> (?2, ?3, ?4)`

	// fillGaps makes commits without events of those whose events are missing.
	fillGaps = `
WITH RECURSIVE v (version) AS (SELECT 1 UNION ALL SELECT version + 1 FROM v WHERE version < ?2)
INSERT INTO event_chunks (number, version, events) SELECT m.number, v.version, '[]' FROM v JOIN campaign_metrics m ON m.run_key = ?1
ON CONFLICT (number, version) DO NOTHING`

	deleteVoided = "DELETE FROM voided_events WHERE run_key = ?"
)

// Amend commits changes of runs that come from no stream.
func (s *Store) Amend(ctx context.Context, b *sinks.Batch) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		runs := inOrder(b.Runs)
		if err := s.checkVersions(ctx, tx, runs); err != nil {
			return err
		}
		if err := s.writeRuns(ctx, tx, runs, b.At); err != nil {
			return err
		}
		for _, run := range runs {
			if err := s.mend(ctx, tx, run); err != nil {
				return err
			}
			if s.marks {
				if err := s.mark(ctx, tx, []uuid.UUID{run.Metrics.RunKey}, run.DueAt(b.At)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("amend runs: %w", classify(s.leftBehind(ctx, b.Runs, err)))
	}
	return nil
}

// mend puts right what no commit changes.
func (s *Store) mend(ctx context.Context, tx *sql.Tx, run *sinks.RunChange) error {
	m := &run.Metrics
	key := m.RunKey.String()
	if _, err := tx.ExecContext(ctx, mendNames, key, m.CampaignID, m.RunID, m.Phase); err != nil {
		return err
	}
	if run.Whole {
		if _, err := tx.ExecContext(ctx, fillGaps, key, m.Version); err != nil {
			return err
		}
	}
	if run.Voided == nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, deleteVoided, key); err != nil {
		return err
	}
	return s.insertVoided(ctx, tx, m.RunKey, run.Voided)
}

// leftBehind explains why the events of a commit could not be inserted although its versions were right: somebody deleted
// the row of a run and left its events. That is a conflict: who reads the run back finds them.
func (s *Store) leftBehind(ctx context.Context, runs []sinks.RunChange, err error) error {
	var failed *driver.Error
	if !errors.As(err, &failed) || failed.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
		return err
	}
	var conflict sinks.VersionConflict
	for i := range runs {
		m := &runs[i].Metrics
		newest, queryErr := newestEvents(ctx, s.reader, m.RunKey)
		if queryErr != nil {
			return queryErr
		}
		if newest < m.Version {
			continue
		}
		if m.Version > 1 {
			return sinks.SetBack(m.RunKey)
		}
		conflict.Runs = append(conflict.Runs, m.RunKey)
	}
	if conflict.Runs == nil {
		return err
	}
	return &conflict
}

// Records returns records with a key above after, sorted by key.
func (s *Store) Records(ctx context.Context, f sinks.RecordFilter, after uuid.UUID, limit int) ([]aggregate.Metrics, error) {
	var q conditions
	q.add("run_key > ?", after.String())
	q.named(f.CampaignID, f.RunID)
	q.equal("phase", f.Phase)
	if !f.FinishedBefore.IsZero() {
		q.add("status <> 'running' AND sealed_at IS NULL AND finished_at < ?", timestamp(f.FinishedBefore))
	}
	list, err := s.records(ctx, q.where()+" ORDER BY run_key LIMIT ?", append(q.args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	return list, nil
}

// Seal drops the events of closed runs.
func (s *Store) Seal(ctx context.Context, runs []aggregate.Metrics, at time.Time) (sealed int, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		for i := range runs {
			key := runs[i].RunKey.String()
			done, err := tx.ExecContext(ctx, `UPDATE campaign_metrics SET sealed_at = ?, latencies = `+addedUp+`
WHERE run_key = ? AND version = ? AND status <> 'running' AND sealed_at IS NULL`, timestamp(at), key, runs[i].Version)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				if err != nil {
					return err
				}
				continue
			}
			sealed++
			for _, drop := range []string{"DELETE FROM event_chunks WHERE number = " + numberOf("?1"), "DELETE FROM voided_events WHERE run_key = ?1"} {
				if _, err := tx.ExecContext(ctx, drop, key); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("seal runs: %w", classify(err))
	}
	return sealed, nil
}

// Audit keeps an entry.
func (s *Store) Audit(ctx context.Context, e sinks.AuditEntry) error {
	var ended any
	if !e.Ended.IsZero() {
		ended = timestamp(e.Ended)
	}
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
INSERT INTO audit_log (id, command, arguments, who, began_at, ended_at, outcome, counts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome, counts = excluded.counts`,
			e.ID.String(), e.Command, cleanText(e.Arguments), cleanText(e.Who), timestamp(e.Began), ended, string(e.Outcome), e.Counts)
		return err
	})
	if err != nil {
		return fmt.Errorf("write audit record: %w", classify(err))
	}
	return nil
}
