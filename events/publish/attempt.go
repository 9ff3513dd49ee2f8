package publish

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// answerTime is after how long without an answer a message is sent again.
	answerTime = 10 * time.Second
	// firstPause is the wait before the second attempt. It doubles from there up to maxPause.
	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
	// lookTime is how often messages under way are looked at: is an answer overdue, is a right missing.
	lookTime = time.Second
)

// send is one attempt. Without a connection the message waits for one: in the client's buffer it could be lost unseen.
func (s *sender) send(f *flight, now time.Time) {
	f.sent, f.due = true, now.Add(answerTime)
	err := nats.ErrDisconnected
	if s.connected {
		err = s.conn.PublishMsg(&f.wire)
	}
	if err != nil {
		s.fail(f, err, now)
	}
}

// judge takes an answer of JetStream. A message that was sent twice may get two: any acknowledgement is good, and an error
// counts while one is awaited.
func (s *sender) judge(answer *nats.Msg) {
	f := s.flightOf(answer.Subject)
	if f == nil {
		return
	}
	ack, err := s.reader.read(answer)
	switch {
	case err == nil:
		if s.config.Acknowledged != nil {
			kept := ack // on the heap only where somebody asks for it
			s.config.Acknowledged(f.asMessage(), &kept)
		}
		s.settle(f)
	case f.sent:
		s.fail(f, err, time.Now())
	}
}

// fail decides what becomes of a message after an attempt failed.
func (s *sender) fail(f *flight, err error, now time.Time) {
	f.sent, f.due = false, now
	switch {
	case !s.connected || errors.Is(err, nats.ErrDisconnected):
		return // look sends it as soon as there is a connection
	case !passing(err) || s.clock.now(now)-f.began >= s.config.Patience:
		s.giveUp(f, Explain(err))
		return
	}
	pause := min(firstPause<<min(f.failures, 16), maxPause)
	f.failures++
	f.due = now.Add(pause/2 + rand.N(pause)) // not all at once
	s.wakeAt(f.due)
	if s.config.Retrying != nil {
		s.config.Retrying(f.asMessage(), publishing(f.subject, Explain(err)))
	}
}

// giveUp ends a message that is not acknowledged.
func (s *sender) giveUp(f *flight, reason error) {
	err := publishing(f.subject, reason)
	s.report.add(err, reason)
	if s.config.GivenUp != nil {
		s.config.GivenUp(f.asMessage(), err)
	}
	s.settle(f)
}

// look finds what is due, and what no answer tells.
func (s *sender) look() {
	now := time.Now()
	s.lookAtConnection(now)
	violation := s.rights.look(s.conn, s.inbox+"*")
	s.wake = time.Time{}
	for _, f := range s.flights {
		if !f.flying {
			continue
		}
		lacking := s.rights.lacking(f.subject, violation)
		switch {
		case lacking != nil:
			s.giveUp(f, lacking)
		case f.sent && !now.Before(f.due):
			s.fail(f, jetstream.ErrAsyncPublishTimeout, now)
		case !f.sent && !now.Before(f.due) && s.connected:
			s.send(f, now)
		case !f.sent && s.connected:
			s.wakeAt(f.due)
		}
	}
	if s.flying > 0 {
		s.wakeAt(now.Add(lookTime))
	}
}

// lookAtConnection notices that the connection was lost or is there again. What was under way while it was lost has to be
// sent again: neither it nor its answer may have arrived.
func (s *sender) lookAtConnection(now time.Time) {
	connected, reconnects := s.conn.IsConnected(), s.conn.Stats().Reconnects
	lost := s.connected && !connected || reconnects != s.reconnects
	s.connected, s.reconnects = connected, reconnects
	s.clock.run(now, connected)
	if !lost {
		return
	}
	s.rights.deaf = nil // the next connection is told again
	for _, f := range s.flights {
		if f.flying && f.sent {
			f.sent, f.due = false, now
		}
	}
}
