package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// take folds what has arrived, as far as it fits into the open batch.
func (s *session) take(ctx context.Context) error {
	limit := s.reader.batchLimit()
	if s.open.full(limit) {
		return nil // the end of the commit under way makes room, and looks again
	}
	items := s.inbox.take(limit-len(s.open.items), maxBatchBytes-s.open.bytes)
	s.reader.status.read(len(items))
	for _, it := range items {
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
