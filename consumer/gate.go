package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// resetAfter is how long messages may arrive without one being accepted before the broker is asked to start over.
const resetAfter = 2 * time.Second

// gate lets exactly the messages of the stream through, in its order, each once. What the broker delivers is only a
// proposal: a rival's reset, a restart or a dropped message make it repeat or skip without telling.
type gate struct {
	last     uint64    // the last accepted sequence
	time     time.Time // when the stream stored it
	next     uint64    // the stream's next one after last where that is known, else 0
	moved    bool      // a message was accepted since progress was last set
	progress time.Time // when a message was last accepted, or the broker last asked to start over
}

// accept tells whether the item is the stream's next message, and how many sequences before it the stream no longer
// holds. Only a jump needs a question to the stream: consumer sequences prove nothing, they were seen to run on over a
// rival's reset.
func (s *session) accept(ctx context.Context, it *item) (ok bool, gone uint64, err error) {
	g, sequence := &s.gate, it.sequence
	if sequence <= g.last {
		if !g.time.IsZero() && it.time.After(g.time) {
			// The sequence was given out again: behind a leaf node or in a cluster, a broker that lost its last messages
			// can be back before anybody notices that it was away.
			return false, 0, fmt.Errorf("message %d is newer than message %d: %w", sequence, g.last, sinks.ErrPositionMoved)
		}
		return false, 0, s.startOver(ctx, resetAfter)
	}
	if sequence != g.last+1 {
		patience := resetAfter
		if g.next == 0 {
			if g.next, err = nextAfter(ctx, s.stream, g.last); err != nil {
				return false, 0, err
			}
			patience = 0 // the first message after the gap; those behind it arrive while the broker starts over
		}
		if sequence != g.next {
			return false, 0, s.startOver(ctx, patience)
		}
	}
	gone = sequence - g.last - 1
	g.last, g.time, g.next, g.moved = sequence, it.time, 0, true
	return true, gone, nil
}

// stamp notes when there was progress. For each message, reading the clock would be a tenth of folding it.
func (g *gate) stamp(now time.Time) {
	if g.moved {
		g.progress, g.moved = now, false
	}
}

// startOver asks the broker to deliver from the last accepted message on, unless there was progress less than patience
// ago. Only the reader that holds the pin may: rivals' resets would chase each other.
func (s *session) startOver(ctx context.Context, patience time.Duration) error {
	now := s.reader.now()
	s.gate.stamp(now)
	if now.Sub(s.gate.progress) < patience {
		return nil
	}
	s.gate.progress = now
	info, err := s.consumers.Pin.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at consumer: %w", err)
	}
	switch pin := pinOf(info); {
	case s.pin == "" && pin == "":
		return s.mark(ctx) // brokers were seen to say that everything was delivered of a stream that holds more
	case s.pin == "":
		s.reader.standsBy(info.AckFloor.Stream) // of a stream that was quiet when both began
		return nil
	case pin != s.pin:
		return errPinLost
	}
	return s.reset(ctx)
}
