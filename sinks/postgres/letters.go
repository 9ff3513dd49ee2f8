package postgres

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/sinks"
)

var _ sinks.Letters = (*Store)(nil)

// letterColumns are those of a letter but for its payload, which is most of a row.
const letterColumns = `SELECT stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, time,
	resolved_at, coalesce(resolution, ''), `

func scanLetter(row pgx.CollectableRow) (l sinks.Letter, err error) {
	var (
		sequence   int64
		resolvedAt *time.Time
	)
	err = row.Scan(&l.Stream, &l.Epoch, &sequence, &l.Subject, &l.CampaignID, &l.RunID, &l.Reason, &l.Field, &l.Detail,
		&l.Time, &resolvedAt, &l.Resolution, &l.Payload)
	l.Sequence, l.Time = uint64(sequence), l.Time.UTC()
	if resolvedAt != nil {
		l.ResolvedAt = resolvedAt.UTC()
	}
	return l, err
}

// letters adds what a filter selects. Names are looked for as they are kept.
func (q *conditions) letters(f *sinks.LetterFilter) {
	q.lettersOf(f)
	for _, named := range []struct{ column, value string }{{"campaign_id", f.CampaignID}, {"run_id", f.RunID}} {
		if named.value != "" {
			q.add(named.column+" = ?::text", cleanText(named.value))
		}
	}
	if !f.Since.IsZero() {
		q.add("time >= ?::timestamptz", f.Since)
	}
	if !f.Until.IsZero() {
		q.add("time < ?::timestamptz", f.Until)
	}
}

// lettersOf adds what is selected of letters and of their counts alike.
func (q *conditions) lettersOf(f *sinks.LetterFilter) {
	q.filter("stream", f.Stream)
	q.filter("reason", string(f.Reason))
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
		q.add("(stream, epoch, sequence) "+behind+" (?::text, ?::bigint, ?::bigint)", after.Stream, after.Epoch, int64(after.Sequence))
	}
	payload := "''::bytea"
	if f.Payloads {
		payload = "payload"
	}
	where := q.where()
	q.args = append(q.args, int64(limit))
	return s.letters(ctx, "list dead letters", letterColumns+payload+" FROM dead_letters "+where+
		" ORDER BY "+order+" LIMIT $"+strconv.Itoa(len(q.args))+"::bigint", q.args...)
}

// Letter returns the letter at a position.
func (s *Store) Letter(ctx context.Context, id sinks.LetterID) (sinks.Letter, bool, error) {
	list, err := s.letters(ctx, "read dead letter", letterColumns+`payload FROM dead_letters
		WHERE stream = $1::text AND sequence = $2::bigint AND ($3::bigint = 0 OR epoch = $3::bigint)
		ORDER BY epoch DESC LIMIT 1`, cleanText(id.Stream), int64(id.Sequence), id.Epoch)
	if err != nil || len(list) == 0 {
		return sinks.Letter{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) letters(ctx context.Context, doing, statement string, args ...any) ([]sinks.Letter, error) {
	ctx, done := s.alive(ctx)
	defer done()
	rows, err := s.pool.Query(ctx, statement, args...)
	if err != nil {
		return nil, failed(doing, err)
	}
	list, err := pgx.CollectRows(rows, scanLetter)
	if err != nil {
		return nil, failed(doing, err)
	}
	return list, nil
}

// LetterCounts counts by stream and reason.
func (s *Store) LetterCounts(ctx context.Context, f sinks.LetterFilter) ([]sinks.LetterCount, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var q conditions
	q.letters(&f)
	rowsWhere := q.where()
	q.terms = nil
	q.lettersOf(&f)
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
SELECT stream, reason, coalesce(open, 0), coalesce(resolved, 0), coalesce(dropped, 0),
	coalesce(first_dropped, 0), coalesce(last_dropped, 0)
FROM (
	SELECT stream, reason, count(*) - count(resolved_at) AS open, count(resolved_at) AS resolved
	FROM dead_letters %s GROUP BY stream, reason
) l FULL JOIN (SELECT * FROM dead_letter_counts %s) c USING (stream, reason)
WHERE open > 0 OR resolved > 0 OR dropped > 0
ORDER BY stream, reason COLLATE "C"`, rowsWhere, q.where()), q.args...)
	if err != nil {
		return nil, failed("count dead letters", err)
	}
	list, err := pgx.CollectRows(rows, scanLetterCount)
	if err != nil {
		return nil, failed("count dead letters", err)
	}
	return list, nil
}

func scanLetterCount(row pgx.CollectableRow) (c sinks.LetterCount, err error) {
	var first, last int64
	err = row.Scan(&c.Stream, &c.Reason, &c.Open, &c.Resolved, &c.Dropped, &first, &last)
	c.FirstDropped, c.LastDropped = uint64(first), uint64(last)
	return c, err
}

// resolveLetters locks rows of dead_letters, then those of the counts, each in their order. A commit takes the counts in
// that order, too, and of the letters it only inserts some: nobody waits in a circle. What a commit reads of the counts
// before this has changed them is a greater number, so it keeps fewer rows, never too many.
const resolveLetters = `
WITH wanted AS (
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS w (stream, epoch, sequence, resolution)
), open AS (
	SELECT d.stream, d.epoch, d.sequence, w.resolution
	FROM dead_letters d JOIN wanted w USING (stream, epoch, sequence)
	WHERE d.resolved_at IS NULL
	ORDER BY d.stream, d.epoch, d.sequence FOR UPDATE OF d
), resolved AS (
	UPDATE dead_letters d SET resolved_at = $5::timestamptz, resolution = o.resolution
	FROM open o
	WHERE d.stream = o.stream AND d.epoch = o.epoch AND d.sequence = o.sequence AND d.resolved_at IS NULL
	RETURNING d.stream, d.reason
), freed AS (
	SELECT stream, reason, count(*) AS letters FROM resolved GROUP BY stream, reason
), counts AS (
	SELECT c.stream, c.reason, f.letters
	FROM dead_letter_counts c JOIN freed f ON f.stream = c.stream AND f.reason = c.reason
	ORDER BY c.stream, c.reason FOR UPDATE OF c
), counted AS (
	UPDATE dead_letter_counts c SET kept = greatest(c.kept - f.letters, 0)
	FROM counts f WHERE c.stream = f.stream AND c.reason = f.reason
)
SELECT count(*) FROM resolved`

// ResolveLetters says what became of open letters.
func (s *Store) ResolveLetters(ctx context.Context, list []sinks.Resolution, at time.Time) (int64, error) {
	ctx, done := s.alive(ctx)
	defer done()
	var n int64
	err := s.pool.QueryRow(ctx, resolveLetters,
		arrayOf(list, func(a *array, r *sinks.Resolution) { a.text(cleanText(r.Stream)) }),
		arrayOf(list, func(a *array, r *sinks.Resolution) { a.integer(r.Epoch) }),
		arrayOf(list, func(a *array, r *sinks.Resolution) { a.integer(int64(r.Sequence)) }),
		arrayOf(list, func(a *array, r *sinks.Resolution) { a.text(cleanText(r.Text)) }), at).Scan(&n)
	if err != nil {
		return 0, failed("resolve dead letters", err)
	}
	return n, nil
}

// DropResolved removes rows of letters that somebody dealt with. The counts are without them already.
func (s *Store) DropResolved(ctx context.Context, before time.Time) (int64, error) {
	ctx, done := s.alive(ctx)
	defer done()
	gone, err := s.pool.Exec(ctx, "DELETE FROM dead_letters WHERE resolved_at < $1::timestamptz", before)
	if err != nil {
		return 0, failed("drop resolved dead letters", err)
	}
	return gone.RowsAffected(), nil
}
