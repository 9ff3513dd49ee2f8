package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

const (
	// DefaultMaxInFlight is how many messages are under way at most where Config does not say.
	DefaultMaxInFlight = 1024
	// DefaultPatience is for how long a message is tried where Config does not say. The last attempt lies within the two
	// minutes for which a stream made by `runmetrics setup` remembers message ids.
	DefaultPatience = 110 * time.Second
)

// ErrClosed is what Publish returns after Close.
var ErrClosed = errors.New("the publisher is closed")

// Config says where to publish, and who is told what became of it. Only Conn is required.
//
// The funcs are called one at a time, on the publisher's goroutine. They must be quick, and call nothing of the
// publisher but Refuse.
type Config struct {
	// Conn is a connection to NATS, such as Connect makes. The publisher neither changes nor closes it.
	Conn *nats.Conn
	// MaxInFlight is how many messages may be unacknowledged, DefaultMaxInFlight where it is 0. It bounds the memory: a
	// usual event takes about 1 KiB, one of the greatest size 100.
	MaxInFlight int
	// Patience is for how long a message is sent again and again while the broker can be reached, DefaultPatience where it
	// is 0. Time without a connection does not count.
	Patience time.Duration
	// Acknowledged is called with each message that the stream has, nil for nobody.
	Acknowledged func(*nats.Msg, *jetstream.PubAck)
	// Retrying is called with each attempt that failed and will be repeated, nil for nobody. A lost connection is no failed
	// attempt.
	Retrying func(*nats.Msg, error)
	// GivenUp is called with each message that is not sent again, nil for nobody. The stream may have it all the same,
	// where only the acknowledgement was lost; so it may be published again as it is, and is counted once.
	GivenUp func(*nats.Msg, error)
}

// Publisher publishes events. Its methods may be called by many goroutines.
type Publisher struct {
	config  Config
	slots   chan *flight  // free: who takes one has room for a message
	queue   chan *flight  // accepted, as roomy as slots
	flushes chan *waiter  // Flush to the sender
	over    chan struct{} // closed when nothing more is accepted
	stop    chan struct{} // closed when Close waits no longer
	done    chan struct{} // closed when the sender has ended
	stopped sync.Once

	mu    sync.RWMutex // held for reading while a message is put into queue
	ended error        // why nothing more is accepted, once over is closed

	report report
}

// New makes a publisher. It does not wait for the connection, which may be one that is still being made.
func New(c Config) (*Publisher, error) {
	switch {
	case c.Conn == nil:
		return nil, errors.New("publish.Config needs a Conn")
	case c.MaxInFlight < 0 || c.Patience < 0:
		return nil, errors.New("MaxInFlight and Patience of publish.Config must not be negative")
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	p := &Publisher{
		config:  c,
		slots:   make(chan *flight, c.MaxInFlight),
		queue:   make(chan *flight, c.MaxInFlight),
		flushes: make(chan *waiter),
		over:    make(chan struct{}),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	s, err := newSender(p)
	if err != nil {
		return nil, err
	}
	for _, f := range s.flights {
		p.slots <- f
	}
	go s.run()
	return p, nil
}

// Publish validates an event and sends it, without waiting for the stream. It waits for room where MaxInFlight messages
// are under way. The event may be changed as soon as it returns. Where the context has a span, the message carries it.
//
// An error means that nothing was sent: it is an *events.Rejection, the context's cause, ErrClosed, the reason of Refuse,
// or that the connection was closed for good. What happens later is told by Flush and Close.
func (p *Publisher) Publish(ctx context.Context, e *events.Event) error {
	data, rejected := events.EncodeChecked(e, time.Now())
	if rejected != nil {
		return rejected
	}
	m := parcel{subject: events.Subject(e.CampaignID, e.RunID), id: events.MessageID(e), data: data}
	if trace := traceOf(ctx); trace != nil {
		trace[jetstream.MsgIDHeader] = []string{m.id}
		m.header = trace
	}
	return p.publish(ctx, m)
}

// PublishMsg is Publish for a message as it stands, which nobody may change any more. It is not validated. Message makes
// one of an event; without a message id JetStream would store its repetitions.
func (p *Publisher) PublishMsg(ctx context.Context, m *nats.Msg) error {
	if m.Reply != "" {
		return fmt.Errorf("publish to %s: the message must not have a reply subject, to which the stream would answer", m.Subject)
	}
	return p.publish(ctx, parcel{subject: m.Subject, header: m.Header, data: m.Data, message: m})
}

// publish waits for room for a message.
func (p *Publisher) publish(ctx context.Context, m parcel) error {
	if ctx.Err() != nil {
		return publishing(m.subject, context.Cause(ctx))
	}
	select {
	case f := <-p.slots:
		return p.accept(f, m)
	case <-p.over:
		return p.refusal()
	case <-ctx.Done():
		return publishing(m.subject, context.Cause(ctx))
	}
}

// accept gives a message to the sender.
func (p *Publisher) accept(f *flight, m parcel) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.ended != nil {
		p.slots <- f
		return p.ended
	}
	f.parcel = m
	p.queue <- f // has room for all flights there are
	return nil
}

// Refuse accepts nothing more: from now on Publish returns the reason, of several calls the first one's. What was accepted
// before is still tried. It is for programs that publish a whole and have no use for parts of it, and may be called by the
// funcs of Config.
func (p *Publisher) Refuse(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = reason
		close(p.over)
	}
}

func (p *Publisher) refusal() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.ended
}

// Flush waits until everything that was accepted before is acknowledged or given up, or the context ends. Its error is an
// *Unpublished: what was given up since the last Flush, and how much was not acknowledged in time. That goes on being
// tried.
func (p *Publisher) Flush(ctx context.Context) error {
	if p.wait(ctx) {
		return p.report.take(0, nil)
	}
	return p.report.take(p.config.MaxInFlight-len(p.slots), context.Cause(ctx))
}

// wait tells whether everything accepted before was settled before the context ended.
func (p *Publisher) wait(ctx context.Context) bool {
	w := &waiter{settled: make(chan struct{})}
	select {
	case p.flushes <- w:
	case <-p.done:
		return true
	case <-ctx.Done():
		return false
	}
	select {
	case <-w.settled:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close accepts nothing more, waits as Flush does, and ends the publisher: what is not acknowledged when the context ends
// is given up. Its error is that of Flush. It leaves the connection as it is; close that afterwards.
//
// A write into a connection that takes nothing cannot be interrupted: it may keep Close for nats.FlusherTimeout.
func (p *Publisher) Close(ctx context.Context) error {
	p.Refuse(ErrClosed)
	p.wait(ctx)
	p.stopped.Do(func() { close(p.stop) })
	<-p.done
	return p.report.take(0, nil)
}
