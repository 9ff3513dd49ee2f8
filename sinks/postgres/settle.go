package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/sinks"
)

// settleRuns ends claims and counts those that were lost. What becomes of a claim is worked out under the row's lock.
// A claim is the owner's only at the version that it claimed: an outcome of an older claim must not end a newer one,
// whose request is under way.
const settleRuns = `
WITH outcome AS (
	SELECT run_key, version, closed, verdict, reason, timestamptz 'epoch' + doubt * interval '1 microsecond' AS doubt
	FROM unnest($4::uuid[], $5::bigint[], $6::boolean[], $7::text[], $8::text[], $9::bigint[])
		AS s (run_key, version, closed, verdict, reason, doubt)
), locked AS (
	SELECT o.run_key, o.closed AND NOT (o.sent_closed OR s.verdict = 'delivered' AND s.closed) AS closing,
		s.version AS sent, s.closed AS sent_closed, s.verdict, s.reason,
		coalesce(o.claimed_by = $2::uuid AND o.claimed_version = s.version, false) AS held,
		s.verdict <> 'released' OR s.doubt IS NOT NULL AS maybe_sent,
		s.verdict = 'released' OR o.again AS at_once,
		o.version > s.version AS newer,
		greatest(o.doubt_until, s.doubt) AS doubt,
		CASE WHEN s.verdict = 'parked' THEN greatest(o.not_before, $3::timestamptz) ELSE o.not_before END AS not_before
	FROM dataverse_outbox o JOIN outcome s ON s.run_key = o.run_key
	ORDER BY o.run_key FOR UPDATE OF o
), settled AS (
	UPDATE dataverse_outbox o SET claimed_by = NULL, claimed_version = NULL, again = false,
		not_before = l.not_before, doubt_until = l.doubt,
		delivered = CASE l.verdict WHEN 'delivered' THEN greatest(o.delivered, l.sent) ELSE o.delivered END,
		sent_closed = o.sent_closed OR l.verdict = 'delivered' AND l.sent_closed,
		parked = CASE l.verdict WHEN 'parked' THEN l.reason WHEN 'released' THEN o.parked END,
		parked_at = CASE l.verdict WHEN 'parked' THEN $1::timestamptz WHEN 'released' THEN o.parked_at END,
		pending = l.at_once OR l.newer OR l.doubt IS NOT NULL,
		due_at = CASE
			WHEN l.at_once THEN $1::timestamptz
			WHEN l.newer AND l.closing THEN least(o.due_at, l.doubt)
			WHEN l.newer THEN least(greatest(o.due_at, l.not_before), l.doubt)
			ELSE coalesce(l.doubt, o.due_at) END
	FROM locked l WHERE o.run_key = l.run_key AND l.held
), lost AS (
	UPDATE dataverse_outbox o SET doubt_until = l.doubt, ` + dueAtOnce + `
	FROM locked l WHERE o.run_key = l.run_key AND NOT l.held AND l.maybe_sent
	RETURNING 1
)
SELECT count(*) FROM lost`

// countTargets adds to the day's count, unless there is nothing to add, and returns it.
const countTargets = `
WITH counted AS (
	INSERT INTO dataverse_targets AS t (day, targets) SELECT $1::date, $2::bigint WHERE $2::bigint > 0
	ON CONFLICT (day) DO UPDATE SET targets = t.targets + excluded.targets RETURNING targets
)
SELECT coalesce((SELECT targets FROM counted), (SELECT targets FROM dataverse_targets WHERE day = $1::date), 0)`

// Settle says what became of claimed runs, and counts what was sent.
func (s *Store) Settle(ctx context.Context, settlement sinks.Settlement) (sinks.Settled, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var settled sinks.Settled
	pipeline := new(pgx.Batch)
	if len(settlement.Outcomes) > 0 {
		queueOutcomes(pipeline, &settlement).QueryRow(func(row pgx.Row) error { return row.Scan(&settled.Lost) })
	}
	queueNextDue(pipeline, &settled.Next)
	// Last, because everybody's settlements meet at this row.
	pipeline.Queue(countTargets, utcDay(settlement.Now), settlement.Targets).
		QueryRow(func(row pgx.Row) error { return row.Scan(&settled.TargetsToday) })
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return sinks.Settled{}, failed("settle runs", err)
	}
	return settled, nil
}

var verdictNames = map[sinks.Verdict]string{
	sinks.Delivered: "delivered", sinks.Released: "released", sinks.Parked: "parked",
}

func queueOutcomes(pipeline *pgx.Batch, s *sinks.Settlement) *pgx.QueuedQuery {
	column := func(add func(a *array, o *sinks.Outcome)) string { return arrayOf(s.Outcomes, add) }
	return pipeline.Queue(settleRuns, s.Now, s.Owner, s.RetryParked,
		keysOf(s.Outcomes, func(o *sinks.Outcome) uuid.UUID { return o.RunKey }),
		column(func(a *array, o *sinks.Outcome) { a.integer(o.Version) }),
		column(func(a *array, o *sinks.Outcome) { a.boolean(o.Closed) }),
		column(func(a *array, o *sinks.Outcome) { a.text(verdictNames[o.Verdict]) }),
		column(func(a *array, o *sinks.Outcome) { a.text(cleanText(o.Reason)) }),
		column(func(a *array, o *sinks.Outcome) {
			if o.DoubtUntil.IsZero() {
				a.null()
			} else {
				a.time(o.DoubtUntil)
			}
		}))
}

// utcDay names the UTC day of a time.
func utcDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }
