package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	insertDeadLetters = `INSERT INTO dead_letters
(stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, time, payload)`
	keptDeadLetters  = "SELECT kept FROM dead_letter_counts WHERE stream = ? AND reason = ?"
	countDeadLetters = `
INSERT INTO dead_letter_counts (stream, reason, kept, dropped, first_dropped, last_dropped) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (stream, reason) DO UPDATE SET kept = kept + excluded.kept, dropped = dropped + excluded.dropped,
	first_dropped = coalesce(first_dropped, excluded.first_dropped),
	last_dropped = coalesce(excluded.last_dropped, last_dropped)`
)

// tally is what becomes of a batch's dead letters of one reason.
type tally struct {
	before        int64 // rows that are there already
	kept, dropped int64
	first, last   any // sequences of those dropped, nil without any
}

// writeDeadLetters keeps rows up to the limit of their reason and counts the rest.
func (s *Store) writeDeadLetters(ctx context.Context, tx *sql.Tx, b *sinks.Batch) error {
	tallies := make(map[events.Reason]*tally)
	var rows []any
	for i := range b.DeadLetters {
		d := &b.DeadLetters[i]
		t := tallies[d.Reason]
		if t == nil {
			t = new(tally)
			tallies[d.Reason] = t
			err := tx.StmtContext(ctx, s.commit.keptLetters).
				QueryRowContext(ctx, b.Next.Stream, string(d.Reason)).Scan(&t.before)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if t.take(d, int64(s.deadLetterLimit)) {
			rows = deadLetterArgs(rows, &b.Next, d)
		}
	}
	if err := s.commit.deadLetters.insert(ctx, tx, rows); err != nil {
		return err
	}
	for reason, t := range tallies {
		_, err := tx.StmtContext(ctx, s.commit.countLetters).
			ExecContext(ctx, b.Next.Stream, string(reason), t.kept, t.dropped, t.first, t.last)
		if err != nil {
			return err
		}
	}
	return nil
}

// take counts one dead letter and tells whether it is kept.
func (t *tally) take(d *sinks.DeadLetter, limit int64) bool {
	if t.before+t.kept < limit {
		t.kept++
		return true
	}
	if t.dropped == 0 {
		t.first = int64(d.Sequence)
	}
	t.dropped++
	t.last = int64(d.Sequence)
	return false
}

func deadLetterArgs(args []any, p *sinks.Position, d *sinks.DeadLetter) []any {
	payload := d.Payload
	if payload == nil {
		payload = []byte{} // an empty payload is known to be empty
	}
	return append(args, p.Stream, p.Epoch, int64(d.Sequence), cleanText(d.Subject), cleanText(d.CampaignID),
		cleanText(d.RunID), string(d.Reason), cleanText(d.Field), cleanText(d.Detail), timestamp(d.Time), payload)
}

// cleanText makes valid text of what may be any bytes, as subjects are, and as Postgres could keep it too.
func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
