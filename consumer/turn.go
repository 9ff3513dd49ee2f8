package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// helpTime is how long a reader that is to make way reads all the same, once it found that nobody does.
const helpTime = 30 * time.Second

// errTurned ends a session whose reader is to make way, or need not any more.
var errTurned = errors.New("another process is to read the stream, or not any more")

// turn says whether a reader is to make way for another process. The zero turn asks for the pin.
type turn struct {
	away    atomic.Bool
	changed chan struct{} // holds one token after a change

	helps time.Time // until when it does not make way; owned by Run's goroutine
}

// makeWay has the reader make way for another process, or not any more. It does not block.
func (r *Reader) makeWay(away bool) {
	if r.turn.away.Swap(away) == away {
		return
	}
	whose := "this process's"
	if away {
		whose = "another process's"
	}
	r.log.Info("the stream is "+whose+" to read", "stream", r.stream)
	r.turn.signal()
}

func (t *turn) signal() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// waits tells whether a session does not ask for the pin.
func (t *turn) waits() bool { return t.away.Load() && !time.Now().Before(t.helps) }

// help has the reader ask for the pin for a while although it is to make way. So a stream is read whatever a process
// says of itself.
func (t *turn) help() {
	t.helps = time.Now().Add(helpTime)
	time.AfterFunc(helpTime, t.signal)
}

// yield ends a session for another process: it commits what is folded; the end of the session gives the pin back.
func (s *session) yield(commits context.Context) error {
	if err := s.drain(commits); err != nil {
		return err
	}
	s.reader.standsBy(s.position.Sequence)
	return errTurned
}

// wait stands by without asking for the pin. It asks the broker only, as look and watchPin do.
func (s *session) wait(ctx context.Context, lost <-chan nats.Status) error {
	look := time.NewTicker(lookTime)
	defer look.Stop()
	watch := time.NewTicker(s.reader.pinnedTTL / 4)
	defer watch.Stop()
	unread := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-lost:
			return errDisconnected
		case refusal := <-s.reader.refusals:
			return refusal
		case <-s.reader.turn.changed:
			if !s.reader.turn.waits() {
				return errTurned
			}
		case <-look.C:
			err = s.look(ctx)
		case <-watch.C:
			unread, err = s.watchOwner(ctx, unread)
		}
		if err != nil {
			return err
		}
	}
}

// watchOwner looks how far the process is that is to read. A stream that holds something for nobody is read by whoever
// sees that twice.
func (s *session) watchOwner(ctx context.Context, seen bool) (unread bool, err error) {
	info, err := s.consumers.Pin.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("look at consumer: %w", err)
	}
	s.reader.status.standby(info.AckFloor.Stream)
	unread = pinOf(info) == "" && isDue(info)
	if unread && seen {
		s.reader.log.Warn("nobody reads the stream that another process is to read", "stream", s.reader.stream)
		s.reader.turn.help()
		return true, errTurned
	}
	return unread, nil
}
