package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

// fit says how a stored position relates to the stream that the broker has.
type fit int

const (
	fits      fit = iota
	unread        // nothing was ever committed from this stream
	recreated     // the stream is another one under the same name
	tailLost      // the broker forgot messages that were committed; their sequences will be given out again
)

func (f fit) String() string {
	return [...]string{"fits", "unread", "recreated", "tail lost"}[f]
}

// checkStream compares a position with the stream. Only the time of the message at the position can tell a stream whose
// tail was lost and written anew: brokers give the same sequences out again.
func checkStream(ctx context.Context, stream jetstream.Stream, info *jetstream.StreamInfo, p sinks.Position) (fit, error) {
	state := info.State
	switch {
	case p.Epoch == 0:
		return unread, nil
	case !p.Created.Equal(info.Created):
		return recreated, nil
	case state.LastSeq < p.Sequence:
		return tailLost, nil
	case p.Sequence == 0 || state.FirstSeq > p.Sequence:
		return fits, nil // nothing left to compare
	}
	message, err := stream.GetMsg(ctx, p.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return fits, nil
	case err != nil:
		return fits, fmt.Errorf("get message %d: %w", p.Sequence, err)
	case !p.MessageTime.IsZero() && !message.Time.Equal(p.MessageTime):
		return tailLost, nil
	}
	return fits, nil
}

// nextAfter returns the sequence of the stream's next message after sequence, 0 where there is none yet.
func nextAfter(ctx context.Context, stream jetstream.Stream, sequence uint64) (uint64, error) {
	message, err := stream.GetMsg(ctx, sequence+1, jetstream.WithGetMsgSubject(">"))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("get message after %d: %w", sequence, err)
	}
	return message.Sequence, nil
}
