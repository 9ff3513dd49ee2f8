package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

const (
	// publishPatience is for how long a message is tried. Whoever waits for a command has less than a runtime.
	publishPatience = 50 * time.Second
	// streamPatience is for how long a command waits for a stream that nobody seems to have made: a leader may be elected.
	streamPatience = 5 * time.Second
	// lastWords is how long acknowledgements are waited for after an interruption, lastTries after a failure.
	lastWords = 10 * time.Second
	lastTries = time.Second
)

// tally is what became of the messages so far. It is read while others count.
type tally struct {
	stored     atomic.Int64 // new in the stream
	duplicates atomic.Int64 // the stream had their ids before
}

func (t *tally) acknowledged() int64 { return t.stored.Load() + t.duplicates.Load() }

// publisher publishes for a command. The first message that is given up ends it, and so do a stream that is full and one
// that is missing, which a runtime would wait for.
type publisher struct {
	tally

	publisher *publish.Publisher
	// receipt, where it is not nil, is given each acknowledgement. Flush returns after it.
	receipt func(*nats.Msg, *jetstream.PubAck)

	missing time.Time       // since when no stream takes messages; the publisher's goroutine knows
	failed  context.Context // ends with the failure
	fail    context.CancelCauseFunc
}

func newPublisher(conn *nats.Conn) (*publisher, error) {
	p := &publisher{}
	p.failed, p.fail = context.WithCancelCause(context.Background())
	var err error
	p.publisher, err = publish.New(publish.Config{
		Conn:         conn,
		Patience:     publishPatience,
		Acknowledged: p.acked,
		Retrying:     p.retrying,
		GivenUp:      func(_ *nats.Msg, err error) { p.end(err) },
	})
	return p, err
}

// eventMessage is an event as it is published; data is its JSON, and messageID what JetStream drops repeats by.
func eventMessage(e *events.Event, data []byte, messageID string) *nats.Msg {
	m := publish.Message(context.Background(), e, data)
	m.Header.Set(jetstream.MsgIDHeader, messageID)
	return m
}

// Publish sends a message, as soon as there is room for one more in flight. An error is final: of the context, or why an
// earlier message failed.
func (p *publisher) Publish(ctx context.Context, m *nats.Msg) error {
	return p.publisher.PublishMsg(ctx, m)
}

// Flush returns when everything sent is acknowledged, with the first failure. After a failure, or once the context has
// ended, it waits for a short while only.
func (p *publisher) Flush(ctx context.Context) error {
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, cancel) })()
	defer context.AfterFunc(p.failed, func() { time.AfterFunc(lastTries, cancel) })()
	err := p.publisher.Flush(patience)
	switch {
	case p.failed.Err() != nil:
		return context.Cause(p.failed)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

// Close ends the publisher at once. Flush comes before it.
func (p *publisher) Close() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.publisher.Close(over) // what is left was said by Flush
}

func (p *publisher) acked(m *nats.Msg, ack *jetstream.PubAck) {
	p.missing = time.Time{}
	if ack.Duplicate {
		p.duplicates.Add(1)
	} else {
		p.stored.Add(1)
	}
	if p.receipt != nil {
		p.receipt(m, ack)
	}
}

// retrying ends what takes longer to mend than anybody waits.
func (p *publisher) retrying(_ *nats.Msg, err error) {
	switch {
	case publish.IsFull(err):
		p.end(err)
	case !errors.Is(err, jetstream.ErrNoStreamResponse):
	case p.missing.IsZero():
		p.missing = time.Now()
	case time.Since(p.missing) > streamPatience:
		p.end(err)
	}
}

// end lets nothing more be published.
func (p *publisher) end(reason error) {
	p.publisher.Refuse(reason)
	p.fail(reason)
}
