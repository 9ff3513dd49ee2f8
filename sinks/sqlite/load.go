package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Position returns the newest epoch of a stream.
func (s *Store) Position(ctx context.Context, stream string) (sinks.Position, error) {
	p, err := s.position(ctx, stream)
	if err != nil {
		return sinks.Position{}, fmt.Errorf("read position: %w", classify(err))
	}
	return p, nil
}

func (s *Store) position(ctx context.Context, stream string) (sinks.Position, error) {
	p := sinks.Position{Stream: stream}
	if err := s.file.inPlace(); err != nil {
		return p, err
	}
	var (
		created     string
		sequence    int64
		messageTime sql.NullString
	)
	err := s.reader.QueryRowContext(ctx, `
SELECT epoch, created, sequence, message_time, applied, duplicates, dead_letters, gone
FROM stream_positions WHERE stream = ? ORDER BY epoch DESC LIMIT 1`, stream).
		Scan(&p.Epoch, &created, &sequence, &messageTime, &p.Applied, &p.Duplicates, &p.DeadLetters, &p.Gone)
	if errors.Is(err, sql.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return p, err
	}
	p.Sequence = uint64(sequence)
	if p.Created, err = time.Parse(time.RFC3339Nano, created); err != nil {
		return p, damaged("time", err)
	}
	if !messageTime.Valid {
		return p, nil
	}
	if p.MessageTime, err = time.Parse(time.RFC3339Nano, messageTime.String); err != nil {
		return p, damaged("time", err)
	}
	return p, nil
}

// loadRuns reads version and events in one statement, so that both are of the same commit.
const loadRuns = `
SELECT k.value, coalesce(m.version, 0), m.sealed_at IS NOT NULL, coalesce(c.version, 0), c.events,
	coalesce(p.epoch, 0) = ?3 AND coalesce(p.sequence, 0) = ?4
FROM json_each(?1) k
LEFT JOIN (SELECT * FROM stream_positions WHERE stream = ?2 ORDER BY epoch DESC LIMIT 1) p ON true
LEFT JOIN campaign_metrics m ON m.run_key = k.value
LEFT JOIN deleted_runs d ON d.run_key = k.value
LEFT JOIN event_chunks c ON c.number = coalesce(m.number, d.number)
WHERE m.number IS NOT NULL OR c.number IS NOT NULL`

// numberOf is the number of a run, of which the row may have been deleted by hand.
func numberOf(key string) string {
	return fmt.Sprintf(`coalesce((SELECT number FROM campaign_metrics WHERE run_key = %[1]s),
	(SELECT number FROM deleted_runs WHERE run_key = %[1]s))`, key)
}

// Load reads runs back by folding their stored events, row by row.
func (s *Store) Load(ctx context.Context, at sinks.Position, runs []events.Key) (map[uuid.UUID]sinks.StoredRun, error) {
	loader := sinks.NewLoader(runs)
	err := readRows(ctx, s.reader, func(rows *sql.Rows) error {
		var (
			row   sinks.StoredRow
			chunk sql.RawBytes
		)
		if err := rows.Scan(&row.Run, &row.Recorded, &row.Sealed, &row.Version, &chunk, &row.There); err != nil {
			return err
		}
		row.Chunk = chunk
		return loader.Add(&row)
	}, loadRuns, keysJSON(loader.IDs()), at.Stream, at.Epoch, int64(at.Sequence))
	if err != nil {
		return nil, fmt.Errorf("load runs: %w", classify(err))
	}
	return loader.Runs(), nil
}

const storedEvents = `
SELECT m.campaign_id, m.run_id, m.phase, c.events
FROM campaign_metrics m JOIN event_chunks c ON c.number = m.number
WHERE m.run_key = ? ORDER BY c.version`

// Events visits every applied event of a run in the order of application.
func (s *Store) Events(ctx context.Context, run uuid.UUID, visit func(e *events.Event) error) error {
	err := readRows(ctx, s.reader, func(rows *sql.Rows) error {
		var (
			key   events.Key
			chunk sql.RawBytes
		)
		if err := rows.Scan(&key.CampaignID, &key.RunID, &key.Phase, &chunk); err != nil {
			return err
		}
		return sinks.VisitChunk(key, chunk, visit)
	}, storedEvents, run.String())
	if err != nil {
		return fmt.Errorf("read events: %w", classify(err))
	}
	return nil
}

// Voided returns the ids of events that count nowhere in the run.
func (s *Store) Voided(ctx context.Context, run uuid.UUID) ([]string, error) {
	var ids []string
	err := readRows(ctx, s.reader, func(rows *sql.Rows) error {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
		return nil
	}, "SELECT event_id FROM voided_events WHERE run_key = ?", run.String())
	if err != nil {
		return nil, fmt.Errorf("read voided ids: %w", classify(err))
	}
	return ids, nil
}

// readRows visits the rows of a statement. What a row holds as raw bytes is valid during the visit only.
func readRows(ctx context.Context, q querier, visit func(rows *sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
