package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) requeueLetters() *cobra.Command {
	q := &requeueing{letters: letters{app: a}}
	cmd := &cobra.Command{
		Use:   "requeue",
		Short: "Publish dead letters again that this program accepts now",
		Long: `requeue decodes dead letters as this program does now, all of them, those of a filter, or one, and says of each whether
it would be accepted. With --apply it publishes those to the stream again, with their headers and a message id of their
own, waits until the stream has each, and notes in the table dead_letters as which message. The others are left as they are.

Letters whose id belongs to another event (conflicting_duplicate) or whose run is sealed would be refused again and are left.
With --payload FILE one letter is published with another payload, to the run that this names; every bad field of it is named
first. What "runmetrics deadletters show --output json" has under payload.text is where to begin.

It may be interrupted and started again: what was published twice is applied once.

Exit codes: 0 all would be accepted, or were published; 3 some are left.`,
		Example: `  runmetrics deadletters requeue --reason unsupported_version
  runmetrics deadletters requeue --since 2026-03-01 --campaign spring --apply
  runmetrics deadletters requeue --sequence 1041 --payload mended.json --apply`,
		Args: checkedFlags(func() error {
			if q.payload != "" && q.sequence == 0 {
				return errors.New("--payload is for one letter: name it with --sequence")
			}
			return q.check()
		}),
		RunE: a.enter(q.run),
	}
	q.filterFlags(cmd)
	q.positionFlags(cmd)
	cmd.Flags().StringVar(&q.payload, "payload", "", "publish the content of this `file`, - for stdin, in the place of one letter")
	cmd.Flags().BoolVar(&q.apply, "apply", false, "publish; without it is only said what would happen")
	outputFlag(cmd, &q.output)
	return cmd
}

// requeueing is one run of the command.
type requeueing struct {
	letters
	payload string
	apply   bool
	output  outputFormat

	from      *originals
	edited    []byte // what --payload names
	publisher *publisher
	receipts  receipts
	done      atomic.Int64 // letters, for the progress
	results   []requeued
}

// requeued is what became of a letter, or would.
type requeued struct {
	Stream   string         `json:"stream"`
	Epoch    int64          `json:"epoch"`
	Sequence uint64         `json:"sequence"`
	Reason   events.Reason  `json:"reason"`
	Outcome  requeueOutcome `json:"outcome"`
	Why      string         `json:"why,omitempty"`     // it is left
	Subject  string         `json:"subject,omitempty"` // where it goes
	// As which message it was published.
	IntoStream   string `json:"intoStream,omitempty"`
	IntoSequence uint64 `json:"intoSequence,omitempty"`
}

// requeueOutcome is what became of a letter.
type requeueOutcome string

// The outcomes.
const (
	outcomeAccepted requeueOutcome = "accepted" // it would be
	outcomeLeft     requeueOutcome = "left"
	outcomeRequeued requeueOutcome = "requeued"
	outcomeUnknown  requeueOutcome = "unknown" // it was sent, and not acknowledged
)

// receipts are the acknowledgements of messages, as they come in.
type receipts struct {
	mu   sync.Mutex
	list map[*nats.Msg]*jetstream.PubAck
}

func (r *receipts) add(m *nats.Msg, ack *jetstream.PubAck) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.list == nil {
		r.list = make(map[*nats.Msg]*jetstream.PubAck)
	}
	r.list[m] = ack
}

// take returns the acknowledgement of a message once, nil where there is none.
func (r *receipts) take(m *nats.Msg) *jetstream.PubAck {
	r.mu.Lock()
	defer r.mu.Unlock()
	ack := r.list[m]
	delete(r.list, m)
	return ack
}

func (q *requeueing) run(ctx context.Context, _ []string) (err error) {
	if err := q.readPayload(); err != nil {
		return err
	}
	if err := q.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.store.Close()) }()
	conn, err := q.connect("deadletters")
	if err != nil {
		return err
	}
	defer conn.Close()
	return q.requeue(ctx, conn)
}

// readPayload reads the edited payload, of one that is too long as much as shows that it is.
func (q *requeueing) readPayload() error {
	if q.payload == "" {
		return nil
	}
	from := q.app.stdin
	if q.payload != "-" {
		file, err := os.Open(q.payload)
		if err != nil {
			return fmt.Errorf("read payload: %w", err)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, events.MaxSize+1))
	if err != nil {
		return fmt.Errorf("read payload: %w", err)
	}
	q.edited = data
	return nil
}

func (q *requeueing) requeue(ctx context.Context, conn *nats.Conn) (err error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	if q.publisher, err = newPublisher(conn); err != nil {
		return err
	}
	defer q.publisher.Close()
	q.publisher.receipt = q.receipts.add
	q.from = &originals{js: js, refusals: &q.refusals}
	bar := startProgress(q.app.stderr, q.log, progressOf{doing: "requeueing", unit: "dead letters", count: q.done.Load})
	err = q.audited(ctx, "deadletters requeue", q.apply, func() any { return q.report().Counts }, func() error {
		return q.pages(ctx, true, func(page []sinks.Letter) error { return q.page(ctx, page) })
	})
	bar.Stop()
	return q.finish(ctx, err)
}

func (q *requeueing) page(ctx context.Context, page []sinks.Letter) error {
	verdicts, err := q.judge(ctx, page)
	if err != nil {
		return err
	}
	if q.apply {
		return q.publish(ctx, verdicts)
	}
	for i := range verdicts {
		q.note(&verdicts[i], nil)
	}
	return nil
}

// publish publishes what would be accepted, and then says of the letters that the stream has them. In this order, because
// a crash in between leaves letters open whose messages are in the stream already: requeued once more they are dropped by
// their message ids or, later, ignored as duplicates. The other order could lose them. A page is small, so few are in that
// state.
func (q *requeueing) publish(ctx context.Context, verdicts []verdict) error {
	var failed error
	for i := range verdicts {
		if m := verdicts[i].message; m != nil && failed == nil {
			failed = q.publisher.Publish(ctx, m)
		}
	}
	if err := q.publisher.Flush(ctx); failed == nil {
		failed = err
	}
	acks := make([]*jetstream.PubAck, len(verdicts))
	var list []sinks.Resolution
	for i := range verdicts {
		v := &verdicts[i]
		if acks[i] = q.receipts.take(v.message); acks[i] != nil {
			list = append(list, sinks.Resolution{LetterID: v.letter.ID(),
				Text: fmt.Sprintf("requeued as sequence %d of %s", acks[i].Sequence, acks[i].Stream)})
		}
	}
	if len(list) > 0 {
		// Also after an interruption: they are published.
		if err := resolveAll(context.WithoutCancel(ctx), q.store, list); err != nil {
			return errors.Join(failed, fmt.Errorf("%d letters were published and are still open: %w; "+
				"once the database answers, run the same command again, nothing is applied twice", len(list), err))
		}
	}
	for i := range verdicts {
		q.note(&verdicts[i], acks[i])
	}
	return failed
}

// note keeps what became of a letter.
func (q *requeueing) note(v *verdict, ack *jetstream.PubAck) {
	l := v.letter
	r := requeued{Stream: l.Stream, Epoch: l.Epoch, Sequence: l.Sequence, Reason: l.Reason, Outcome: outcomeAccepted}
	switch {
	case v.message == nil:
		r.Outcome, r.Why = outcomeLeft, v.why
	case ack != nil:
		r.Outcome, r.Subject, r.IntoStream, r.IntoSequence = outcomeRequeued, v.message.Subject, ack.Stream, ack.Sequence
	case q.apply:
		r.Outcome, r.Subject, r.Why = outcomeUnknown, v.message.Subject, "it was not acknowledged, and may or may not be in the stream"
	default:
		r.Subject = v.message.Subject
	}
	q.results = append(q.results, r)
	q.done.Add(1)
}
