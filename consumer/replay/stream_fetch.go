package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// fetchMessages and fetchBytes are what one request asks for at most. Up to four answers are in memory: one that
	// arrives, two on their way to be decoded and handed on, one that is worked on.
	fetchMessages = 10_000
	fetchBytes    = 8 << 20
	// fetchTime is how long the broker may take to fill a request; it never does unless messages left the stream since it
	// was asked for how many there are.
	fetchTime = 5 * time.Second
	// fetchBeat is how often a broker that has nothing to send says so. One that is silent twice as long is asked anew.
	fetchBeat = time.Second
	// consumerLife is how long the broker keeps a consumer that nobody asks.
	consumerLife = time.Minute

	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// What ends the reading of a stream for good.
var (
	errMadeAnew = errors.New("the stream was made anew while it was read: start again, with the new one")
	errTailLost = errors.New("the stream lost its last messages while it was read, as after a restore of its broker: start again")
)

// final are errors that no new consumer mends.
var final = []error{errMadeAnew, errTailLost, nats.ErrPermissionViolation}

// What a new consumer mends.
var (
	errSkipped = errors.New("messages were lost on the way")
	errSilent  = errors.New("the broker does not answer")
	errUnready = errors.New("the broker has messages that its consumer does not see yet")
)

// message is one of the stream.
type message struct {
	*nats.Msg
	sequence uint64
	time     time.Time
}

// fetcher asks for the messages of a stream, list by list, while those before are worked on. One request is under way at
// a time: a broker deals its messages out to several in turn.
type fetcher struct {
	*Stream
	next uint64 // the first sequence that was not handed on
	out  chan<- []message
}

// run fetches to the end, through one consumer after the other.
func (f *fetcher) run(ctx context.Context) error {
	var failing time.Time // since when nothing came
	wait := firstPause
	for f.next <= f.to {
		before := f.next
		err := f.session(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		err = f.explain(err)
		if slices.ContainsFunc(final, func(reason error) bool { return errors.Is(err, reason) }) {
			return fmt.Errorf("read stream %s: %w", f.Name(), err)
		}
		now := time.Now()
		if f.next > before || failing.IsZero() {
			failing, wait = now, firstPause
		}
		if now.Sub(failing) >= f.patience {
			return fmt.Errorf("read stream %s: nothing came after sequence %d for %s: %w; go on from there when NATS answers again",
				f.Name(), f.next-1, f.patience, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, longestPause)
	}
	return nil
}

// session reads through one consumer, to the end or to an error.
func (f *fetcher) session(ctx context.Context) error {
	stream, err := f.open(ctx)
	if err != nil {
		return err
	}
	switch info := stream.CachedInfo(); {
	case !info.Created.Equal(f.Created):
		return errMadeAnew
	case info.State.LastSeq+1 < f.next:
		return errTailLost
	}
	c, err := f.consume(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq: f.next, FilterSubjects: f.subjects})
	if err != nil {
		return err
	}
	defer f.forget(c)
	p := pulls{conn: f.js.Conn(), consumer: c, pending: c.CachedInfo().NumPending}
	for f.next <= f.to {
		if p.pending == 0 {
			return f.confirmEnd(ctx, stream)
		}
		list, err := p.fetch(ctx, f.batch(), f.bytes())
		if handed := f.handOn(ctx, list); handed != nil {
			return handed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// batch is how many messages to ask for: where a rate is held, a tenth of a second's.
func (f *fetcher) batch() uint64 {
	if f.config.Rate == 0 {
		return f.list
	}
	return uint64(min(max(f.config.Rate/10, 1), float64(f.list)))
}

// bytes is how much to ask for. A message that is larger would never come.
func (f *fetcher) bytes() int { return max(fetchBytes, int(f.js.Conn().MaxPayload())+fetchBytes/8) }

// handOn gives away what lies in the range.
func (f *fetcher) handOn(ctx context.Context, list []message) error {
	beyond := false
	for len(list) > 0 && list[len(list)-1].sequence > f.to {
		list, beyond = list[:len(list)-1], true
	}
	if len(list) > 0 {
		select {
		case f.out <- list:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.next = list[len(list)-1].sequence + 1
	}
	if beyond {
		f.next = f.to + 1
	}
	return nil
}

// confirmEnd is an error where messages are left. A consumer that lies on a broker which lags behind the stream's leader
// does not know of all.
func (f *fetcher) confirmEnd(ctx context.Context, stream jetstream.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	subjects := f.subjects
	if subjects == nil {
		subjects = []string{">"}
	}
	for _, subject := range subjects {
		m, err := stream.GetMsg(ctx, f.next, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return err
		case m.Sequence <= f.to:
			return errUnready
		}
	}
	return nil
}

// open asks for the stream as it is now.
func (s *Stream) open(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	return s.js.Stream(ctx, s.config.Stream)
}

// explain finds a right that is missing behind a request without an answer: NATS says so beside it.
func (s *Stream) explain(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errSilent) {
		return err
	}
	refused := s.js.Conn().LastError()
	if errors.Is(refused, nats.ErrPermissionViolation) && strings.Contains(refused.Error(), "."+s.config.Stream) {
		return refused
	}
	return err
}

// consume makes a consumer that the broker forgets by itself.
func (s *Stream) consume(ctx context.Context, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	c.Description = "runmetrics replay"
	c.AckPolicy, c.InactiveThreshold = jetstream.AckNonePolicy, consumerLife
	c.MemoryStorage, c.Replicas = true, 1
	return s.js.CreateConsumer(ctx, s.config.Stream, c)
}

// forget removes a consumer. A broker that cannot be reached forgets it by itself.
func (s *Stream) forget(c jetstream.Consumer) {
	if !s.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.js.DeleteConsumer(ctx, s.config.Stream, c.CachedInfo().Name)
}

// firstAt is the first sequence of the stream that it stored at this time or later.
func (s *Stream) firstAt(ctx context.Context, at time.Time) (uint64, error) {
	c, err := s.consume(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at})
	if err != nil {
		return 0, err
	}
	s.forget(c)
	return c.CachedInfo().Delivered.Stream + 1, nil
}
