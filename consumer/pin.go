package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pinHeader carries the pin on the messages of its consumer.
	pinHeader = "Nats-Pin-Id"
	// pinMessages is how many of them are asked for at a time. They come one a second, so that a request waits until it
	// expires: a holder without a request is taken for one that is gone.
	pinMessages = 100
)

var (
	// errOwnerGone ends the session of a standby that is to read.
	errOwnerGone = errors.New("the reader of the stream is gone")
	// errPinLost ends the session of a reader that is not to read any more.
	errPinLost = errors.New("the broker gave the pin to another reader")
)

// align looks who holds the pin. Where nobody does, it makes the pin's consumer stand at the position: from there on the
// broker has something to deliver exactly where there is something to read, and gives somebody the pin with it.
func (s *session) align(ctx context.Context) error {
	info, err := s.consumers.Pin.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer: %w", err)
	}
	if s.waits {
		s.reader.standsBy(info.AckFloor.Stream)
		return nil
	}
	if pin := pinOf(info); pin != "" && info.NumWaiting == 0 {
		// Perhaps its holder died. It lives if it asks for messages meanwhile.
		select {
		case <-time.After(danglingPin):
		case <-ctx.Done():
			return ctx.Err()
		}
		if info, err = s.consumers.Pin.Info(ctx); err != nil {
			return fmt.Errorf("look at consumer: %w", err)
		}
		if pinOf(info) == pin && info.NumWaiting == 0 {
			if err := s.unpin(ctx); err != nil {
				return err
			}
			info.PriorityGroups = nil
		}
	}
	if pinOf(info) != "" {
		s.reader.standsBy(info.AckFloor.Stream)
		return nil // its holder marks how far it is
	}
	s.reader.reads(s.pending())
	if err := s.notePutBack(ctx, info.AckFloor.Stream); err != nil {
		return err
	}
	return s.mark(ctx)
}

// receivePin hears of a pin. It is called on the subscription.
func (s *session) receivePin(m jetstream.Msg) {
	select {
	case s.pins <- m.Headers().Get(pinHeader):
	default: // the message is not acknowledged, so it comes again
	}
}

// hold begins to read with a pin that the broker gave us. Others may have committed while we had none, so it goes on from
// what the store says now. The broker repeats the message that brought the pin, and with it the pin.
func (s *session) hold(ctx context.Context, pin string) error {
	if pin == s.pin {
		return nil
	}
	if s.pin != "" {
		return errPinLost
	}
	s.pin = pin
	if err := s.load(ctx); err != nil {
		return err
	}
	s.reader.reads(true)
	if err := s.reset(ctx); err != nil {
		return err
	}
	var err error
	s.messages, err = s.consumers.Messages.Consume(s.inbox.receive, s.consumeOptions(jetstream.PullMaxMessages(pullMessages))...)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	s.ended = s.messages.Closed()
	return nil
}

// mark has the pin's consumer stand at the position. That is what standbys and operators see of how far we are, and with
// what lies behind it the broker gives the next reader the pin. A crash before it costs nothing: the next one marks anew.
func (s *session) mark(ctx context.Context) error {
	if err := s.resetTo(ctx, s.consumers.Pin, s.position.Sequence+1); err != nil {
		return err
	}
	s.marked = s.position.Sequence
	return nil
}

// reset makes the broker deliver what follows the last accepted message.
func (s *session) reset(ctx context.Context) error {
	s.reader.log.Debug("reset consumer", "stream", s.reader.stream, "sequence", s.gate.last+1)
	return s.resetTo(ctx, s.consumers.Messages, s.gate.last+1)
}

func (s *session) resetTo(ctx context.Context, c jetstream.Consumer, sequence uint64) error {
	name := c.CachedInfo().Name
	if _, err := s.reader.js.ResetConsumerToSequence(ctx, s.reader.stream, name, sequence); err != nil {
		return fmt.Errorf("reset consumer %s to %d: %w", name, sequence, err)
	}
	return nil
}

func (s *session) unpin(ctx context.Context) error {
	if err := s.stream.UnpinConsumer(ctx, s.consumers.Pin.CachedInfo().Name, pinGroup); err != nil {
		return fmt.Errorf("unpin consumer: %w", err)
	}
	return nil
}

func pinOf(info *jetstream.ConsumerInfo) string {
	for _, g := range info.PriorityGroups {
		if g.Group == pinGroup {
			return g.PinnedClientID
		}
	}
	return ""
}

// isDue tells whether the pin's consumer has something to deliver, for the first time or again.
func isDue(info *jetstream.ConsumerInfo) bool {
	return info.NumPending > 0 || info.NumAckPending > 0
}

// watchPin marks how far the reader is; one that has no pin looks who has: whether the reader that it stands by for is
// gone, or never knew of its pin, and whether another one reads a stream that was quiet when both began.
func (s *session) watchPin(ctx context.Context) error {
	if s.pin != "" {
		if s.position.Sequence == s.marked {
			return nil
		}
		return s.mark(ctx)
	}
	info, err := s.consumers.Pin.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer: %w", err)
	}
	known, standby := s.holder.pin, s.reader.Status().State == Standby
	silence := s.holder.silence(info, s.reader.now())
	switch pin := pinOf(info); {
	case standby && pin == "":
		return errOwnerGone
	case standby && silence >= s.reader.pinnedTTL/2:
		// The session goes on: one that ended here would often have been given the pin already, and take it along.
		s.holder = holder{}
		return s.unpin(ctx)
	case standby || pin != "" && pin == known:
		s.reader.standsBy(info.AckFloor.Stream)
	}
	// Else nobody has it, or it is our own, and its message is on the way.
	return nil
}

// holder is who was seen to hold the pin. To one that asks for messages, the broker repeats what is due.
type holder struct {
	pin  string
	told time.Time // when the broker delivered to it last, by the broker's clock
	seen time.Time // when that was first seen
}

// silence is for how long the broker has not been able to deliver to the holder, as far as has been seen.
func (h *holder) silence(info *jetstream.ConsumerInfo, now time.Time) time.Duration {
	next := holder{pin: pinOf(info), seen: now}
	if info.Delivered.Last != nil {
		next.told = *info.Delivered.Last
	}
	if isDue(info) && next.pin == h.pin && next.told.Equal(h.told) {
		return now.Sub(h.seen)
	}
	*h = next
	return 0
}

// givePinBack is best effort: a pin that is not given back ends by itself.
func (s *session) givePinBack() {
	select {
	case s.pin = <-s.pins: // given to us last
	default:
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	if s.pin == "" || !s.reader.conn.IsConnected() {
		return
	}
	if info, err := s.consumers.Pin.Info(ctx); err != nil || pinOf(info) != s.pin {
		return
	}
	if s.unpin(ctx) == nil {
		_ = s.mark(ctx) // so that the broker need not wait before it repeats what was delivered to us
	}
}
