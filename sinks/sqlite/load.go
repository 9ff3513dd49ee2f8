package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
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
SELECT m.run_key, m.campaign_id, m.run_id, m.phase, m.version, c.events
FROM campaign_metrics m JOIN event_chunks c ON c.run_key = m.run_key
WHERE m.run_key IN (SELECT value FROM json_each(?))
ORDER BY m.run_key, c.version`

// Load reads runs back by folding their stored events.
func (s *Store) Load(ctx context.Context, runs []uuid.UUID) (map[uuid.UUID]sinks.StoredRun, error) {
	loaded := make(map[uuid.UUID]sinks.StoredRun, len(runs))
	var list []events.Event
	err := s.readChunks(ctx, runs, func(key events.Key, run uuid.UUID, version int64, chunk []byte) (err error) {
		stored, begun := loaded[run]
		if !begun {
			stored = sinks.StoredRun{Run: aggregate.NewRun(key), Version: version}
			loaded[run] = stored
		}
		if list, err = sinks.DecodeChunk(list[:0], key, chunk); err != nil {
			return err
		}
		for i := range list {
			stored.Run.Apply(&list[i])
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load runs: %w", classify(err))
	}
	return loaded, nil
}

// Events returns every applied event of a run in the order of application.
func (s *Store) Events(ctx context.Context, run uuid.UUID) ([]events.Event, error) {
	var list []events.Event
	err := s.readChunks(ctx, []uuid.UUID{run}, func(key events.Key, _ uuid.UUID, _ int64, chunk []byte) (err error) {
		list, err = sinks.DecodeChunk(list, key, chunk)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", classify(err))
	}
	return list, nil
}

// readChunks calls each with every chunk of the runs, those of one run together and in the order of their commits.
func (s *Store) readChunks(ctx context.Context, runs []uuid.UUID,
	each func(key events.Key, run uuid.UUID, version int64, chunk []byte) error) error {
	if len(runs) == 0 {
		return nil
	}
	rows, err := s.reader.QueryContext(ctx, loadRuns, keysJSON(runs))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			key     events.Key
			run     uuid.UUID
			version int64
			chunk   []byte
		)
		if err := rows.Scan(&run, &key.CampaignID, &key.RunID, &key.Phase, &version, &chunk); err != nil {
			return err
		}
		if err := each(key, run, version, chunk); err != nil {
			return damaged("chunk", err)
		}
	}
	return rows.Err()
}
