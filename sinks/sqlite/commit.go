package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Commit stores the batch if the stream still stands at prev. The transaction holds the write lock from its begin, so what
// the two guards have seen stays true until it ends; both look before anything is written.
func (s *Store) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	if err := s.commitBatch(ctx, prev, b); err != nil {
		return fmt.Errorf("commit batch: %w", classify(s.leftBehind(ctx, b.Runs, err)))
	}
	return nil
}

func (s *Store) commitBatch(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	if err := s.file.inPlace(); err != nil {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // of no effect once committed
	runs := inOrder(b.Runs)
	if err := s.checkPosition(ctx, tx, prev, b); err != nil {
		return err
	}
	if err := s.checkVersions(ctx, tx, runs); err != nil {
		return err
	}
	if err := s.advance(ctx, tx, b); err != nil {
		return err
	}
	if err := s.writeRuns(ctx, tx, runs, b.At); err != nil {
		return err
	}
	if s.marks && len(runs) > 0 {
		if err := s.mark(ctx, tx, keysOf(runs), b.At); err != nil {
			return err
		}
	}
	if err := s.writeDeadLetters(ctx, tx, b); err != nil {
		return err
	}
	return tx.Commit()
}

// inOrder sorts the runs by key, as every store does; here it also keeps neighbouring pages together.
func inOrder(runs []sinks.RunChange) []*sinks.RunChange {
	sorted := make([]*sinks.RunChange, len(runs))
	for i := range runs {
		sorted[i] = &runs[i]
	}
	slices.SortFunc(sorted, func(a, b *sinks.RunChange) int {
		return bytes.Compare(a.Metrics.RunKey[:], b.Metrics.RunKey[:])
	})
	return sorted
}

const newestPosition = "SELECT epoch, sequence FROM stream_positions WHERE stream = ? ORDER BY epoch DESC LIMIT 1"

// checkPosition refuses the batch where the newest epoch is not at prev. A stream that nobody read is at epoch 0.
func (s *Store) checkPosition(ctx context.Context, tx *sql.Tx, prev sinks.Position, b *sinks.Batch) error {
	var epoch, sequence int64
	err := tx.StmtContext(ctx, s.commit.position).QueryRowContext(ctx, b.Next.Stream).Scan(&epoch, &sequence)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if epoch != prev.Epoch || uint64(sequence) != prev.Sequence {
		return sinks.ErrPositionMoved
	}
	if next := b.Next.Epoch; next != epoch && next != epoch+1 || next == 0 {
		return fmt.Errorf("%w: epoch %d cannot follow %d", sinks.ErrRefused, next, epoch)
	}
	return nil
}

const storedVersions = `
SELECT run_key, version, sealed_at IS NOT NULL FROM campaign_metrics WHERE run_key IN (SELECT value FROM json_each(?))`

// checkVersions finds every run that is not at the version before its new one, and those that are sealed. Without a row the
// new one must be 1, or the one after that of events which somebody left who deleted the row.
func (s *Store) checkVersions(ctx context.Context, tx *sql.Tx, runs []*sinks.RunChange) error {
	if len(runs) == 0 {
		return nil
	}
	rows, err := tx.StmtContext(ctx, s.commit.versions).QueryContext(ctx, keysJSON(keysOf(runs)))
	if err != nil {
		return err
	}
	defer rows.Close()
	stored := make(map[uuid.UUID]int64)
	for rows.Next() {
		var (
			key     uuid.UUID
			version int64
			sealed  bool
		)
		if err := rows.Scan(&key, &version, &sealed); err != nil {
			return err
		}
		if sealed {
			version = -1
		}
		stored[key] = version
	}
	if err := rows.Err(); err != nil {
		return err
	}
	var conflict sinks.VersionConflict
	for _, run := range runs {
		m := &run.Metrics
		before, recorded := stored[m.RunKey]
		if !recorded && m.Version > 1 {
			if before, err = newestEvents(ctx, tx, m.RunKey); err != nil {
				return err
			}
		}
		if m.Version != before+1 || before < 0 {
			conflict.Runs = append(conflict.Runs, m.RunKey)
		}
	}
	if conflict.Runs != nil {
		return &conflict
	}
	return nil
}

// newestEvents is the version of the newest stored events of a run, 0 without any.
func newestEvents(ctx context.Context, q querier, run uuid.UUID) (version int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM event_chunks WHERE number = "+numberOf("?1"), run.String()).Scan(&version)
	return version, err
}

func keysOf(runs []*sinks.RunChange) []uuid.UUID {
	keys := make([]uuid.UUID, len(runs))
	for i, run := range runs {
		keys[i] = run.Metrics.RunKey
	}
	return keys
}

const advancePosition = `
INSERT INTO stream_positions
	(stream, epoch, created, sequence, message_time, applied, duplicates, dead_letters, gone, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (stream, epoch) DO UPDATE SET created = excluded.created, sequence = excluded.sequence,
	message_time = excluded.message_time, applied = excluded.applied, duplicates = excluded.duplicates,
	dead_letters = excluded.dead_letters, gone = excluded.gone, updated_at = excluded.updated_at`

func (s *Store) advance(ctx context.Context, tx *sql.Tx, b *sinks.Batch) error {
	p := &b.Next
	var messageTime any
	if !p.MessageTime.IsZero() {
		messageTime = nanoTimestamp(p.MessageTime)
	}
	_, err := tx.StmtContext(ctx, s.commit.advance).ExecContext(ctx, p.Stream, p.Epoch, nanoTimestamp(p.Created),
		int64(p.Sequence), messageTime, p.Applied, p.Duplicates, p.DeadLetters, p.Gone, timestamp(b.At))
	return err
}

// nanoTimestamp keeps what the server compares.
func nanoTimestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

const (
	insertChunks = "INSERT INTO event_chunks (number, version, events, latencies)"
	insertVoided = `
INSERT INTO voided_events (run_key, event_id) SELECT ?, value FROM json_each(?) WHERE true
ON CONFLICT (run_key, event_id) DO NOTHING`
)

func (s *Store) writeRuns(ctx context.Context, tx *sql.Tx, runs []*sinks.RunChange, at time.Time) error {
	if len(runs) == 0 {
		return nil
	}
	var fresh, known []any
	chunks := make([]any, 0, len(runs)*s.commit.chunks.width)
	var chunk []byte
	for _, run := range runs {
		m := &run.Metrics
		key := m.RunKey.String()
		if m.Version == 1 {
			fresh = metricsArgs(fresh, key, m, at)
		} else {
			known = metricsArgs(known, key, m, at)
		}
		chunk = sinks.AppendChunk(chunk[:0], run.Events)
		chunks = append(chunks, key, m.Version, string(chunk), latenciesArg(run))
	}
	if err := s.commit.fresh.insert(ctx, tx, fresh); err != nil {
		return err
	}
	if err := s.commit.known.insert(ctx, tx, known); err != nil {
		return err
	}
	if err := s.commit.chunks.insert(ctx, tx, chunks); err != nil {
		return err
	}
	for _, run := range runs {
		if err := s.writeVoided(ctx, tx, run); err != nil {
			return err
		}
	}
	return nil
}

// latenciesArg is nil where nobody knows what the events change.
func latenciesArg(run *sinks.RunChange) any {
	if run.Latencies == nil {
		return nil
	}
	return sinks.AppendLatencies([]byte{}, run.Latencies)
}

// mark marks runs whose copies are due at a time.
func (s *Store) mark(ctx context.Context, tx *sql.Tx, runs []uuid.UUID, due time.Time) error {
	_, err := tx.StmtContext(ctx, s.commit.marks).ExecContext(ctx, keysJSON(runs), timestamp(due))
	return err
}

func (s *Store) writeVoided(ctx context.Context, tx *sql.Tx, run *sinks.RunChange) error {
	var ids []string
	for _, e := range run.Events {
		if e.Type == events.ExecutionsVoided {
			ids = append(ids, e.Voids...)
		}
	}
	return s.insertVoided(ctx, tx, run.Metrics.RunKey, ids)
}

func (s *Store) insertVoided(ctx context.Context, tx *sql.Tx, run uuid.UUID, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	_, err = tx.StmtContext(ctx, s.commit.voided).ExecContext(ctx, run.String(), string(list))
	return err
}
