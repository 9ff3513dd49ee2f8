package timeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// world is a broker, a store that can be away, and all events that were ever published.
type world struct {
	*testing.T
	*broker
	store *sqlite.Store
	away  atomic.Bool // the store, for readers
	full  atomic.Bool // the store: it can be read only
	made  int
}

// play runs f in a world of its own, in virtual time.
func play(t *testing.T, f func(w *world)) {
	t.Helper()
	runtime.GC() // the timers of the last world are in a pool of nats.go, which two collections empty
	runtime.GC()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, broker: startBroker(t, t.TempDir()+"/jetstream")}
		w.createStream()
		var err error
		w.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/runmetrics.db"})
		must(t, err)
		t.Cleanup(func() { w.store.Close() })
		f(w)
	})
}

// make makes the next n events.
func (w *world) make(n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		k := w.made
		w.made++
		list[i] = events.Event{
			Key: events.Key{CampaignID: "campaign", RunID: fmt.Sprint("run-", k%20), Phase: "main"},
			ID:  fmt.Sprint("event-", k), Type: events.AgentFinished,
			OccurredAt: time.Now().UTC().Truncate(time.Microsecond), AgentID: fmt.Sprint("agent-", k), Attempt: 1,
			Status: events.Succeeded, LatencyMs: int64(k), TokensIn: int64(k), Cost: events.USD(events.Nanos(k)),
		}
	}
	return list
}

// publish stores events in the broker's stream, each at a time of its own.
func (b *broker) publish(list []events.Event) []events.Event {
	b.t.Helper()
	for i := range list {
		pass()
		_, err := b.js.Publish(b.t.Context(), events.Subject(list[i].CampaignID, list[i].RunID), events.Encode(&list[i]))
		must(b.t, err)
	}
	return list
}

// reading is a reader and what it says.
type reading struct {
	*consumer.Reader
	t      testing.TB
	conn   *nats.Conn
	cancel context.CancelFunc
	done   chan struct{}

	mu  sync.Mutex
	log strings.Builder
}

// read starts a reader of a broker.
func (w *world) read(b *broker) *reading {
	w.Helper()
	r := &reading{t: w.T, done: make(chan struct{})}
	var err error
	r.conn, err = nats.Connect("", nats.InProcessServer(b), nats.MaxReconnects(-1))
	must(w, err)
	js, err := jetstream.New(r.conn)
	must(w, err)
	ledger := sinktest.NewFaulty(w.store, func(_ context.Context, m sinktest.Method, _ int) sinktest.Fault {
		if w.away.Load() || w.full.Load() && m == sinktest.Commit {
			return sinktest.NotStored
		}
		return sinktest.None
	})
	r.Reader, err = consumer.New(consumer.Config{Conn: r.conn, JetStream: js, Stream: streamName, Deployment: "main",
		Ledger: ledger, Log: slog.New(slog.NewTextHandler(r, nil))})
	must(w, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		_ = r.Run(ctx)
	}()
	w.Cleanup(r.stop)
	return r
}

// stop ends the reader as SIGTERM does.
func (r *reading) stop() {
	r.cancel()
	<-r.done
	r.conn.Close()
}

// Write takes a line of the log.
func (r *reading) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t.Logf("%s", line)
	return r.log.Write(line)
}

// shows tells whether the note says this.
func (r *reading) shows(what string) bool { return strings.Contains(r.Status().Note, what) }

// logs tells whether the log said this.
func (r *reading) logs(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), what)
}

// until waits for something to become true and returns how long that took.
func (w *world) until(limit time.Duration, what string, f func() bool) time.Duration {
	w.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > limit {
			w.Fatalf("not within %s: %s; position %+v", limit, what, w.position())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (w *world) position() sinks.Position {
	w.Helper()
	p, err := w.store.Position(w.Context(), streamName)
	must(w, err)
	return p
}

// reaches waits until the store is there.
func (w *world) reaches(limit time.Duration, epoch int64, sequence uint64) time.Duration {
	w.Helper()
	return w.until(limit, fmt.Sprintf("epoch %d, sequence %d", epoch, sequence), func() bool {
		p := w.position()
		return p.Epoch == epoch && p.Sequence == sequence
	})
}

// holds fails the test unless the records are those of exactly these events.
func (w *world) holds(lists ...[]events.Event) {
	w.Helper()
	want := make(map[events.Key]*aggregate.Run)
	for _, list := range lists {
		for i := range list {
			run := want[list[i].Key]
			if run == nil {
				run = aggregate.NewRun(list[i].Key)
				want[list[i].Key] = run
			}
			run.Apply(&list[i])
		}
	}
	stored, err := w.store.List(w.Context(), sinks.Filter{}, nil, 500)
	must(w, err)
	if len(stored) != len(want) {
		w.Errorf("%d runs are stored, want %d", len(stored), len(want))
	}
	for _, got := range stored {
		if want[got.Key()] == nil {
			w.Errorf("run %v should not be there", got.Key())
			continue
		}
		record := want[got.Key()].Metrics()
		record.Version, record.UpdatedAt = got.Version, got.UpdatedAt
		if a, b := asJSON(w, record), asJSON(w, got); a != b {
			w.Errorf("run %v\nwant %s\n got %s", got.Key(), a, b)
		}
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	must(t, err)
	return string(text)
}
