package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// maxBatch bounds the items of one commit, and with it memory and the time that a commit takes. With half of it, and half of
	// maxInbox, the pipeline had 0.94 of the throughput, and 0.74 with a database 60 ms away.
	maxBatch = 20_000
	// maxBatchBytes bounds their payload: events have about 300 bytes, so it is met by dead letters and odd events only.
	maxBatchBytes = 16 << 20
	// pullMessages is how many messages are asked for at a time: about so many more wait undecoded in the client.
	pullMessages = 10_000
	// gatherTime is how long a commit waits for more while the stream is known to hold more. Without a backlog a commit
	// starts at once; with one, many small commits would take the time that reading needs.
	gatherTime = 20 * time.Millisecond
	// lookTime is how often a reader asks the broker, never the database, how the stream is, and whether it is right that
	// nothing arrives.
	lookTime = 30 * time.Second
	// drainTime is what a stopping reader may take for its last commits, of the ten seconds that the process has. Before
	// it go requests under way, behind it the pin and the last announcements: two seconds and a half where all are slow.
	drainTime = 7 * time.Second
	// danglingPin is the time between two looks at a pin that nobody seems to hold.
	danglingPin = 200 * time.Millisecond
)

var (
	errDisconnected = errors.New("connection to NATS lost")
	errConsumeEnded = errors.New("the broker ended the consumer")
)

// session is one attempt to read: from loading the position to the first doubt. It is owned by one goroutine; only
// the inbox, the commit under way and what subscriptions say by channels are shared.
type session struct {
	reader    *Reader
	stream    jetstream.Stream
	consumers Consumers

	stored   sinks.Position // what the store has: the next commit is compared with it
	position sinks.Position // what the next commit builds on; differs from stored until a new epoch is committed
	gate     gate
	waits    bool   // it does not ask for the pin
	pin      string // ours, empty before the broker gave us one
	holder   holder // of the pin, where that is not us
	marked   uint64 // the position that the pin's consumer stands at, as far as we know

	pins     chan string   // holds the pin that the broker gave us last
	unpinned chan struct{} // holds one token after the broker gave the pin to another
	silent   chan struct{} // holds one token after the broker missed its heartbeat
	messages jetstream.ConsumeContext
	ended    <-chan struct{} // closed when messages end; nil before they begin
	inbox    *inbox
	cache    *cache
	open     *batch           // being folded
	inFlight *batch           // being committed, nil when none is
	done     chan committed   // how the commit under way ended
	told     <-chan struct{}  // closed when the last commit is announced, or failed
	attempts int              // commits of inFlight that met a version conflict
	moved    bool             // a commit succeeded
	gathered <-chan time.Time // fires when the open batch has waited long enough, nil while it does not wait
}

func (r *Reader) newSession() *session {
	told := make(chan struct{})
	close(told)
	return &session{reader: r, waits: r.turn.waits(), pins: make(chan string, 1), unpinned: make(chan struct{}, 1),
		silent: make(chan struct{}, 1), inbox: newInbox(r.tracer != nil), cache: newCache(), open: newBatch(new(batch)),
		done: make(chan committed, 1), told: told}
}

// begin reads where to go on, and looks who holds the pin.
func (s *session) begin(ctx context.Context) error {
	r := s.reader
	if err := r.identify(ctx); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	var err error
	if s.consumers, err = EnsureConsumers(ctx, r.js, r.stream, r.deployment, r.identity, r.pinnedTTL, false); err != nil {
		return err
	}
	return s.align(ctx)
}

// load reads the position from the store and compares it with the stream.
func (s *session) load(ctx context.Context) error {
	r := s.reader
	stored, err := r.stored(ctx)
	if err != nil {
		return err
	}
	// A hint, as every announcement.
	if err := announceFound(r.conn, r.deployment, stored); err != nil {
		r.log.Debug("announce position", "error", err)
	}
	stream, err := r.js.Stream(ctx, r.stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %s does not exist yet; `runmetrics setup` makes it: %w", r.stream, err)
	case err != nil:
		return fmt.Errorf("open stream %s: %w", r.stream, err)
	}
	info := stream.CachedInfo()
	how, err := checkStream(ctx, stream, info, stored)
	if err != nil {
		return err
	}
	if err := r.noteFit(how, stored, info); err != nil {
		return err
	}
	s.stream, s.stored, s.position = stream, stored, stored
	if how != fits {
		// Events that were applied before are known by their ids, so reading all of it again changes no number.
		s.position = sinks.Position{Stream: r.stream, Epoch: stored.Epoch + 1, Created: info.Created}
	}
	s.gate = gate{last: s.position.Sequence, time: s.position.MessageTime, progress: r.now()}
	r.status.stream(info)
	r.status.begin(s.position)
	return nil
}

// pending tells whether the stream held something to read when the session began.
func (s *session) pending() bool {
	state := s.stream.CachedInfo().State
	return state.Msgs > 0 && state.LastSeq > s.position.Sequence
}

// run reads until ctx ends, which it answers with a clean drain and nil, or until the first doubt.
func (s *session) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	lost := s.reader.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	defer s.reader.conn.RemoveStatusListener(lost)
	if s.waits {
		return s.wait(ctx, lost)
	}
	asking, err := s.consumers.Pin.Consume(s.receivePin, s.consumeOptions(jetstream.PullPriorityGroup(pinGroup),
		jetstream.PullMaxMessages(pinMessages))...)
	if err != nil {
		return fmt.Errorf("ask for the pin: %w", err)
	}
	// Commits outlive ctx, so that a drain can finish them, but not the session.
	commits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer s.leave(asking, cancel)
	look := time.NewTicker(lookTime)
	defer look.Stop()
	watch := time.NewTicker(s.reader.pinnedTTL / 8)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.drain(commits)
		case <-lost:
			return errDisconnected
		case <-asking.Closed():
			return errConsumeEnded
		case <-s.ended:
			return errConsumeEnded
		case <-s.reader.turn.changed:
			if s.reader.turn.waits() {
				return s.yield(commits)
			}
		case pin := <-s.pins:
			err = s.hold(ctx, pin)
		case <-s.unpinned:
			return errPinLost
		case result := <-s.done:
			err = s.settle(commits, result)
		case refusal := <-s.reader.refusals:
			return refusal
		case <-s.inbox.ready:
			err = s.take(ctx)
		case <-s.gathered:
			s.open.ripe = true
		case <-look.C:
			err = s.look(ctx)
		case <-s.silent:
			err = s.look(ctx)
		case <-watch.C:
			err = s.watchPin(ctx)
		}
		if err != nil {
			return err
		}
		if s.ripe() {
			s.startCommit(commits)
		}
	}
}

// consumeOptions are how both consumers are asked for messages.
func (s *session) consumeOptions(more ...jetstream.PullConsumeOpt) []jetstream.PullConsumeOpt {
	// Each request for the pin renews it, so several must fit into its life.
	expiry := max(min(2*time.Second, s.reader.pinnedTTL/4), time.Second)
	return append(more,
		jetstream.PullExpiry(expiry),
		jetstream.PullHeartbeat(expiry/2),
		// Called on the subscription: it may only signal.
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			switch {
			case errors.Is(err, jetstream.ErrPinIDMismatch):
				signal(s.unpinned)
			case errors.Is(err, jetstream.ErrNoHeartbeat):
				signal(s.silent)
			}
		}))
}

// signal puts a token into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// leave ends the session: nothing is pulled any more, the commit under way is over, and the pin is free for others.
func (s *session) leave(asking jetstream.ConsumeContext, cancel context.CancelFunc) {
	asking.Stop()
	if s.messages != nil {
		s.messages.Stop()
	}
	s.inbox.close()
	cancel()
	if s.inFlight != nil {
		if last := <-s.done; last.err == nil { // stored all the same: nobody will read it again
			s.reader.committed(last, s.inFlight, s.stored)
			s.position = last.batch.Next
		}
	}
	<-s.told
	s.givePinBack()
}

// drain commits what was folded. What was only received comes again to the next reader. Messages are asked for as ever
// meanwhile: a pin without requests would be taken for one that its holder left.
func (s *session) drain(commits context.Context) error {
	ctx, cancel := context.WithTimeout(commits, drainTime)
	defer cancel()
	for {
		s.startCommit(ctx)
		if s.inFlight == nil {
			return nil
		}
		select {
		case result := <-s.done:
			if err := s.settle(ctx, result); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("drain: the last commit took over %s: %w", drainTime, ctx.Err())
		}
	}
}
