package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// maxInFlight bounds the messages that are sent and not yet acknowledged.
	maxInFlight = 1024
	// ackTimeout is after how long without an acknowledgement a message is sent again.
	ackTimeout = 10 * time.Second
	// maxAttempts is how often a message is sent, not counting those that a lost connection ended. Its id keeps the stream
	// from storing it twice.
	maxAttempts = 5
	// maxTrouble is for how long a message is sent again after it first failed.
	maxTrouble = maxAttempts * ackTimeout
	// firstPause is the wait before the second attempt; it doubles from there.
	firstPause = 250 * time.Millisecond
	// lastWords is how long acknowledgements are waited for after an interruption.
	lastWords = 10 * time.Second
)

// tally is what became of the messages so far. It is read while others count.
type tally struct {
	stored     atomic.Int64 // new in the stream
	duplicates atomic.Int64 // the stream had their ids before
}

func (t *tally) acknowledged() int64 { return t.stored.Load() + t.duplicates.Load() }

// publisher sends messages to JetStream without waiting for each. One goroutine calls Publish and Flush.
//
// A message whose acknowledgement fails goes back to that goroutine, which sends it again a while after the failure. It
// sends nothing else until then: a broker in trouble does not get better by more work.
type publisher struct {
	tally

	refusals *refusals
	// receipt, where it is not nil, is given each acknowledgement, on the client's goroutine. Flush returns after it.
	receipt func(*nats.Msg, *jetstream.PubAck)

	js     jetstream.JetStream
	slots  chan struct{} // one for each message in flight
	failed chan failure  // as roomy as slots, so that the client's goroutines never wait
	idle   chan struct{} // signalled when a slot came free

	setbacks map[*nats.Msg]setback // of messages that failed before

	mu      sync.Mutex
	pending map[*nats.Msg]struct{} // given to the client, which has not said what became of them
}

// setback is what a message has been through.
type setback struct {
	attempts int // that failed while connected
	since    time.Time
}

// failure is a message that was not acknowledged.
type failure struct {
	message *nats.Msg
	err     error
	at      time.Time
}

// newPublisher publishes on the connection, which tells refusals what it may not do.
func newPublisher(conn *nats.Conn, refusals *refusals) (*publisher, error) {
	p := &publisher{
		refusals: refusals,
		slots:    make(chan struct{}, maxInFlight),
		failed:   make(chan failure, maxInFlight),
		idle:     make(chan struct{}, 1),
		setbacks: make(map[*nats.Msg]setback),
		pending:  make(map[*nats.Msg]struct{}),
	}
	var err error
	p.js, err = jetstream.New(conn,
		jetstream.WithPublishAsyncMaxPending(2*maxInFlight), // never reached: slots are the bound
		jetstream.WithPublishAsyncTimeout(ackTimeout),
		jetstream.WithPublishAsyncAckHandler(p.acked),
		jetstream.WithPublishAsyncErrHandler(p.refused))
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return p, nil
}

// eventMessage is an event as it is published; data is its JSON, and messageID what JetStream drops repeats by.
func eventMessage(e *events.Event, data []byte, messageID string) *nats.Msg {
	m := nats.NewMsg(events.Subject(e.CampaignID, e.RunID))
	m.Header.Set(jetstream.MsgIDHeader, messageID)
	m.Data = data
	return m
}

// Publish sends a message, as soon as there is room for one more in flight. An error is final: of the context, or of a
// message that was sent maxAttempts times or has failed for maxTrouble, or that the stream refuses.
func (p *publisher) Publish(ctx context.Context, m *nats.Msg) error {
	for {
		select {
		case f := <-p.failed:
			if err := p.again(ctx, f); err != nil {
				return err
			}
			continue
		default:
		}
		select {
		case p.slots <- struct{}{}:
			p.send(m)
			return nil
		case f := <-p.failed:
			if err := p.again(ctx, f); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Flush returns when everything sent was acknowledged, with the first final error. Once the context has ended nothing
// is sent again, and the acknowledgements under way are waited for a while longer.
func (p *publisher) Flush(ctx context.Context) error {
	var final error
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastWords, cancel) })()
	for len(p.slots) > 0 && patience.Err() == nil {
		select {
		case f := <-p.failed:
			if final != nil || ctx.Err() != nil {
				p.release() // it stays unsent
				continue
			}
			final = p.again(ctx, f)
		case <-p.idle:
		case <-patience.Done():
		}
	}
	return errors.Join(final, ctx.Err())
}

// send hands a message that has a slot to the client. A client that cannot write says so at once, and perhaps a second
// time when it finds its connection lost.
func (p *publisher) send(m *nats.Msg) {
	p.mu.Lock()
	p.pending[m] = struct{}{}
	p.mu.Unlock()
	if _, err := p.js.PublishMsgAsync(m); err != nil {
		p.refused(p.js, m, err)
	}
}

// settle tells whether this is the first word on what became of a message.
func (p *publisher) settle(m *nats.Msg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, first := p.pending[m]
	delete(p.pending, m)
	return first
}

// again sends a failed message once more, in the slot that it still has.
func (p *publisher) again(ctx context.Context, f failure) error {
	t, again := p.setbacks[f.message]
	if !again {
		t.since = f.at
	}
	if !errors.Is(f.err, nats.ErrDisconnected) {
		t.attempts++
	}
	p.setbacks[f.message] = t
	err := p.refusals.explain(f.err)
	if t.attempts >= maxAttempts || f.at.Sub(t.since) >= maxTrouble || !passing(err) {
		p.release()
		return fmt.Errorf("publish to %s: %w", f.message.Subject, explain(err))
	}
	select {
	case <-time.After(time.Until(f.at.Add(firstPause << max(0, t.attempts-1)))):
		p.send(f.message)
		return nil
	case <-ctx.Done():
		p.release()
		return ctx.Err()
	}
}

func (p *publisher) acked(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
	if !p.settle(m) {
		return
	}
	if ack.Duplicate {
		p.duplicates.Add(1)
	} else {
		p.stored.Add(1)
	}
	if p.receipt != nil {
		p.receipt(m, ack)
	}
	p.release()
}

// refused is called by the client with its lock held, so it only passes the message on.
func (p *publisher) refused(_ jetstream.JetStream, m *nats.Msg, err error) {
	if p.settle(m) {
		p.failed <- failure{m, err, time.Now()}
	}
}

func (p *publisher) release() {
	<-p.slots
	select {
	case p.idle <- struct{}{}:
	default:
	}
}

// passing tells whether an error may go away by itself. JetStream answers 503 while it has no leader, and also when a
// stream is full, which takes longer to mend than anybody waits.
func passing(err error) bool {
	var answer *jetstream.APIError
	if !errors.As(err, &answer) {
		return !errors.Is(err, sinks.ErrBlocked)
	}
	return answer.Code == 503 && answer.ErrorCode != streamStoreFailed
}

// streamStoreFailed is JetStream's code for a message that did not fit into its stream.
const streamStoreFailed jetstream.ErrorCode = 10077

// explain adds what to do.
func explain(err error) error {
	var answer *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return errors.New("no stream takes this subject; run `runmetrics setup`, or start `runmetrics run`; " +
			"where there are several streams, `runmetrics doctor` tells whether NATS maps subjects to them")
	case errors.As(err, &answer) && answer.ErrorCode == streamStoreFailed:
		return fmt.Errorf("the stream does not take it: %s; if it is full, `runmetrics setup --max-bytes` gives it more room",
			answer.Description)
	}
	return err
}
