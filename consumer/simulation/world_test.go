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
		time.Sleep(s.wait)
		synctest.Wait()
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

// patience is how long after the last fault everything must be committed: a pin that nobody holds, then a look at the
// stream, and retries that had grown.
const patience = 2 * time.Minute

// heal ends all faults. Within patience everything must be committed. A reader learns of a restored database when it
// commits, so every stream gets one more event first; and one at last, which must find everything as it was.
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
	for seed := range uint64(2) {
		for _, s := range w.streams {
			if err := w.publish(ctx, s, seed, 1, false); err != nil {
				return err
			}
		}
		if err := w.committed(ctx); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(patience); !w.active(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not active again within %s:\n%s", patience, w.states())
		}
	}
	return nil
}

// committed waits until the streams are read to their ends, and checks.
func (w *world) committed(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(250 * time.Millisecond) {
		synctest.Wait()
		if err := w.follow(ctx); err != nil {
			return err
		}
		behind := 0
		for _, s := range w.streams {
			p, err := w.database.store.Position(ctx, s.name)
			if err != nil {
				return err
			}
			t := s.now()
			if len(t.messages) > 0 && (!p.Created.Equal(t.created) || p.Sequence < uint64(len(t.messages))) {
				behind++
			}
		}
		if behind == 0 {
			return w.check(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d streams are not read to their ends within %s:\n%s", behind, patience, w.states())
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
