package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

var _ sinks.Letters = (*Store)(nil)

// letterColumns are those of a letter but for its payload, which is most of a row.
const letterColumns = `SELECT stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, time,
	resolved_at, coalesce(resolution, ''), `

func scanLetter(rows *sql.Rows) (l sinks.Letter, err error) {
	var (
		sequence   int64
		at         string
		resolvedAt sql.NullString
	)
	err = rows.Scan(&l.Stream, &l.Epoch, &sequence, &l.Subject, &l.CampaignID, &l.RunID, &l.Reason, &l.Field, &l.Detail,
		&at, &resolvedAt, &l.Resolution, &l.Payload)
	if err != nil {
		return l, err
	}
	l.Sequence = uint64(sequence)
	if l.Time, err = parseTimestamp(at); err != nil {
		return l, err
	}
	l.ResolvedAt, err = optionalTime(resolvedAt)
	return l, err
}

// letters adds what a filter selects. Names are looked for as they are kept.
func (q *conditions) letters(f *sinks.LetterFilter) {
	q.lettersOf(f)
	for _, named := range []struct{ column, value string }{{"campaign_id", f.CampaignID}, {"run_id", f.RunID}} {
		if named.value != "" {
			q.add(named.column+" = ?", cleanText(named.value))
		}
	}
	if !f.Since.IsZero() {
		q.add("time >= ?", timestamp(f.Since))
	}
	if !f.Until.IsZero() {
		q.add("time < ?", timestamp(f.Until))
	}
}

// lettersOf adds what is selected of letters and of their counts alike.
func (q *conditions) lettersOf(f *sinks.LetterFilter) {
	q.equal("stream", f.Stream)
	q.equal("reason", string(f.Reason))
}

// Letters returns dead letters in the order of their positions.
func (s *Store) Letters(ctx context.Context, f sinks.LetterFilter, after *sinks.LetterID, limit int) ([]sinks.Letter, error) {
	var q conditions
	q.letters(&f)
	if !f.Resolved {
		q.add("resolved_at IS NULL")
	}
	behind, order := ">", "stream, epoch, sequence"
	if f.NewestFirst {
		behind, order = "<", "stream DESC, epoch DESC, sequence DESC"
	}
	if after != nil {
		q.add("(stream, epoch, sequence) "+behind+" (?, ?, ?)", after.Stream, after.Epoch, int64(after.Sequence))
	}
	payload := "x''"
	if f.Payloads {
		payload = "payload"
	}
	list, err := s.letters(ctx, letterColumns+payload+" FROM dead_letters "+q.where()+
		" ORDER BY "+order+" LIMIT ?", append(q.args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return list, nil
}

// Letter returns the letter at a position.
func (s *Store) Letter(ctx context.Context, id sinks.LetterID) (sinks.Letter, bool, error) {
	list, err := s.letters(ctx, letterColumns+`payload FROM dead_letters
		WHERE stream = ?1 AND sequence = ?2 AND (?3 = 0 OR epoch = ?3) ORDER BY epoch DESC LIMIT 1`,
		id.Stream, int64(id.Sequence), id.Epoch)
	switch {
	case err != nil:
		return sinks.Letter{}, false, fmt.Errorf("read dead letter: %w", err)
	case len(list) == 0:
		return sinks.Letter{}, false, nil
	}
	return list[0], true, nil
}

func (s *Store) letters(ctx context.Context, statement string, args ...any) ([]sinks.Letter, error) {
	rows, err := s.reader.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var list []sinks.Letter
	for rows.Next() {
		l, err := scanLetter(rows)
		if err != nil {
			return nil, classify(err)
		}
		list = append(list, l)
	}
	return list, classify(rows.Err())
}

// LetterCounts counts by stream and reason.
func (s *Store) LetterCounts(ctx context.Context, f sinks.LetterFilter) ([]sinks.LetterCount, error) {
	list, err := s.letterCounts(ctx, &f)
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", classify(err))
	}
	return list, nil
}

func (s *Store) letterCounts(ctx context.Context, f *sinks.LetterFilter) ([]sinks.LetterCount, error) {
	var letters, counts conditions
	letters.letters(f)
	counts.lettersOf(f)
	rows, err := s.reader.QueryContext(ctx, fmt.Sprintf(`
SELECT stream, reason, coalesce(open, 0), coalesce(resolved, 0), coalesce(dropped, 0),
	coalesce(first_dropped, 0), coalesce(last_dropped, 0)
FROM (
	SELECT stream, reason, count(*) - count(resolved_at) AS open, count(resolved_at) AS resolved
	FROM dead_letters %s GROUP BY stream, reason
) l FULL JOIN (SELECT * FROM dead_letter_counts %s) c USING (stream, reason)
WHERE open > 0 OR resolved > 0 OR dropped > 0
ORDER BY stream, reason`, letters.where(), counts.where()), append(letters.args, counts.args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []sinks.LetterCount
	for rows.Next() {
		var (
			c           sinks.LetterCount
			first, last int64
		)
		if err := rows.Scan(&c.Stream, &c.Reason, &c.Open, &c.Resolved, &c.Dropped, &first, &last); err != nil {
			return nil, err
		}
		c.FirstDropped, c.LastDropped = uint64(first), uint64(last)
		list = append(list, c)
	}
	return list, rows.Err()
}

const (
	resolveLetter = `
UPDATE dead_letters SET resolved_at = ?, resolution = ?
WHERE stream = ? AND epoch = ? AND sequence = ? AND resolved_at IS NULL RETURNING reason`
	uncountLetters = "UPDATE dead_letter_counts SET kept = max(kept - ?, 0) WHERE stream = ? AND reason = ?"
)

// ResolveLetters says what became of open letters.
func (s *Store) ResolveLetters(ctx context.Context, list []sinks.Resolution, at time.Time) (int64, error) {
	n, err := s.resolveLetters(ctx, list, timestamp(at))
	if err != nil {
		return 0, fmt.Errorf("resolve dead letters: %w", classify(err))
	}
	return n, nil
}

func (s *Store) resolveLetters(ctx context.Context, list []sinks.Resolution, at string) (n int64, err error) {
	if err := s.file.inPlace(); err != nil {
		return 0, err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // of no effect once committed
	resolve, err := tx.PrepareContext(ctx, resolveLetter)
	if err != nil {
		return 0, err
	}
	defer resolve.Close()
	type kind struct {
		stream string
		reason events.Reason
	}
	freed := make(map[kind]int64)
	for i := range list {
		of := kind{stream: list[i].Stream}
		err := resolve.QueryRowContext(ctx, at, cleanText(list[i].Text), list[i].Stream, list[i].Epoch, int64(list[i].Sequence)).
			Scan(&of.reason)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, err
		}
		freed[of]++
		n++
	}
	for of, letters := range freed {
		if _, err := tx.ExecContext(ctx, uncountLetters, letters, of.stream, string(of.reason)); err != nil {
			return 0, err
		}
	}
	return n, tx.Commit()
}

// DropResolved removes rows of letters that somebody dealt with. The counts are without them already.
func (s *Store) DropResolved(ctx context.Context, before time.Time) (n int64, err error) {
	if err = s.file.inPlace(); err != nil {
		return 0, fmt.Errorf("drop resolved dead letters: %w", classify(err))
	}
	gone, err := s.writer.ExecContext(ctx, "DELETE FROM dead_letters WHERE resolved_at < ?", timestamp(before))
	if err == nil {
		n, err = gone.RowsAffected()
	}
	if err != nil {
		return 0, fmt.Errorf("drop resolved dead letters: %w", classify(err))
	}
	return n, nil
}
