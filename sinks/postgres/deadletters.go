package postgres

import (
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// writeDeadLetters keeps rows up to the limit of their reason and counts the rest, and those besides that were not sent.
// The position's row lock, taken before, lets no other commit of the stream count at the same time. It returns of
// which reasons there is no room any more, and of which there is.
const writeDeadLetters = `
WITH letters AS (
	SELECT l.*, coalesce(c.kept, 0) + row_number() OVER (PARTITION BY l.reason ORDER BY l.sequence) <= $3::bigint AS keep
	FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::bigint[], $12::integer[], $13::integer[])
		AS l (sequence, subject, campaign_id, run_id, reason, field, detail, time, begin, length)
	LEFT JOIN dead_letter_counts c ON c.stream = $1::text AND c.reason = l.reason
), kept AS (
	INSERT INTO dead_letters
		(stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, time, payload)
	SELECT $1::text, $2::bigint, sequence, subject, campaign_id, run_id, reason, field, detail,
		timestamptz 'epoch' + time * interval '1 microsecond', substring($14::bytea FROM begin FOR length)
	FROM letters WHERE keep
), counted AS (
	INSERT INTO dead_letter_counts AS c (stream, reason, kept, dropped, first_dropped, last_dropped)
	SELECT $1::text, reason, count(*) FILTER (WHERE keep), count(*) FILTER (WHERE NOT keep),
		min(sequence) FILTER (WHERE NOT keep), max(sequence) FILTER (WHERE NOT keep)
	FROM letters GROUP BY reason
	UNION ALL
	SELECT $1::text, o.reason, 0, o.letters, o.first, o.last
	FROM unnest($15::text[], $16::bigint[], $17::bigint[], $18::bigint[]) AS o (reason, letters, first, last)
	ORDER BY reason
	ON CONFLICT (stream, reason) DO UPDATE SET kept = c.kept + excluded.kept, dropped = c.dropped + excluded.dropped,
		first_dropped = coalesce(c.first_dropped, excluded.first_dropped),
		last_dropped = coalesce(excluded.last_dropped, c.last_dropped)
	RETURNING reason, kept
)
SELECT reason, kept >= $3::bigint FROM counted`

// queueDeadLetters queues what becomes of the batch's dead letters. When the pipeline is sent, room gets an element for
// each of their reasons.
func (s *Store) queueDeadLetters(pipeline *pgx.Batch, b *sinks.Batch, room *[]reasonRoom) {
	letters, overflows := s.full.split(b.Next.Stream, b.DeadLetters)
	column := func(add func(a *array, d *sinks.DeadLetter)) string {
		return arrayOf(letters, func(a *array, d **sinks.DeadLetter) { add(a, *d) })
	}
	payloads := []byte{} // of all letters, one after the other
	begins := column(func(a *array, d *sinks.DeadLetter) {
		a.integer(int64(len(payloads) + 1))
		payloads = append(payloads, d.Payload...)
	})
	pipeline.Queue(writeDeadLetters, b.Next.Stream, b.Next.Epoch, int64(s.deadLetterLimit),
		column(func(a *array, d *sinks.DeadLetter) { a.integer(int64(d.Sequence)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(cleanText(d.Subject)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(cleanText(d.CampaignID)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(cleanText(d.RunID)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(string(d.Reason)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(cleanText(d.Field)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.text(cleanText(d.Detail)) }),
		column(func(a *array, d *sinks.DeadLetter) { a.time(d.Time) }),
		begins, column(func(a *array, d *sinks.DeadLetter) { a.integer(int64(len(d.Payload))) }), payloads,
		arrayOf(overflows, func(a *array, o *overflow) { a.text(string(o.reason)) }),
		arrayOf(overflows, func(a *array, o *overflow) { a.integer(o.letters) }),
		arrayOf(overflows, func(a *array, o *overflow) { a.integer(o.first) }),
		arrayOf(overflows, func(a *array, o *overflow) { a.integer(o.last) }),
	).Query(func(rows pgx.Rows) (err error) {
		*room, err = pgx.CollectRows(rows, pgx.RowToStructByPos[reasonRoom])
		return err
	})
}

// cleanText makes text that Postgres keeps of what may be any bytes, as subjects are.
func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// overflow is the dead letters of one reason in one batch for which there is no room.
type overflow struct {
	reason      events.Reason
	letters     int64
	first, last int64 // their sequences
}

// reasonRoom tells whether a stream has as many rows of a reason as it may.
type reasonRoom struct {
	Reason events.Reason
	Full   bool
}

// fullReasons remembers of which reasons a stream has as many rows as it may, so that a flood is counted here and not sent
// to be counted there. It knows so from commits, each of which says anew how it is with the reasons of its letters: where
// another process resolved some, the next commit of that reason learns it and the one after it keeps rows again. Whoever
// reads a stream's position anew, as after a restore, forgets all.
type fullReasons struct {
	mu      sync.Mutex
	streams map[string][]events.Reason
}

// split parts the letters into those that may have room and those that have none.
func (f *fullReasons) split(stream string, list []sinks.DeadLetter) (letters []*sinks.DeadLetter, overflows []overflow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, reason := range f.streams[stream] {
		overflows = append(overflows, overflow{reason: reason})
	}
	for i := range list {
		d := &list[i]
		at := slices.IndexFunc(overflows, func(o overflow) bool { return o.reason == d.Reason })
		if at < 0 {
			letters = append(letters, d)
			continue
		}
		o := &overflows[at]
		if o.letters == 0 {
			o.first = int64(d.Sequence)
		}
		o.letters++
		o.last = int64(d.Sequence)
	}
	return letters, slices.DeleteFunc(overflows, func(o overflow) bool { return o.letters == 0 })
}

// learn takes in what a commit of the stream returned.
func (f *fullReasons) learn(stream string, list []reasonRoom) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams == nil {
		f.streams = make(map[string][]events.Reason)
	}
	for _, room := range list {
		full := slices.DeleteFunc(f.streams[stream], func(r events.Reason) bool { return r == room.Reason })
		if room.Full {
			full = append(full, room.Reason)
		}
		f.streams[stream] = full
	}
}

func (f *fullReasons) forget(stream string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.streams, stream)
}
