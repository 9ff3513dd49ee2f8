package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// replica is one process: a reader for each stream, a connection, and a way to the database.
type replica struct {
	name    string
	wire    *wire
	faulty  *sinktest.Faulty
	conn    *nats.Conn
	readers []*consumer.Reader
	cancel  context.CancelFunc
	ended   sync.WaitGroup

	mu     sync.Mutex
	faults map[sinktest.Method][]fault
	still  chan struct{} // closed when a paused process goes on, nil while it runs
	dead   bool
}

// fault is what becomes of one call of the database.
type fault struct {
	sinktest.Fault
	then then
}

// then is what becomes of the process that makes the call.
type then string

const (
	goesOn then = ""
	dies   then = " and dies of it"
	pauses then = " after a pause"
	hangs  then = " after the database hung"
)

// start starts a process. Its broker and its database may be away.
func (w *world) start(name string) (*replica, error) {
	r := &replica{name: name, wire: &wire{dial: w.dial}, faults: make(map[sinktest.Method][]fault)}
	r.faulty = sinktest.NewFaulty(w.database.store, r.plan)
	var err error
	// As cmd/runmetrics connects.
	r.conn, err = nats.Connect("", nats.InProcessServer(r.wire), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Second), nats.PingInterval(20*time.Second))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(r.conn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	for _, s := range w.streams {
		reader, err := consumer.New(consumer.Config{Conn: r.conn, JetStream: js, Stream: s.name, Deployment: "main",
			Ledger: &ledger{Faulty: r.faulty, replica: r}, Log: slog.New(w.log.handler(name))})
		if err != nil {
			return nil, err
		}
		r.readers = append(r.readers, reader)
		r.ended.Go(func() {
			if err := reader.Run(ctx); err != nil {
				w.log.note("%s: ended: %v", name, err)
			}
		})
	}
	return r, nil
}

// plan decides on a call before it takes place.
func (r *replica) plan(_ context.Context, m sinktest.Method, _ int) sinktest.Fault {
	r.runs()
	f := r.next(m)
	switch f.then {
	case dies:
		go r.kill()
	case pauses:
		r.pause()
		r.runs()
	case hangs:
		r.hang()
		r.runs()
	}
	return f.Fault
}

// next is what is planned for a call. A dead process reaches nothing, not even with the call that it dies of, unless that
// is stored.
func (r *replica) next(m sinktest.Method) fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return fault{sinktest.NotStored, goesOn}
	}
	queue := r.faults[m]
	if len(queue) == 0 {
		return fault{sinktest.None, goesOn}
	}
	r.faults[m] = queue[1:]
	if queue[0].then == dies {
		r.dead = true
	}
	return queue[0]
}

func (r *replica) expect(m sinktest.Method, f fault, times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range times {
		r.faults[m] = append(r.faults[m], f)
	}
}

// heal lets everything go well from now on.
func (r *replica) heal() {
	r.mu.Lock()
	r.faults = make(map[sinktest.Method][]fault)
	r.mu.Unlock()
	r.wire.heal()
	r.resume()
}

// pause is SIGSTOP, as far as others can see: nothing goes out, and what comes in waits.
func (r *replica) pause() {
	r.wire.pause()
	r.hang()
}

// hang holds up all calls of the database.
func (r *replica) hang() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.still == nil {
		r.still = make(chan struct{})
	}
}

func (r *replica) resume() {
	r.mu.Lock()
	if r.still != nil {
		close(r.still)
		r.still = nil
	}
	r.mu.Unlock()
	r.wire.resume()
}

// runs blocks while the process is paused.
func (r *replica) runs() {
	for {
		r.mu.Lock()
		still := r.still
		r.mu.Unlock()
		if still == nil {
			return
		}
		<-still
	}
}

// kill is kill -9: from now on nothing that the process does reaches anybody.
func (r *replica) kill() {
	r.mu.Lock()
	r.dead = true
	r.mu.Unlock()
	r.wire.die()
	r.cancel()
	r.resume()
	r.conn.Close()
}

// stop is SIGTERM.
func (r *replica) stop() {
	r.cancel()
	r.ended.Wait()
	r.conn.Close()
}

func (r *replica) paused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.still != nil
}

// threatened tells whether something is planned to go wrong, or hangs for ever: a process that hangs keeps its pin.
func (r *replica) threatened() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.still != nil && !r.wire.stands() {
		return true
	}
	for _, queue := range r.faults {
		if len(queue) > 0 {
			return true
		}
	}
	return r.wire.trapped()
}

func (r *replica) alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.dead
}

// ledger is the process's way to the database. A paused process does not see the answer either.
type ledger struct {
	*sinktest.Faulty
	replica *replica
}

// Commit may be answered long after it took place, and take place long after its caller gave up: what was sent cannot be
// called back.
func (l *ledger) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	err := l.Faulty.Commit(context.WithoutCancel(ctx), prev, b)
	l.replica.runs()
	if err == nil && !l.replica.alive() {
		return fmt.Errorf("commit: %w", sinks.ErrUnavailable)
	}
	return err
}

// Position may be answered long after it was read.
func (l *ledger) Position(ctx context.Context, stream string) (sinks.Position, error) {
	p, err := l.Faulty.Position(ctx, stream)
	l.replica.runs()
	return p, err
}
