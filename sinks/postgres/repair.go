package postgres

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// What is held of runs is read by three statements of one snapshot, each from key to key through a primary key.
var (
	heldRecords = selectMetricsColumns + `, sealed_at IS NOT NULL
FROM unnest($1::uuid[]) AS k (key)
CROSS JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.key LIMIT 1) m`

	heldEvents = `
SELECT k.run_key, c.version, c.events, c.latencies
FROM unnest($1::uuid[]) AS k (run_key)
LEFT JOIN LATERAL (SELECT * FROM campaign_metrics m WHERE m.run_key = k.run_key LIMIT 1) m ON true
CROSS JOIN LATERAL (SELECT * FROM event_chunks c WHERE c.number = coalesce(m.number, ` + numberKept + `) ORDER BY c.version) c`

	heldVoided = `
SELECT v.run_key, v.event_id
FROM unnest($1::uuid[]) AS k (key)
CROSS JOIN LATERAL (SELECT * FROM voided_events v WHERE v.run_key = k.key ORDER BY v.event_id) v`
)

// oneSnapshot makes all statements of a transaction see the same commits.
var oneSnapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// Holdings returns all that the store has of the runs.
func (s *Store) Holdings(ctx context.Context, runs []events.Key) ([]sinks.Holding, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var held *sinks.Holder
	err := pgx.BeginTxFunc(ctx, s.pool, oneSnapshot, func(tx pgx.Tx) error {
		held = sinks.NewHolder(runs)
		keys := keysOf(held.IDs(), func(key *uuid.UUID) uuid.UUID { return *key })
		pipeline := new(pgx.Batch)
		pipeline.Queue(withoutJIT)
		pipeline.Queue(heldRecords, keys).Query(func(rows pgx.Rows) error {
			return visitRows(rows, func(rows pgx.Rows) error { return holdRecord(held, rows) })
		})
		pipeline.Queue(heldEvents, keys).Query(func(rows pgx.Rows) error {
			return visitRows(rows, func(rows pgx.Rows) error {
				var (
					run              uuid.UUID
					version          int64
					chunk, latencies pgtype.DriverBytes
				)
				if err := rows.Scan(&run, &version, &chunk, &latencies); err != nil {
					return err
				}
				held.Events(run, version, chunk, latencies)
				return nil
			})
		})
		pipeline.Queue(heldVoided, keys).Query(func(rows pgx.Rows) error {
			return visitRows(rows, func(rows pgx.Rows) error {
				var (
					run uuid.UUID
					id  string
				)
				if err := rows.Scan(&run, &id); err != nil {
					return err
				}
				held.Voided(run, id)
				return nil
			})
		})
		return tx.SendBatch(ctx, pipeline).Close()
	})
	if err != nil {
		return nil, failed("read what is held of runs", err)
	}
	return held.Holdings(), nil
}

func holdRecord(held *sinks.Holder, rows pgx.Rows) error {
	var (
		m      aggregate.Metrics
		sealed bool
	)
	targets := metricsTargets(&m)
	for i := range targets {
		if cost, ok := targets[i].(*moneyText); ok {
			targets[i] = (*anyMoney)(cost)
		}
	}
	if err := rows.Scan(append(targets, &sealed)...); err != nil {
		return err
	}
	inUTC(&m)
	held.Record(&m, sealed)
	return nil
}

// anyMoney scans a decimal that may be what no commit writes, such as one below zero.
type anyMoney moneyText

// ScanText never fails.
func (m *anyMoney) ScanText(t pgtype.Text) error {
	if (*moneyText)(m).ScanText(t) != nil {
		*m = anyMoney(aggregate.Unreadable)
	}
	return nil
}

// mendNames puts the names of a run right, which a commit never changes.
const mendNames = `
UPDATE campaign_metrics m SET campaign_id = r.campaign_id, run_id = r.run_id, phase = r.phase
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS r (run_key, campaign_id, run_id, phase)
WHERE m.run_key = r.run_key AND (m.campaign_id, m.run_id, m.phase) IS DISTINCT FROM (r.campaign_id, r.run_id, r.phase)`

// fillGaps makes commits without events of those whose events are missing.
const fillGaps = `
INSERT INTO event_chunks (number, version, events)
SELECT m.number, v, '[]' FROM unnest($1::uuid[], $2::bigint[]) AS r (run_key, version)
JOIN campaign_metrics m ON m.run_key = r.run_key, generate_series(1, r.version) AS v
ON CONFLICT (number, version) DO NOTHING`

const deleteVoided = "DELETE FROM voided_events WHERE run_key = ANY ($1::uuid[])"

// Amend commits changes of runs that come from no stream.
func (s *Store) Amend(ctx context.Context, b *sinks.Batch) error {
	if len(b.Runs) == 0 {
		return nil
	}
	ctx, done := s.alive(context.WithValue(ctx, committing{}, true))
	defer done()
	defer s.notHeldUp(ctx)()
	pipeline := new(pgx.Batch)
	rows := spareRows.Get().(*runRows)
	defer spareRows.Put(rows)
	runs := inOrder(b.Runs)
	rows.fill(runs)
	s.queueRuns(pipeline, rows, b.At)
	if s.marks {
		pipeline.Queue(writeLaterMarks, rows.keys, rows.versions.String(), rows.closed.String(),
			arrayOf(runs, func(a *array, r **sinks.RunChange) { a.time((*r).DueAt(b.At)) }))
	}
	if known := &rows.known; len(known.keys) > 0 {
		pipeline.Queue(mendNames, known.keys, known.values[0].String(), known.values[1].String(), known.values[2].String())
	}
	queueWhole(pipeline, b.Runs)
	queueVoided(pipeline, b.Runs)
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return failed("amend runs", s.collision(ctx, b.Runs, err))
	}
	return nil
}

func queueWhole(pipeline *pgx.Batch, runs []sinks.RunChange) {
	var whole []sinks.RunChange
	for _, r := range runs {
		if r.Whole {
			whole = append(whole, r)
		}
	}
	if len(whole) > 0 {
		pipeline.Queue(fillGaps, keysOf(whole, func(r *sinks.RunChange) uuid.UUID { return r.Metrics.RunKey }),
			arrayOf(whole, func(a *array, r *sinks.RunChange) { a.integer(r.Metrics.Version) }))
	}
}

// queueVoided replaces the voided ids of the runs that say so.
func queueVoided(pipeline *pgx.Batch, runs []sinks.RunChange) {
	var replaced []uuid.UUID
	var list []void
	for i := range runs {
		if r := &runs[i]; r.Voided != nil {
			replaced = append(replaced, r.Metrics.RunKey)
			for _, id := range r.Voided {
				list = append(list, void{r.Metrics.RunKey, id})
			}
		}
	}
	if len(replaced) == 0 {
		return
	}
	pipeline.Queue(deleteVoided, keysOf(replaced, func(key *uuid.UUID) uuid.UUID { return *key }))
	if len(list) > 0 {
		queueVoids(pipeline, list)
	}
}

// Records returns records with a key above after, sorted by key.
func (s *Store) Records(ctx context.Context, f sinks.RecordFilter, after uuid.UUID, limit int) ([]aggregate.Metrics, error) {
	var q conditions
	q.add("run_key > ?::uuid", after)
	q.filter("campaign_id", f.CampaignID)
	q.runID(f.RunID)
	q.filter("phase", f.Phase)
	if !f.FinishedBefore.IsZero() {
		q.add("status <> 'running' AND sealed_at IS NULL AND finished_at < ?::timestamptz", f.FinishedBefore)
	}
	where := q.where()
	q.args = append(q.args, int64(limit))
	return s.records(ctx, "read records", where+" ORDER BY run_key LIMIT $"+strconv.Itoa(len(q.args))+"::bigint", q.args...)
}

// sealRuns locks the runs in the order of their keys, as commits do. One that a commit changed meanwhile has another
// version; what its events were when the statement began is then of no use.
const sealRuns = `
WITH locked AS (
	SELECT m.run_key, m.number FROM campaign_metrics m
	JOIN unnest($1::uuid[], $2::bigint[]) AS r (run_key, version) ON r.run_key = m.run_key AND r.version = m.version
	WHERE m.status <> 'running' AND m.sealed_at IS NULL
	ORDER BY m.run_key FOR UPDATE OF m
), sealed AS (
	UPDATE campaign_metrics m SET sealed_at = $3::timestamptz, latencies = (
		SELECT CASE WHEN bool_and(c.latencies IS NOT NULL) THEN string_agg(c.latencies, '') END
		FROM event_chunks c WHERE c.number = m.number)
	FROM locked WHERE m.run_key = locked.run_key RETURNING m.run_key
), dropped AS (
	DELETE FROM event_chunks c USING locked WHERE c.number = locked.number
), forgotten AS (
	DELETE FROM voided_events v USING locked WHERE v.run_key = locked.run_key
)
SELECT count(*) FROM sealed`

// Seal drops the events of closed runs.
func (s *Store) Seal(ctx context.Context, runs []aggregate.Metrics, at time.Time) (int, error) {
	ctx, done := s.alive(ctx)
	defer done()
	inKeyOrder := slices.SortedFunc(slices.Values(runs), func(a, b aggregate.Metrics) int { return slices.Compare(a.RunKey[:], b.RunKey[:]) })
	var n int
	err := s.pool.QueryRow(ctx, sealRuns, keysOf(inKeyOrder, func(m *aggregate.Metrics) uuid.UUID { return m.RunKey }),
		arrayOf(inKeyOrder, func(a *array, m *aggregate.Metrics) { a.integer(m.Version) }), at).Scan(&n)
	if err != nil {
		return 0, failed("seal runs", err)
	}
	return n, nil
}

const writeAudit = `
INSERT INTO audit_log (id, command, arguments, who, began_at, ended_at, outcome, counts)
VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::timestamptz, $6::timestamptz, $7::text, $8::text)
ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome, counts = excluded.counts`

// Audit keeps an entry.
func (s *Store) Audit(ctx context.Context, e sinks.AuditEntry) error {
	ctx, done := s.alive(ctx)
	defer done()
	var ended any
	if !e.Ended.IsZero() {
		ended = e.Ended
	}
	_, err := s.pool.Exec(ctx, writeAudit, e.ID, cleanText(e.Command), cleanText(e.Arguments), cleanText(e.Who), e.Began, ended,
		string(e.Outcome), cleanText(e.Counts))
	return failed("write audit record", err)
}
