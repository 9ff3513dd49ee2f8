package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

// take folds what has arrived, as far as it fits into the open batch.
func (s *session) take(ctx, commits context.Context) error {
	limit := s.reader.batchLimit()
	if s.open.full(limit) {
		return nil // the end of the commit under way makes room, and looks again
	}
	items, dropped := s.inbox.take(limit-len(s.open.items), maxBatchBytes-s.open.bytes)
	s.reader.status.read(len(items)+int(dropped), int(dropped))
	for _, it := range items {
		if it.pin != s.pin {
			if err := s.newPin(ctx, commits, it.pin); err != nil {
				return err
			}
		}
		ok, gone, err := s.accept(ctx, it)
		if err != nil {
			return err
		}
		if !ok {
			s.reader.status.discard(1)
			continue
		}
		if gone > 0 {
			s.reader.noteGone(it.sequence-gone-1, it.sequence)
			s.open.gone += int64(gone)
		}
		s.reader.judge(it)
		s.open.fold(it, s.cache)
	}
	if n := len(s.open.items); n > 0 {
		s.reader.status.holds(s.open.items[n-1].sequence + s.open.items[n-1].pending)
	}
	s.gate.stamp(s.reader.now())
	return nil
}

// ripe tells whether the open batch should be committed now, and else sees to it that it will be.
func (s *session) ripe() bool {
	n := len(s.open.items)
	if n == 0 || s.inFlight != nil {
		return false
	}
	if s.open.ripe || s.open.items[n-1].pending == 0 || s.open.full(s.reader.batchLimit()) {
		return true
	}
	if s.gathered == nil {
		s.gathered = time.After(gatherTime)
	}
	return false
}

// newPin makes sure that nobody else committed while this reader did not hold the pin.
func (s *session) newPin(ctx, commits context.Context, pin string) error {
	s.pin = pin
	for s.inFlight != nil {
		if err := s.settle(commits, <-s.done); err != nil {
			return err
		}
	}
	if err := s.unmoved(ctx); err != nil {
		return err
	}
	s.reader.reads(true)
	return nil
}

// unmoved is ErrPositionMoved where somebody else committed since the session read the position.
func (s *session) unmoved(ctx context.Context) error {
	p, err := s.reader.stored(ctx)
	if err != nil {
		return err
	}
	if p.Epoch != s.stored.Epoch || p.Sequence != s.stored.Sequence {
		return sinks.ErrPositionMoved
	}
	return nil
}

// errOwnerGone ends the session of a standby that is to read.
var errOwnerGone = errors.New("the reader of the stream is gone")

// watchPin looks who holds the pin, where no message has told or tells any more: whether the reader that this one stands
// by for is gone, or never knew of its pin, and whether another one reads a stream that was quiet when both began. What
// was delivered to a reader that is gone comes to nobody before the consumer is reset, with which the next session begins.
func (s *session) watchPin(ctx context.Context) error {
	standby := s.reader.Status().State == Standby
	if !standby && s.pin != "" {
		return nil
	}
	info, err := s.consumer.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer: %w", err)
	}
	switch pin := pinOf(info); {
	case standby && pin == "":
		return errOwnerGone
	case standby:
		was := s.holder
		s.holder = holderOf(info)
		if s.holder.stuck && s.holder == was {
			if err := s.unpin(ctx); err != nil {
				return err
			}
			return errOwnerGone
		}
	case !standby && pin != "" && pin == s.rival:
		s.reader.standsBy(info.AckFloor.Stream)
	default:
		s.rival = pin // or it is our own, and its first message is on the way
	}
	return nil
}

// holder is who holds the pin, and whether it asks for messages: the broker delivers at once to one that does.
type holder struct {
	pin       string
	delivered uint64
	stuck     bool // the broker has messages for it, and may deliver them
}

func holderOf(info *jetstream.ConsumerInfo) holder {
	return holder{pin: pinOf(info), delivered: info.Delivered.Consumer,
		stuck: info.NumPending > 0 && info.NumAckPending < info.Config.MaxAckPending}
}

// look asks the broker only: an idle runmetrics lets the database sleep.
func (s *session) look(ctx context.Context) error {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream: %w", err)
	}
	how, err := checkStream(ctx, s.stream, info, s.position)
	switch {
	case err != nil:
		return err
	case how != fits:
		return fmt.Errorf("stream %s is not as it was read: %s: %w", s.reader.stream, how, sinks.ErrPositionMoved)
	}
	s.reader.noteLost("", s.reader.lostUnread(fits, s.position, info))
	s.reader.status.stream(info)
	s.reader.tellDeadLetters(tellTime)
	if s.waits || info.State.LastSeq <= s.gate.last {
		return nil // the rest is for the one that reads
	}
	if s.reader.Status().State != Standby {
		next, err := nextAfter(ctx, s.stream, s.gate.last)
		switch {
		case err != nil:
			return err
		case next == 0: // there is nothing to wait for
			s.reader.noteGone(s.gate.last, info.State.LastSeq+1)
			return nil
		}
		s.reader.noteGone(s.gate.last, next)
	}
	return s.startOver(ctx, lookTime/2)
}
