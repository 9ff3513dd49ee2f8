package publish

import (
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// answersPerFlight is for how many answers there is room. A message that is sent again may get two.
const answersPerFlight = 4

// flight is a place for a message under way.
type flight struct {
	parcel // written by who took the place out of slots, before it is put into queue

	// The others are the sender's.
	place  int
	flying bool        // a message is under way
	serial uint64      // tells the messages of a place apart
	wire   nats.Msg    // the message with a reply subject of its own
	idOnly nats.Header // for messages without another header, made once for each place

	began    time.Duration // on the sender's clock
	failures int
	sent     bool      // an answer is awaited
	due      time.Time // when to send it again, or when the answer is overdue
}

// waiter is a Flush.
type waiter struct {
	serial    uint64 // the last message that it waits for
	remaining int
	settled   chan struct{}
}

// sender is the goroutine that talks to the broker. All of its fields are its own.
type sender struct {
	*Publisher
	conn     *nats.Conn
	inbox    string // what reply subjects begin with
	answers  chan *nats.Msg
	incoming *nats.Subscription
	statuses chan nats.Status

	flights []*flight // one for each place
	serial  uint64    // of the newest message
	flying  int       // messages under way
	waiters []*waiter

	reader     answerReader
	rights     rights
	connected  bool
	reconnects uint64 // of the connection, so that none goes unseen
	clock      clock  // stands still without a connection

	timer *time.Timer
	wake  time.Time // when it fires; zero while nothing is under way
}

func newSender(p *Publisher) (*sender, error) {
	conn := p.config.Conn
	s := &sender{
		Publisher: p,
		conn:      conn,
		inbox:     conn.NewInbox() + ".",
		answers:   make(chan *nats.Msg, answersPerFlight*p.config.MaxInFlight),
		flights:   make([]*flight, p.config.MaxInFlight),
		timer:     time.NewTimer(0),
	}
	s.rights.violation(conn) // what was said before is about others
	for i := range s.flights {
		s.flights[i] = &flight{place: i, idOnly: nats.Header{jetstream.MsgIDHeader: {""}}}
	}
	var err error
	if s.incoming, err = conn.ChanSubscribe(s.inbox+"*", s.answers); err != nil {
		return nil, closedConnection(conn)
	}
	s.statuses = conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	return s, nil
}

// run sends what was accepted until Close, or until the connection is closed.
func (s *sender) run() {
	defer close(s.done)
	defer s.end()
	s.look()
	for !s.conn.IsClosed() {
		select {
		case f := <-s.queue:
			now := time.Now()
			s.take(f, now)
			s.takeQueued(now)
		case answer := <-s.answers:
			s.judge(answer)
			for range len(s.answers) {
				s.judge(<-s.answers)
			}
		case w := <-s.flushes:
			s.takeQueued(time.Now()) // what was accepted before is there
			w.serial, w.remaining = s.serial, s.flying
			s.waiters = append(s.waiters, w)
			s.tellWaiters()
		case <-s.statuses:
			s.look()
		case <-s.timer.C:
			s.look()
		case <-s.stop:
			return
		}
	}
}

// end gives up whatever is left.
func (s *sender) end() {
	reason := errUnacknowledged
	if s.conn.IsClosed() {
		reason = closedConnection(s.conn)
		s.Refuse(reason)
	}
	_ = s.incoming.Unsubscribe() // a closed connection has none
	s.conn.RemoveStatusListener(s.statuses)
	s.timer.Stop()
	for range len(s.queue) {
		s.place(<-s.queue)
	}
	for _, f := range s.flights {
		if f.flying {
			s.giveUp(f, reason)
		}
	}
}

func (s *sender) takeQueued(now time.Time) {
	for range len(s.queue) {
		s.take(<-s.queue, now)
	}
}

// take begins with an accepted message.
func (s *sender) take(f *flight, now time.Time) {
	s.place(f)
	f.wire = nats.Msg{Subject: f.subject, Header: f.wireHeader(), Data: f.data, Reply: s.replyOf(f)}
	f.began, f.failures = s.clock.now(now), 0
	s.send(f, now)
	if s.wake.IsZero() {
		s.wakeAt(now.Add(lookTime))
	}
}

// place counts a message among those under way.
func (s *sender) place(f *flight) {
	s.serial++
	s.flying++
	f.flying, f.serial = true, s.serial
}

// wireHeader is the header as it is sent.
func (f *flight) wireHeader() nats.Header {
	if f.header != nil || f.message != nil {
		return f.header
	}
	f.idOnly[jetstream.MsgIDHeader][0] = f.id
	return f.idOnly
}

// replyOf is a subject that belongs to one message: its last token is serial and place in one number.
func (s *sender) replyOf(f *flight) string {
	return s.inbox + strconv.FormatUint(f.serial*uint64(len(s.flights))+uint64(f.place), 36)
}

// flightOf finds the message that an answer belongs to, nil where that is settled.
func (s *sender) flightOf(reply string) *flight {
	n, err := strconv.ParseUint(reply[len(s.inbox):], 36, 64)
	if err != nil {
		return nil
	}
	f := s.flights[n%uint64(len(s.flights))]
	if !f.flying || f.serial != n/uint64(len(s.flights)) {
		return nil
	}
	return f
}

// settle makes the place of a message free, and tells who waits for it.
func (s *sender) settle(f *flight) {
	for _, w := range s.waiters {
		if f.serial <= w.serial {
			w.remaining--
		}
	}
	f.flying, f.parcel, f.wire = false, parcel{}, nats.Msg{}
	s.flying--
	s.slots <- f
	s.tellWaiters()
}

func (s *sender) tellWaiters() {
	if len(s.waiters) == 0 {
		return
	}
	s.waiters = slices.DeleteFunc(s.waiters, func(w *waiter) bool {
		if w.remaining == 0 {
			close(w.settled)
		}
		return w.remaining == 0
	})
}

// wakeAt makes the sender look at its messages at a time, unless it does so earlier.
func (s *sender) wakeAt(t time.Time) {
	if s.wake.IsZero() || t.Before(s.wake) {
		s.wake = t
		s.timer.Reset(time.Until(t))
	}
}
