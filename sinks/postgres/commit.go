package postgres

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Commit stores the batch if the stream still stands at prev. Everything travels as one pipeline, which the server
// takes as one transaction: the guards are statements of it that fail. When the client dies on the way, the server
// either has all of the pipeline and may still commit it, or rolls back.
func (s *Store) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	ctx, done := s.alive(context.WithValue(ctx, committing{}, true))
	defer done()
	defer s.notHeldUp(ctx)()
	pipeline := new(pgx.Batch)
	queuePosition(pipeline, prev, b)
	if len(b.Runs) > 0 {
		rows := spareRows.Get().(*runRows)
		defer spareRows.Put(rows)
		rows.fill(inOrder(b.Runs))
		s.queueRuns(pipeline, rows, b.At)
		if s.marks {
			pipeline.Queue(writeMarks, rows.keys, rows.versions.String(), rows.closed.String(), b.At)
		}
	}
	var room []reasonRoom
	if len(b.DeadLetters) > 0 {
		s.queueDeadLetters(pipeline, b, &room)
	}
	if err := s.pool.SendBatch(ctx, pipeline).Close(); err != nil {
		return failed("commit batch", s.collision(ctx, b.Runs, err))
	}
	s.full.learn(b.Next.Stream, room)
	return nil
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

const writeVoided = `
INSERT INTO voided_events (run_key, event_id) SELECT * FROM unnest($1::uuid[], $2::text[])
ON CONFLICT (run_key, event_id) DO NOTHING`

// queueRuns queues what the batch does to runs. The rows are in use until the pipeline was sent.
func (s *Store) queueRuns(pipeline *pgx.Batch, rows *runRows, at time.Time) {
	if len(rows.fresh.keys) > 0 {
		pipeline.Queue(insertRuns, rows.fresh.args(at)...)
	}
	if len(rows.known.keys) > 0 {
		pipeline.Queue(updateRuns, rows.known.args(at)...)
	}
	if len(rows.voided) > 0 {
		queueVoids(pipeline, rows.voided)
	}
}

func queueVoids(pipeline *pgx.Batch, list []void) {
	pipeline.Queue(writeVoided,
		keysOf(list, func(v *void) uuid.UUID { return v.run }),
		arrayOf(list, func(a *array, v *void) { a.text(v.event) }))
}

// inOrder sorts the runs by key.
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

// runRows are the runs of a batch as parameters. They are most of what a commit sends, so their memory is used again.
type runRows struct {
	keys     []pgtype.UUID
	versions array
	closed   array   // whether each run's status is not running
	fresh    records // of those whose writer takes them for new
	known    records // of the others
	voided   []void
}

// records are rows of campaign_metrics, and of event_chunks the one that comes with each.
type records struct {
	keys      []pgtype.UUID
	values    []array // of the sent columns behind the key
	versions  array
	chunks    pieces // the stored events
	latencies pieces // what they change in latencies
}

func newRecords() records { return records{values: make([]array, len(sent)-1)} }

func (r *records) add(run *sinks.RunChange) {
	m := &run.Metrics
	r.keys = append(r.keys, pgtype.UUID{Bytes: m.RunKey, Valid: true})
	for i := range r.values {
		r.values[i].field(sent[i+1].field(m))
	}
	r.versions.integer(m.Version)
	begin := len(r.chunks.all)
	r.chunks.all = sinks.AppendChunk(r.chunks.all, run.Events)
	r.chunks.end(begin)
	if run.Latencies == nil {
		r.latencies.none()
		return
	}
	begin = len(r.latencies.all)
	r.latencies.all = sinks.AppendLatencies(r.latencies.all, run.Latencies)
	r.latencies.end(begin)
}

// args are the parameters of insertRuns and updateRuns.
func (r *records) args(at time.Time) []any {
	args := make([]any, 0, len(columns)+6)
	args = append(args, r.keys)
	for i := range r.values {
		args = append(args, r.values[i].String())
	}
	return append(args, r.versions.String(), at, r.chunks.begins.String(), r.chunks.lengths.String(),
		r.latencies.begins.String(), r.latencies.lengths.String(), r.latencies.all, r.chunks.all)
}

func (r *records) empty() {
	r.keys, r.versions.b = r.keys[:0], r.versions.b[:0]
	for i := range r.values {
		r.values[i].b = r.values[i].b[:0]
	}
	r.chunks.empty()
	r.latencies.empty()
}

// pieces are a value of each run, one after the other.
type pieces struct {
	all             []byte
	begins, lengths array // in bytes, counted from 1
}

// end notes where the last piece began.
func (p *pieces) end(begin int) {
	p.begins.integer(int64(begin + 1))
	p.lengths.integer(int64(len(p.all) - begin))
}

// none stands for a run without a value.
func (p *pieces) none() {
	p.begins.null()
	p.lengths.null()
}

// empty never leaves all nil, which would be NULL and not a value without bytes.
func (p *pieces) empty() {
	if p.all == nil {
		p.all = []byte{}
	}
	p.all, p.begins.b, p.lengths.b = p.all[:0], p.begins.b[:0], p.lengths.b[:0]
}

// void is one event that a run's void names.
type void struct {
	run   uuid.UUID
	event string
}

var spareRows = sync.Pool{New: func() any { return &runRows{fresh: newRecords(), known: newRecords()} }}

// fill goes through the runs once: column by column would be a walk through memory for each column.
func (r *runRows) fill(runs []*sinks.RunChange) {
	r.empty()
	for _, run := range runs {
		m := &run.Metrics
		r.keys = append(r.keys, pgtype.UUID{Bytes: m.RunKey, Valid: true})
		r.versions.integer(m.Version)
		if m.Version == 1 {
			r.fresh.add(run)
		} else {
			r.known.add(run)
		}
		r.closed.boolean(m.Status != aggregate.Running)
		r.fillVoided(run)
	}
}

func (r *runRows) fillVoided(run *sinks.RunChange) {
	for _, e := range run.Events {
		if e.Type == events.ExecutionsVoided {
			for _, id := range e.Voids {
				r.voided = append(r.voided, void{run.Metrics.RunKey, id})
			}
		}
	}
}

func (r *runRows) empty() {
	r.keys, r.voided, r.versions.b, r.closed.b = r.keys[:0], r.voided[:0], r.versions.b[:0], r.closed.b[:0]
	r.fresh.empty()
	r.known.empty()
}
