package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
	blockedRetry = 15 * time.Second
)

// Config is what a Reader needs. All fields but the last seven are required.
type Config struct {
	Conn       *nats.Conn          // its error handler tells Refused
	JetStream  jetstream.JetStream // on Conn
	Stream     string
	Deployment string // part of the consumer's name and of the subject of announcements
	Ledger     sinks.Ledger

	// Own is told true whenever this reader finds that it is the one that reads, also when it finds so again, and false
	// when another one does. It must not block. Two replicas may both be told true for a while.
	Own func(bool)

	Sink      string           // what Ledger is, for who looks at metrics and spans: postgres or sqlite
	Meter     metric.Meter     // measures commits; default: none
	Tracer    trace.Tracer     // makes spans of commits; default: none
	Log       *slog.Logger     // default: none
	PinnedTTL time.Duration    // default DefaultPinnedTTL; of a consumer that this reader creates
	Now       func() time.Time // default time.Now
}

// Reader reads one stream into one store. Replicas of it may run anywhere: one reads, the others wait.
type Reader struct {
	conn       *nats.Conn
	js         jetstream.JetStream
	stream     string
	deployment string
	ledger     sinks.Ledger
	sink       string
	measured   *instruments
	tracer     trace.Tracer // nil: no spans
	log        *slog.Logger
	pinnedTTL  time.Duration
	now        func() time.Time
	tellOwner  func(bool)
	status     *status
	refusals   chan *Refusal // holds the first one of the session under way
	turn       turn

	untraced time.Time // when a commit without traced events last had a span; owned by the commit under way

	// owned by Run's goroutine
	identity  sinks.Identity // zero until the store was first reached
	timelines timelines
	suspects  suspects
	untold    untold
}

// New makes a reader; Run starts it.
func New(c Config) (*Reader, error) {
	switch {
	case c.Conn == nil || c.JetStream == nil || c.Ledger == nil:
		return nil, errors.New("consumer: Conn, JetStream and Ledger are required")
	case c.Stream == "" || c.Deployment == "":
		return nil, errors.New("consumer: Stream and Deployment are required")
	}
	r := &Reader{conn: c.Conn, js: c.JetStream, stream: c.Stream, deployment: c.Deployment, ledger: c.Ledger,
		sink: c.Sink, tracer: c.Tracer, log: c.Log, pinnedTTL: c.PinnedTTL, now: c.Now, tellOwner: c.Own, refusals: make(chan *Refusal, 1),
		turn: turn{changed: make(chan struct{}, 1)}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.pinnedTTL == 0 {
		r.pinnedTTL = DefaultPinnedTTL
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.tellOwner == nil {
		r.tellOwner = func(bool) {}
	}
	r.status = &status{s: Status{Stream: c.Stream, State: Starting}}
	var err error
	r.measured, err = newInstruments(c.Meter, c.Stream, c.Sink)
	return r, err
}

// Status tells what the reader is doing. It asks nobody.
func (r *Reader) Status() Status { return r.status.snapshot() }

// Refused is for the error handler of the connection, which alone learns that a right is missing: the reader is blocked
// then, and says which one. It tells whether the right is one that this reader needs. It does not block.
func (r *Reader) Refused(err error) bool {
	refusal, ok := RefusalOf(err)
	if !ok || !refusal.ofStream(r.stream) {
		return false
	}
	select {
	case r.refusals <- refusal:
	default: // one is enough
	}
	return true
}

// Run reads until ctx ends; then it commits what it has folded, gives the pin back and returns nil. Whatever is away, it
// waits for; the one error it returns otherwise is ErrForeignDatabase, because going on would harm another deployment.
func (r *Reader) Run(ctx context.Context) error {
	defer r.tellDeadLetters(0)
	wait := firstRetry
	for {
		began, s := r.now(), r.newSession()
		err := r.explain(s.run(ctx))
		r.status.abandon()
		switch {
		case err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return nil
		case errors.Is(err, ErrForeignDatabase):
			r.status.fail(Blocked, err)
			return err
		case errors.Is(err, errTurned):
			continue
		case ctx.Err() != nil:
			r.log.Warn("stopped before everything was committed; it will be read again", "stream", r.stream, "error", err)
			return nil
		}
		if s.moved || r.now().Sub(began) > longestRetry {
			wait = firstRetry // it worked, or did for a while
		}
		pause := r.report(err, wait)
		r.glance(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		wait = min(2*wait, longestRetry)
	}
}

// explain finds what is behind a time limit that ended a session: a right that is missing, or a broker that hangs. The
// store says by itself that it is away.
func (r *Reader) explain(err error) error {
	var refusal *Refusal
	select {
	case refusal = <-r.refusals:
	default:
	}
	switch {
	case !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, sinks.ErrUnavailable):
		return err
	case refusal == nil:
		return fmt.Errorf("NATS does not answer: %w", err)
	}
	return refusal
}

// report shows why a session ended and says how long to wait before the next.
func (r *Reader) report(err error, wait time.Duration) time.Duration {
	jittered := wait/2 + rand.N(wait/2)
	switch {
	case errors.Is(err, sinks.ErrPositionMoved), errors.Is(err, sinks.ErrRefused), errors.Is(err, errOwnerGone),
		errors.Is(err, errPinLost):
		r.log.Debug("read again from the stored position", "stream", r.stream, "reason", err)
		return jittered / 10
	case errors.Is(err, sinks.ErrBlocked):
		r.status.fail(Blocked, err)
		r.log.ErrorContext(failedIn(err), "blocked until somebody acts", "stream", r.stream, "error", err)
		return blockedRetry
	}
	r.status.fail(Degraded, err)
	r.log.WarnContext(failedIn(err), "reading interrupted", "stream", r.stream, "error", err, "retry_in", jittered.Round(time.Millisecond))
	return jittered
}

// reads shows that this reader is the one that reads, and whether anything waits to be read.
func (r *Reader) reads(pending bool) {
	r.status.reads(pending)
	r.tellOwner(true)
}

// standsBy shows that another one reads, and where that is as far as the broker knows; 0 is not known.
func (r *Reader) standsBy(position uint64) {
	r.status.standby(position)
	r.tellOwner(false)
}

// stored reads the position from the store, which may hang.
func (r *Reader) stored(ctx context.Context) (sinks.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	return r.ledger.Position(ctx, r.stream)
}

// identify learns the database's name once; it cannot change under a running process.
func (r *Reader) identify(ctx context.Context) error {
	if r.identity != (sinks.Identity{}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitTime)
	defer cancel()
	id, err := r.ledger.Identity(ctx)
	if err != nil {
		return fmt.Errorf("identify the database: %w", err)
	}
	r.identity = id
	return nil
}

// suspects is where a value lies that the store refuses for its content.
type suspects struct {
	limit   int    // of a batch, 0 is maxBatch
	through uint64 // the last sequence of the batch that was refused
	guilty  uint64 // the sequence that was refused alone
}

func (r *Reader) batchLimit() int {
	if r.suspects.limit == 0 {
		return maxBatch
	}
	return r.suspects.limit
}

// refused halves batches until the refused value is alone in one. The next session reads the same items again.
func (r *Reader) refused(b *batch) {
	n := len(b.items)
	if n == 1 {
		r.suspects.guilty = b.items[0].sequence
	}
	r.suspects.limit = max(1, n/2)
	r.suspects.through = max(r.suspects.through, b.items[n-1].sequence)
}

// judge turns the item that the store refused into a dead letter.
func (r *Reader) judge(it *item) {
	if it.sequence != r.suspects.guilty || it.rejected != nil {
		return
	}
	it.rejected = &events.Rejection{Reason: events.Refused, Detail: "the store refuses a value of this event"}
	it.subject, it.payload = events.Subject(it.event.CampaignID, it.event.RunID), events.Encode(&it.event)
}

// committed takes note of a successful commit of a batch.
func (r *Reader) committed(result committed, done *batch, before sinks.Position) {
	b := result.batch
	if b.Next.Epoch != before.Epoch {
		r.timelines.found = finding{} // from now on it would be found again for another reason
	}
	if b.Next.Sequence >= r.suspects.through {
		r.suspects = suspects{}
	}
	r.untold.add(b.DeadLetters)
	r.tellDeadLetters(tellTime)
	var delays Delays
	delays.add(done.items, result.at)
	r.status.committed(before, b, done.sums(), delays, result.at)
}
