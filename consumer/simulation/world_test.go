package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// world is one history being played.
type world struct {
	dir      string
	database *database
	log      *journal

	mu     sync.Mutex // guards server, which is replaced while replicas dial
	server *server.Server
	admin  *nats.Conn // a connection that nothing happens to, for as long as the broker runs
	js     jetstream.JetStream

	streams  []*stream
	replicas []*replica // all that ever ran; slots has those of now
	slots    []*replica // nil where none runs
	started  int
	mail     mail
}

// play runs a plan and returns what went wrong. It must be called in a bubble.
func play(ctx context.Context, p plan, dir string, open func(context.Context) (*database, error)) (err error) {
	w := &world{dir: dir, log: &journal{began: time.Now()}, slots: make([]*replica, p.Replicas)}
	if w.database, err = open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.database.close()) }()
	if err := w.startBroker(); err != nil {
		return err
	}
	defer func() { w.stopBroker() }()
	for i := range p.Streams {
		s := &stream{name: "RUN_EVENTS", prefix: "runs."}
		if p.Streams > 1 {
			s = &stream{name: fmt.Sprint("RUN_EVENTS_", i), prefix: fmt.Sprintf("runs.%d.", i)}
		}
		w.streams = append(w.streams, s)
		if err := w.createStream(ctx, s); err != nil {
			return err
		}
	}
	defer w.end()
	if err := w.steps(ctx, p); err != nil {
		return fmt.Errorf("%w\n%s", err, w.log)
	}
	return nil
}

// steps plays every step, checks after each, then heals everything and waits until all is as if nothing had happened.
func (w *world) steps(ctx context.Context, p plan) error {
	for i, s := range p.Steps {
		w.log.note("step %d: %s", i, s)
		if err := s.do(ctx, w); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, s, err)
		}
		for _, pause := range []time.Duration{min(s.wait, calm), max(s.wait-calm, 0)} {
			peaceful := pause == calm && w.peaceful()
			time.Sleep(pause)
			synctest.Wait()
			if err := w.settled(ctx, peaceful); err != nil {
				return fmt.Errorf("after step %d, %s: %w", i, s, err)
			}
		}
		if err := w.check(ctx); err != nil {
			return fmt.Errorf("after step %d, %s:\n%w", i, s, err)
		}
	}
	w.log.note("heal")
	if err := w.heal(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	return nil
}

const (
	// calm is how long it takes after the last fault, at the most, until everything is committed, without a new event to
	// help: a pin that nobody holds ends, and retries had grown.
	calm = 25 * time.Second
	// patience is the same where strangers meddled with the consumer: the next look at the stream finds that it stands
	// still, or the one after it.
	patience = 75 * time.Second
)

// peaceful tells whether a process runs and nothing is planned against any.
func (w *world) peaceful() bool {
	runs := false
	for _, r := range w.living() {
		if r.threatened() {
			return false
		}
		runs = runs || !r.paused()
	}
	return runs
}

// settled looks which streams are read to their ends. In peace all must be with which nobody meddled, and whatever was
// done to a stream is over when one more event of it was committed.
func (w *world) settled(ctx context.Context, peaceful bool) error {
	if err := w.follow(ctx); err != nil {
		return err
	}
	for _, s := range w.streams {
		behind, err := w.behind(ctx, s)
		if err != nil {
			return err
		}
		if behind && peaceful && !s.meddled {
			return fmt.Errorf("%s is not read to its end:\n%s", s.name, w.states(ctx))
		}
		if !behind && s.grown {
			s.meddled = false
		}
		s.grown = false
	}
	return nil
}

// behind tells whether a stream holds what is not committed.
func (w *world) behind(ctx context.Context, s *stream) (bool, error) {
	p, err := w.database.store.Position(ctx, s.name)
	if err != nil {
		return false, err
	}
	t := s.now()
	return len(t.messages) > 0 && (!p.Created.Equal(t.created) || p.Sequence < uint64(len(t.messages))), nil
}

// heal ends all faults. In time everything must be committed, and again after one more event for each stream: only when
// it commits does a reader learn that its database was restored.
func (w *world) heal(ctx context.Context) error {
	for _, r := range w.replicas {
		r.heal()
		for _, err := range r.faulty.Release(ctx) {
			w.log.note("%s: a commit of before: %v", r.name, err)
		}
	}
	if err := w.ensure(0); err != nil {
		return err
	}
	limit := calm
	for _, s := range w.streams {
		if s.meddled {
			limit = patience
			if err := w.publish(ctx, s, 1, 1, false); err != nil {
				return err
			}
		}
	}
	if err := w.committed(ctx, limit); err != nil {
		return err
	}
	for _, s := range w.streams {
		if err := w.publish(ctx, s, 2, 1, false); err != nil {
			return err
		}
	}
	if err := w.committed(ctx, limit); err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); !w.active(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not active again within %s:\n%s", patience, w.states(ctx))
		}
	}
	return nil
}

// committed waits until the streams are read to their ends, and checks.
func (w *world) committed(ctx context.Context, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(250 * time.Millisecond) {
		synctest.Wait()
		if err := w.follow(ctx); err != nil {
			return err
		}
		left := 0
		for _, s := range w.streams {
			behind, err := w.behind(ctx, s)
			if err != nil {
				return err
			}
			if behind {
				left++
			}
		}
		if left == 0 {
			return w.check(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d streams are not read to their ends within %s:\n%s", left, limit, w.states(ctx))
		}
	}
}

// ensure starts a process in a slot that has none.
func (w *world) ensure(slot int) error {
	if r := w.slots[slot]; r != nil && r.alive() {
		return nil
	}
	w.started++
	r, err := w.start(fmt.Sprint("process-", w.started))
	if err != nil {
		return err
	}
	w.slots[slot] = r
	w.replicas = append(w.replicas, r)
	return nil
}

// process is the living one of a slot, or nil.
func (w *world) process(slot int) *replica {
	if r := w.slots[slot%len(w.slots)]; r != nil && r.alive() {
		return r
	}
	return nil
}

// living are the processes that were not killed.
func (w *world) living() []*replica {
	return slices.DeleteFunc(slices.Clone(w.replicas), func(r *replica) bool { return !r.alive() })
}

// end stops all that runs.
func (w *world) end() {
	for _, r := range w.replicas {
		r.heal()
		if r.alive() {
			r.stop()
		}
		r.ended.Wait()
	}
}

// journal keeps what happened, to be shown if it went wrong.
type journal struct {
	began time.Time

	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.text, "%9.3f "+format+"\n", append([]any{time.Since(j.began).Seconds()}, args...)...)
}

// Write takes a line of a process's log.
func (j *journal) Write(p []byte) (int, error) {
	j.note("  %s", bytes.TrimSpace(p))
	return len(p), nil
}

func (j *journal) handler(name string) slog.Handler {
	return slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}).WithAttrs([]slog.Attr{slog.String("process", name)})
}

// shown is how much of a journal is shown: its end.
const shown = 20_000

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := j.text.Bytes()
	return string(text[max(0, len(text)-shown):])
}
