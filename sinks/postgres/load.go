package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const newestPosition = `
SELECT epoch, created, sequence, message_time, applied, duplicates, dead_letters, gone
FROM stream_positions WHERE stream = $1::text ORDER BY epoch DESC LIMIT 1`

// Position returns the newest epoch of a stream.
func (s *Store) Position(ctx context.Context, stream string) (sinks.Position, error) {
	ctx, done := s.alive(ctx)
	defer done()
	s.full.forget(stream)
	p := sinks.Position{Stream: stream}
	var (
		created, messageTime pgtype.Text
		sequence             int64
	)
	err := s.pool.QueryRow(ctx, newestPosition, stream).Scan(&p.Epoch, &created, &sequence, &messageTime,
		&p.Applied, &p.Duplicates, &p.DeadLetters, &p.Gone)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil
	}
	if err != nil {
		return sinks.Position{}, failed("read position", err)
	}
	p.Sequence = uint64(sequence)
	if p.Created, err = parseNanoTime(created); err == nil {
		p.MessageTime, err = parseNanoTime(messageTime)
	}
	return p, failed("read position", err)
}

func parseNanoTime(t pgtype.Text) (time.Time, error) {
	if !t.Valid {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, t.String)
}

// storedEvents reads versions and events in one statement, so that both are of the same commit. It goes from key to key
// through the primary keys whatever the planner believes about the tables: it knows nothing right after a backfill, and
// was seen to read all chunks for the sake of one run.
const storedEvents = `
SELECT m.run_key, m.campaign_id, m.run_id, m.phase, m.version, c.events
FROM unnest($1::uuid[]) AS k (run_key)
CROSS JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.run_key LIMIT 1) m
LEFT JOIN LATERAL (SELECT * FROM event_chunks c WHERE c.run_key = k.run_key ORDER BY c.version) c ON true`

// withoutJIT holds for the pipeline. Without statistics the planner expects thousands of chunks for each run and
// compiles the statement for them: 2.4 s of work for a load of 50 ms.
const withoutJIT = "SELECT set_config('jit', 'off', true)"

// Load reads runs back by folding their stored events, row by row. The fold does not ask for their order.
func (s *Store) Load(ctx context.Context, runs []uuid.UUID) (map[uuid.UUID]sinks.StoredRun, error) {
	ctx, done := s.alive(ctx)
	defer done()
	loaded := make(map[uuid.UUID]sinks.StoredRun, len(runs))
	var list []events.Event
	err := s.eachChunk(ctx, storedEvents, runs, func(key events.Key, run uuid.UUID, version int64, chunk []byte) error {
		stored, seen := loaded[run]
		if !seen {
			stored = sinks.StoredRun{Run: aggregate.NewRun(key), Version: version}
			loaded[run] = stored
		}
		if chunk == nil {
			return nil
		}
		var err error
		list, err = sinks.DecodeChunk(list[:0], key, chunk)
		for i := range list {
			stored.Run.Apply(&list[i])
		}
		return err
	})
	if err != nil {
		return nil, failed("load runs", err)
	}
	return loaded, nil
}

// Events returns the applied events of one run.
func (s *Store) Events(ctx context.Context, run uuid.UUID) ([]events.Event, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var list []events.Event
	statement := storedEvents + " ORDER BY c.version"
	err := s.eachChunk(ctx, statement, []uuid.UUID{run}, func(key events.Key, _ uuid.UUID, _ int64, chunk []byte) error {
		if chunk == nil {
			return nil
		}
		var err error
		list, err = sinks.DecodeChunk(list, key, chunk)
		return err
	})
	if err != nil {
		return nil, failed("read events", err)
	}
	return list, nil
}

// eachChunk visits the chunks of the runs; once with nil where a run has none. A chunk is valid during the visit only.
func (s *Store) eachChunk(ctx context.Context, statement string, runs []uuid.UUID,
	visit func(key events.Key, run uuid.UUID, version int64, chunk []byte) error,
) error {
	pipeline := new(pgx.Batch)
	pipeline.Queue(withoutJIT)
	pipeline.Queue(statement, keysOf(runs, func(key *uuid.UUID) uuid.UUID { return *key }))
	results := s.pool.SendBatch(ctx, pipeline)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			key     events.Key
			run     uuid.UUID
			version int64
			chunk   pgtype.DriverBytes
		)
		if err := rows.Scan(&run, &key.CampaignID, &key.RunID, &key.Phase, &version, &chunk); err != nil {
			return err
		}
		if err := visit(key, run, version, chunk); err != nil {
			return fmt.Errorf("%w: %w", sinks.ErrBlocked, err) // somebody changed the table by hand
		}
	}
	return rows.Err()
}
