package publish

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream's codes for a stream or an account that has no room.
const (
	streamStoreFailed        jetstream.ErrorCode = 10077
	accountResourcesExceeded jetstream.ErrorCode = 10002
)

var errUnacknowledged = errors.New("the publisher was closed before the stream acknowledged it")

// publishing says which message an error is about.
func publishing(subject string, err error) error {
	return fmt.Errorf("publish to %s: %w", subject, err)
}

// passing tells whether an error may go away by itself, or by somebody who makes a stream or gives it room.
func passing(err error) bool {
	var answer *jetstream.APIError
	if errors.As(err, &answer) {
		return answer.Code >= 500 || IsFull(err)
	}
	return !errors.Is(err, nats.ErrMaxPayload) && !errors.Is(err, nats.ErrBadSubject) && !errors.Is(err, nats.ErrInvalidMsg)
}

// IsFull tells whether an error is that a stream or an account has no room for a message.
func IsFull(err error) bool {
	var answer *jetstream.APIError
	return errors.As(err, &answer) && (answer.ErrorCode == streamStoreFailed || answer.ErrorCode == accountResourcesExceeded)
}

// Explain adds to an error of JetStream's what to do about it.
func Explain(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no stream takes this subject; `runmetrics setup` makes it, or start `runmetrics run`; "+
			"where there are several streams, `runmetrics doctor` tells whether NATS maps subjects to them", err)
	case IsFull(err):
		return fmt.Errorf("the stream does not take it: %w; if it is full, `runmetrics setup --max-bytes` gives it more room", err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: the server takes less than an event may have, 64 KiB; set max_payload there to its default", err)
	}
	return err
}

// closedConnection says why nothing can be published any more.
func closedConnection(conn *nats.Conn) error {
	if last := conn.LastError(); last != nil {
		return fmt.Errorf("%w for good, the last error was: %w; nats.go gives up after some attempts to connect unless it has "+
			"nats.MaxReconnects(-1), as by publish.Connect; a program that closes it has to close the publisher first",
			nats.ErrConnectionClosed, last)
	}
	return fmt.Errorf("%w by this program; close the publisher first", nats.ErrConnectionClosed)
}
