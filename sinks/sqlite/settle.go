package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// outcomes names what a settlement says of each run. A claim is the owner's only at the version that it claimed: an
	// outcome of an older claim must not end a newer one, whose request is under way.
	outcomes = `
WITH outcome AS (
	SELECT s.value ->> 0 AS run_key, s.value ->> 1 AS sent, s.value ->> 2 AS sent_closed, s.value ->> 3 AS verdict,
		s.value ->> 4 AS reason, s.value ->> 5 AS doubt
	FROM json_each(?4) s
), found AS MATERIALIZED (
	SELECT o.run_key, o.closed AND NOT (o.sent_closed OR s.verdict = 'delivered' AND s.sent_closed) AS closing,
		s.sent, s.sent_closed, s.verdict, s.reason,
		coalesce(o.claimed_by = ?2 AND o.claimed_version = s.sent, false) AS held,
		s.verdict <> 'released' OR s.doubt IS NOT NULL AS maybe_sent,
		s.verdict = 'released' OR o.again AS at_once,
		o.version > s.sent AS newer,
		nullif(max(coalesce(o.doubt_until, ''), coalesce(s.doubt, '')), '') AS doubt,
		iif(s.verdict = 'parked', max(coalesce(o.not_before, ''), ?3), o.not_before) AS not_before
	FROM outcome s JOIN dataverse_outbox o ON o.run_key = s.run_key
)`

	// loseRuns comes before settleRuns, after which no claim of the settlement is held any more.
	loseRuns = outcomes + `
UPDATE dataverse_outbox SET doubt_until = l.doubt, ` + dueAtOnce + `
FROM found l WHERE l.run_key = dataverse_outbox.run_key AND NOT l.held AND l.maybe_sent`

	settleRuns = outcomes + `
UPDATE dataverse_outbox AS o SET claimed_by = NULL, claimed_version = NULL, again = false,
	not_before = l.not_before, doubt_until = l.doubt,
	delivered = CASE l.verdict WHEN 'delivered' THEN max(o.delivered, l.sent) ELSE o.delivered END,
	sent_closed = o.sent_closed OR l.verdict = 'delivered' AND l.sent_closed,
	parked = CASE l.verdict WHEN 'parked' THEN l.reason WHEN 'released' THEN o.parked END,
	parked_at = CASE l.verdict WHEN 'parked' THEN ?1 WHEN 'released' THEN o.parked_at END,
	pending = l.at_once OR l.newer OR l.doubt IS NOT NULL,
	due_at = CASE
		WHEN l.at_once THEN ?1
		WHEN l.newer AND l.closing THEN min(o.due_at, coalesce(l.doubt, '9'))
		WHEN l.newer THEN min(max(o.due_at, coalesce(l.not_before, '')), coalesce(l.doubt, '9'))
		ELSE coalesce(l.doubt, o.due_at) END
FROM found l WHERE l.run_key = o.run_key AND l.held`

	countTargets = `
INSERT INTO dataverse_targets (day, targets) VALUES (?1, ?2)
ON CONFLICT (day) DO UPDATE SET targets = targets + excluded.targets`
	targetsOfDay = "SELECT coalesce((SELECT targets FROM dataverse_targets WHERE day = ?1), 0)"
)

// Settle says what became of claimed runs, and counts what was sent.
func (s *Store) Settle(ctx context.Context, settlement sinks.Settlement) (sinks.Settled, error) {
	var settled sinks.Settled
	err := s.write(ctx, func(tx *sql.Tx) (err error) {
		if settled.Lost, err = settleOutcomes(ctx, tx, &settlement); err != nil {
			return err
		}
		day := utcDay(settlement.Now)
		if settlement.Targets > 0 {
			if _, err := tx.ExecContext(ctx, countTargets, day, settlement.Targets); err != nil {
				return err
			}
		}
		if err := tx.QueryRowContext(ctx, targetsOfDay, day).Scan(&settled.TargetsToday); err != nil {
			return err
		}
		settled.Next, err = readNextDue(ctx, tx)
		return err
	})
	if err != nil {
		return sinks.Settled{}, fmt.Errorf("settle runs: %w", err)
	}
	return settled, nil
}

// settleOutcomes ends claims and counts those that were lost.
func settleOutcomes(ctx context.Context, tx *sql.Tx, s *sinks.Settlement) (lost int, err error) {
	if len(s.Outcomes) == 0 {
		return 0, nil
	}
	list, err := outcomesJSON(s.Outcomes)
	if err != nil {
		return 0, err
	}
	args := []any{timestamp(s.Now), s.Owner.String(), timestamp(s.RetryParked), list}
	result, err := tx.ExecContext(ctx, loseRuns, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, settleRuns, args...)
	return int(n), err
}

var verdictNames = map[sinks.Verdict]string{
	sinks.Delivered: "delivered", sinks.Released: "released", sinks.Parked: "parked",
}

// outcomesJSON is a list of outcomes as one parameter.
func outcomesJSON(list []sinks.Outcome) (string, error) {
	rows := make([][6]any, len(list))
	for i := range list {
		o := &list[i]
		var doubt any
		if !o.DoubtUntil.IsZero() {
			doubt = timestamp(o.DoubtUntil)
		}
		rows[i] = [6]any{o.RunKey, o.Version, o.Closed, verdictNames[o.Verdict], cleanText(o.Reason), doubt}
	}
	b, err := json.Marshal(rows)
	return string(b), err
}
