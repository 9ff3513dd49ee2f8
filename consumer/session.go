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
	// maxBatch bounds the items of one commit, and with it memory and the time that a commit takes.
	maxBatch = 10_000
	// maxBatchBytes bounds their payload: events have about 300 bytes, so it is met by dead letters and odd events only.
	maxBatchBytes = 16 << 20
	// pullMessages is how many messages are asked for at a time.
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
// the inbox and the commit under way are shared.
type session struct {
	reader   *Reader
	stream   jetstream.Stream
	consumer jetstream.Consumer

	stored   sinks.Position // what the store has: the next commit is compared with it
	position sinks.Position // what the next commit builds on; differs from stored until a new epoch is committed
	gate     gate
	waits    bool   // it does not ask for the pin
	pin      string // of the messages taken last
	rival    string // a pin that was seen and is not known to be ours
	holder   holder // as a standby saw it last

	silent   chan struct{} // holds one token after the broker missed its heartbeat
	inbox    *inbox
	cache    *cache
	open     *batch           // being folded
	inFlight *batch           // being committed, nil when none is
	done     chan committed   // how the commit under way ended
	attempts int              // commits of inFlight that met a version conflict
	moved    bool             // a commit succeeded
	gathered <-chan time.Time // fires when the open batch has waited long enough, nil while it does not wait
}

// begin reads where to go on and makes the broker's consumer agree.
func (s *session) begin(ctx context.Context) error {
	r := s.reader
	var err error
	if err = r.identify(ctx); err != nil {
		return err
	}
	if s.stored, err = r.stored(ctx); err != nil {
		return err
	}
	// A hint, as every announcement.
	if err := announceFound(r.conn, r.deployment, s.stored); err != nil {
		r.log.Debug("announce position", "error", err)
	}
	switch s.stream, err = r.js.Stream(ctx, r.stream); {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %s does not exist yet; `runmetrics setup` makes it: %w", r.stream, err)
	case err != nil:
		return fmt.Errorf("open stream %s: %w", r.stream, err)
	}
	info := s.stream.CachedInfo()
	how, err := checkStream(ctx, s.stream, info, s.stored)
	if err != nil {
		return err
	}
	s.position = s.stored
	if how != fits {
		// Events that were applied before are known by their ids, so reading all of it again changes no number.
		s.position = sinks.Position{Stream: r.stream, Epoch: s.stored.Epoch + 1, Created: info.Created}
	}
	if err := r.noteFit(how, s.stored, info); err != nil {
		return err
	}
	s.gate = gate{last: s.position.Sequence, time: s.position.MessageTime, progress: r.now()}
	r.status.stream(info)
	r.status.begin(s.position)
	if s.consumer, err = EnsureConsumer(ctx, r.js, r.stream, r.deployment, r.identity, r.pinnedTTL, false); err != nil {
		return err
	}
	return s.align(ctx)
}

// align makes the consumer deliver from the position on. It does not wait for a pin: a quiet stream gives none, and a
// store that was emptied behind it would get nothing, without an error.
func (s *session) align(ctx context.Context) error {
	info, err := s.consumer.Info(ctx)
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
		if info, err = s.consumer.Info(ctx); err != nil {
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
		s.reader.standsBy(0)
		return nil // the holder aligns it; on a pin of our own the gate will
	}
	s.reader.reads(s.pending())
	// Brokers were seen to say that they delivered up to here, and that nothing is to come, of a stream that holds more.
	forgotten := info.NumPending == 0 && s.pending()
	if info.Delivered.Stream == s.position.Sequence && !forgotten {
		return nil
	}
	if err := s.notePutBack(ctx, info.AckFloor.Stream); err != nil {
		return err
	}
	return s.reset(ctx)
}

// pending tells whether the stream held something to read when the session began.
func (s *session) pending() bool {
	state := s.stream.CachedInfo().State
	return state.Msgs > 0 && state.LastSeq > s.position.Sequence
}

// reset makes the broker deliver what follows the last accepted message.
func (s *session) reset(ctx context.Context) error {
	name := s.consumer.CachedInfo().Name
	if _, err := s.reader.js.ResetConsumerToSequence(ctx, s.reader.stream, name, s.gate.last+1); err != nil {
		return fmt.Errorf("reset consumer to %d: %w", s.gate.last+1, err)
	}
	s.reader.log.Debug("reset consumer", "stream", s.reader.stream, "sequence", s.gate.last+1)
	return nil
}

func (s *session) unpin(ctx context.Context) error {
	if err := s.stream.UnpinConsumer(ctx, s.consumer.CachedInfo().Name, pinGroup); err != nil {
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
	consume, err := s.consumer.Consume(s.inbox.receive, s.consumeOptions()...)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	// Commits outlive ctx, so that a drain can finish them, but not the session.
	commits, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer s.leave(consume, cancel)
	look := time.NewTicker(lookTime)
	defer look.Stop()
	watch := time.NewTicker(s.reader.pinnedTTL / 4)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.drain(commits)
		case <-lost:
			return errDisconnected
		case <-consume.Closed():
			return errConsumeEnded
		case <-s.reader.turn.changed:
			if s.reader.turn.waits() {
				return s.yield(commits)
			}
		case result := <-s.done:
			err = s.settle(commits, result)
		case refusal := <-s.reader.refusals:
			return refusal
		case <-s.inbox.ready:
			err = s.take(ctx, commits)
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

func (s *session) consumeOptions() []jetstream.PullConsumeOpt {
	// Each pull renews the pin, so several must fit into its life.
	expiry := max(min(2*time.Second, s.reader.pinnedTTL/4), time.Second)
	return []jetstream.PullConsumeOpt{
		jetstream.PullPriorityGroup(pinGroup),
		jetstream.PullMaxMessages(pullMessages),
		jetstream.PullExpiry(expiry),
		jetstream.PullHeartbeat(expiry / 2),
		// Called on the subscription: it may only signal.
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			switch {
			case errors.Is(err, jetstream.ErrPinIDMismatch):
				s.reader.standsBy(0)
			case errors.Is(err, jetstream.ErrNoHeartbeat):
				select {
				case s.silent <- struct{}{}:
				default:
				}
			}
		}),
	}
}

// leave ends the session: nothing is pulled any more, the commit under way is over, and the pin is free for others.
func (s *session) leave(consume jetstream.ConsumeContext, cancel context.CancelFunc) {
	consume.Stop()
	cancel()
	if s.inFlight != nil {
		if last := <-s.done; last.err == nil { // stored all the same: nobody will read it again
			s.reader.committed(last, s.stored)
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	pin := s.inbox.lastPin()
	if !s.reader.conn.IsConnected() || pin == "" {
		return
	}
	// Best effort: a pin that is not given back ends by itself.
	if info, err := s.consumer.Info(ctx); err == nil && pinOf(info) == pin {
		_ = s.unpin(ctx)
	}
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
