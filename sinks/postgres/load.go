package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

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

// loadEvents reads versions and events in one statement, so that both are of the same commit. It goes from key to key
// through the primary keys whatever the planner believes about the tables: it knows nothing right after a backfill, and
// was seen to read all chunks for the sake of one run.
const loadEvents = `
SELECT k.run_key, coalesce(m.version, 0), m.sealed_at IS NOT NULL, coalesce(c.version, 0), c.events,
	coalesce(p.epoch, 0) = $3::bigint AND coalesce(p.sequence, 0) = $4::bigint
FROM unnest($1::uuid[]) AS k (run_key)
LEFT JOIN (SELECT * FROM stream_positions WHERE stream = $2::text ORDER BY epoch DESC LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.run_key LIMIT 1) m ON true
LEFT JOIN LATERAL (SELECT * FROM event_chunks c WHERE c.number = coalesce(m.number, ` + numberKept + `) ORDER BY c.version) c ON true
WHERE coalesce(m.number, c.number) IS NOT NULL`

// numberKept is the number of run k if its row was deleted by hand and its events were not.
const numberKept = "(SELECT d.number FROM deleted_runs d WHERE d.run_key = k.run_key)"

// withoutJIT holds for the pipeline. Without statistics the planner expects thousands of chunks for each run and
// compiles the statement for them: 2.4 s of work for a load of 50 ms.
const withoutJIT = "SELECT set_config('jit', 'off', true)"

// Load reads runs back by folding their stored events, row by row.
func (s *Store) Load(ctx context.Context, at sinks.Position, runs []events.Key) (map[uuid.UUID]sinks.StoredRun, error) {
	ctx, done := s.alive(ctx)
	defer done()
	loader := sinks.NewLoader(runs)
	visit := func(rows pgx.Rows) error {
		var (
			row   sinks.StoredRow
			chunk pgtype.DriverBytes
		)
		if err := rows.Scan(&row.Run, &row.Recorded, &row.Sealed, &row.Version, &chunk, &row.There); err != nil {
			return err
		}
		row.Chunk = chunk
		return loader.Add(&row)
	}
	if err := s.eachRow(ctx, visit, loadEvents, loader.IDs(), at.Stream, at.Epoch, int64(at.Sequence)); err != nil {
		return nil, failed("load runs", err)
	}
	return loader.Runs(), nil
}

const storedEvents = `
SELECT m.campaign_id, m.run_id, m.phase, c.events
FROM unnest($1::uuid[]) AS k (run_key)
CROSS JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.run_key LIMIT 1) m
CROSS JOIN LATERAL (SELECT * FROM event_chunks c WHERE c.number = m.number ORDER BY c.version) c
ORDER BY c.version`

// Events visits the applied events of one run.
func (s *Store) Events(ctx context.Context, run uuid.UUID, visit func(e *events.Event) error) error {
	ctx, done := s.alive(ctx)
	defer done()
	return failed("read events", s.eachRow(ctx, func(rows pgx.Rows) error {
		var (
			key   events.Key
			chunk pgtype.DriverBytes
		)
		if err := rows.Scan(&key.CampaignID, &key.RunID, &key.Phase, &chunk); err != nil {
			return err
		}
		return sinks.VisitChunk(key, chunk, visit)
	}, storedEvents, []uuid.UUID{run}))
}

// Voided returns the ids of events that count nowhere in the run.
func (s *Store) Voided(ctx context.Context, run uuid.UUID) ([]string, error) {
	ctx, done := s.alive(ctx)
	defer done()
	rows, err := s.pool.Query(ctx, "SELECT event_id FROM voided_events WHERE run_key = $1::uuid", run)
	if err != nil {
		return nil, failed("read voided ids", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return ids, failed("read voided ids", err)
}

// eachRow visits the rows of a statement about runs. What a row holds as bytes is valid during the visit only.
func (s *Store) eachRow(ctx context.Context, visit func(rows pgx.Rows) error, statement string, runs []uuid.UUID, more ...any) error {
	pipeline := new(pgx.Batch)
	pipeline.Queue(withoutJIT)
	pipeline.Queue(statement, append([]any{keysOf(runs, func(key *uuid.UUID) uuid.UUID { return *key })}, more...)...)
	results := s.pool.SendBatch(ctx, pipeline)
	defer results.Close()
	if _, err := results.Exec(); err != nil {
		return err
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	return visitRows(rows, visit)
}

func visitRows(rows pgx.Rows, visit func(rows pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := visit(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
