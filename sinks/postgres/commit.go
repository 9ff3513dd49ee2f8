package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Commit stores the batch if the stream still stands at prev. Everything travels as one pipeline, which the server takes
// as one transaction: the guards are statements of it that fail. When the client dies on the way, the server either has
// all of the pipeline and may still commit it, or rolls back.
func (s *Store) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	ctx, done := s.alive(ctx)
	defer done()
	pipeline := new(pgx.Batch)
	queuePosition(pipeline, prev, b)
	if len(b.Runs) > 0 {
		runs := inOrder(b.Runs)
		chunks := chunksOf(runs)
		defer chunks.release()
		queueRuns(pipeline, runs, chunks, b.At)
		if s.marks {
			queueMarks(pipeline, runs, b.At)
		}
	}
	if len(b.DeadLetters) > 0 {
		s.queueDeadLetters(pipeline, b)
	}
	return failed("commit batch", s.pool.SendBatch(ctx, pipeline).Close())
}

const advancePosition = `
SELECT advance_position($1::bigint, $2::bigint, ROW($3::text, $4::bigint, $5::text, $6::bigint, $7::text,
	$8::bigint, $9::bigint, $10::bigint, $11::bigint, $12::timestamptz)::stream_positions)`

func queuePosition(pipeline *pgx.Batch, prev sinks.Position, b *sinks.Batch) {
	next := &b.Next
	var messageTime any
	if !next.MessageTime.IsZero() {
		messageTime = nanoTime(next.MessageTime)
	}
	pipeline.Queue(advancePosition, prev.Epoch, int64(prev.Sequence),
		next.Stream, next.Epoch, nanoTime(next.Created), int64(next.Sequence), messageTime,
		next.Applied, next.Duplicates, next.DeadLetters, next.Gone, b.At)
}

// nanoTime keeps what the server compares, which timestamptz would cut.
func nanoTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

const (
	writeChunks = `
INSERT INTO event_chunks (run_key, version, events)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])`

	writeVoided = `
INSERT INTO voided_events (run_key, event_id) SELECT * FROM unnest($1::uuid[], $2::text[])
ON CONFLICT (run_key, event_id) DO NOTHING`
)

// queueRuns queues what the batch does to runs, which are sorted by key.
func queueRuns(pipeline *pgx.Batch, runs []*sinks.RunChange, chunks *chunks, at time.Time) {
	column := func(field func(r *sinks.RunChange) any) array {
		return array{len(runs), func(i int) any { return field(runs[i]) }}
	}
	args := make([]any, 0, len(columns))
	for _, c := range sent {
		args = append(args, column(func(r *sinks.RunChange) any { return valueOf(c.field(&r.Metrics)) }))
	}
	keys, versions := args[0], column(func(r *sinks.RunChange) any { return r.Metrics.Version })
	pipeline.Queue(writeMetrics, append(args, at, versions)...)
	pipeline.Queue(writeChunks, keys, versions, array{len(runs), chunks.at})
	if voided := voidedOf(runs); len(voided) > 0 {
		pipeline.Queue(writeVoided,
			arrayOf(voided, func(v *void) any { return valueOf(&v.run) }),
			arrayOf(voided, func(v *void) any { return v.event }))
	}
}

func inOrder(runs []sinks.RunChange) []*sinks.RunChange {
	sorted := make([]*sinks.RunChange, len(runs))
	for i := range runs {
		sorted[i] = &runs[i]
	}
	slices.SortFunc(sorted, func(a, b *sinks.RunChange) int {
		return bytes.Compare(a.Metrics.RunKey[:], b.Metrics.RunKey[:])
	})
	return sorted
}

// chunks are the stored forms of the events of all runs, one after the other. They are most of what a commit sends,
// so their memory is used again.
type chunks struct {
	text []byte
	ends []int
}

var spareChunks = sync.Pool{New: func() any { return new(chunks) }}

func chunksOf(runs []*sinks.RunChange) *chunks {
	c := spareChunks.Get().(*chunks)
	for _, r := range runs {
		c.text = sinks.AppendChunk(c.text, r.Events)
		c.ends = append(c.ends, len(c.text))
	}
	return c
}

func (c *chunks) at(i int) any {
	begin := 0
	if i > 0 {
		begin = c.ends[i-1]
	}
	return c.text[begin:c.ends[i]]
}

func (c *chunks) release() {
	c.text, c.ends = c.text[:0], c.ends[:0]
	spareChunks.Put(c)
}

// void is one event that a run's void names.
type void struct {
	run   uuid.UUID
	event string
}

func voidedOf(runs []*sinks.RunChange) []void {
	var list []void
	for _, r := range runs {
		for i := range r.Events {
			if e := &r.Events[i]; e.Type == events.ExecutionsVoided {
				for _, id := range e.Voids {
					list = append(list, void{r.Metrics.RunKey, id})
				}
			}
		}
	}
	return list
}

// writeDeadLetters keeps rows up to the limit of their reason and counts the rest. The position's row lock, taken before,
// lets no other commit of the stream count at the same time.
const writeDeadLetters = `
WITH letters AS (
	SELECT l.*, coalesce(c.kept, 0) + row_number() OVER (PARTITION BY l.reason ORDER BY l.sequence) <= $3::bigint AS keep
	FROM unnest($4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
		$11::timestamptz[], $12::text[])
		AS l (sequence, subject, campaign_id, run_id, reason, field, detail, time, payload)
	LEFT JOIN dead_letter_counts c ON c.stream = $1::text AND c.reason = l.reason
), kept AS (
	INSERT INTO dead_letters
		(stream, epoch, sequence, subject, campaign_id, run_id, reason, field, detail, time, payload)
	SELECT $1::text, $2::bigint, sequence, subject, campaign_id, run_id, reason, field, detail, time, decode(payload, 'hex')
	FROM letters WHERE keep
)
INSERT INTO dead_letter_counts AS c (stream, reason, kept, dropped, first_dropped, last_dropped)
SELECT $1::text, reason, count(*) FILTER (WHERE keep), count(*) FILTER (WHERE NOT keep),
	min(sequence) FILTER (WHERE NOT keep), max(sequence) FILTER (WHERE NOT keep)
FROM letters GROUP BY reason ORDER BY reason
ON CONFLICT (stream, reason) DO UPDATE SET kept = c.kept + excluded.kept, dropped = c.dropped + excluded.dropped,
	first_dropped = coalesce(c.first_dropped, excluded.first_dropped),
	last_dropped = coalesce(excluded.last_dropped, c.last_dropped)`

func (s *Store) queueDeadLetters(pipeline *pgx.Batch, b *sinks.Batch) {
	column := func(field func(d *sinks.DeadLetter) any) array { return arrayOf(b.DeadLetters, field) }
	pipeline.Queue(writeDeadLetters, b.Next.Stream, b.Next.Epoch, int64(s.deadLetterLimit),
		column(func(d *sinks.DeadLetter) any { return int64(d.Sequence) }),
		column(func(d *sinks.DeadLetter) any { return cleanText(d.Subject) }),
		column(func(d *sinks.DeadLetter) any { return cleanText(d.CampaignID) }),
		column(func(d *sinks.DeadLetter) any { return cleanText(d.RunID) }),
		column(func(d *sinks.DeadLetter) any { return string(d.Reason) }),
		column(func(d *sinks.DeadLetter) any { return cleanText(d.Field) }),
		column(func(d *sinks.DeadLetter) any { return cleanText(d.Detail) }),
		column(func(d *sinks.DeadLetter) any { return d.Time }),
		column(func(d *sinks.DeadLetter) any { return hex.EncodeToString(d.Payload) }))
}

// cleanText makes text that Postgres keeps of what may be any bytes, as subjects are.
func cleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
