// Package sharing plays several processes that share streams, in virtual time: minutes of theirs pass in seconds. Its
// tests have a directory of their own, because clocks of both kinds do not go into one binary: nats.go keeps timers in a
// pool.
package sharing

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/aggregate/aggregatetest"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

func TestMain(m *testing.M) {
	ats.Register() // the server's clock is of the whole process: it must not begin in virtual time
	os.Exit(m.Run())
}

// world is a broker with streams, a store, and the processes that read the ones into the other.
type world struct {
	t       *testing.T
	server  *server.Server
	js      jetstream.JetStream
	store   *sqlite.Store
	streams []string
	living  []*process

	mu        sync.Mutex
	published map[string][]events.Event // by stream
	moves     int                       // readers that were told that they read, and were not told so before
}

// play runs f with a world of so many streams.
func play(t *testing.T, streams int, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, published: make(map[string][]events.Event)}
		w.open(streams)
		f(w)
	})
}

func (w *world) open(streams int) {
	t := w.t
	var err error
	w.server, err = server.NewServer(&server.Options{ServerName: "sharing", JetStream: true, StoreDir: t.TempDir(),
		DontListen: true, NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20})
	w.must(err)
	w.server.Start()
	if !w.server.ReadyForConnections(10 * time.Second) {
		t.Fatal("embedded NATS did not start")
	}
	t.Cleanup(func() {
		w.server.Shutdown()
		w.server.WaitForShutdown()
	})
	w.js, err = jetstream.New(w.connect())
	w.must(err)
	for n := range streams {
		config := consumer.StreamConfig(fmt.Sprintf("RUN_EVENTS_%d", n), 64<<20)
		config.Subjects = []string{fmt.Sprintf("runs.%d.>", n)}
		_, err := w.js.CreateStream(t.Context(), config)
		w.must(err)
		w.streams = append(w.streams, config.Name)
	}
	w.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/runmetrics.db"})
	w.must(err)
	t.Cleanup(func() { w.store.Close() })
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect() *nats.Conn {
	w.t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(w.server), nats.MaxReconnects(-1))
	w.must(err)
	w.t.Cleanup(conn.Close)
	return conn
}

// process reads all streams of the world, or would.
type process struct {
	conn    *nats.Conn
	readers []*consumer.Reader
	cancel  context.CancelFunc
	all     sync.WaitGroup
}

// start starts a process with a way of its own to the store.
func (w *world) start(name string, ledger sinks.Ledger) *process {
	t := w.t
	t.Helper()
	p := &process{conn: w.connect()}
	js, err := jetstream.New(p.conn)
	w.must(err)
	log := slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("process", name)
	for _, stream := range w.streams {
		r, err := consumer.New(consumer.Config{Conn: p.conn, JetStream: js, Stream: stream, Deployment: "main",
			Ledger: ledger, Own: w.count(), Log: log})
		w.must(err)
		p.readers = append(p.readers, r)
	}
	shares, err := consumer.NewShares(p.readers)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.all.Go(func() { _ = shares.Run(ctx) })
	for _, r := range p.readers {
		p.all.Go(func() { _ = r.Run(ctx) })
	}
	t.Cleanup(p.stop)
	w.living = append(w.living, p)
	return p
}

// count counts a reader's moves.
func (w *world) count() func(bool) {
	reads := false
	return func(own bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if own && !reads {
			w.moves++
		}
		reads = own
	}
}

// stop ends the process as SIGTERM does.
func (p *process) stop() {
	p.cancel()
	p.all.Wait()
}

// end takes a process out of the world: with its goodbyes, or as kill -9 does.
func (w *world) end(p *process, kill bool) {
	w.living = slices.DeleteFunc(w.living, func(q *process) bool { return q == p })
	if kill {
		p.conn.Close()
	}
	p.stop()
}

// shares says how many streams each living process reads; not ok while a stream has not exactly one reader.
func (w *world) shares() (shares []int, ok bool) {
	readers := make([]int, len(w.streams))
	for _, p := range w.living {
		n := 0
		for i, r := range p.readers {
			if r.Status().State == consumer.Active {
				n++
				readers[i]++
			}
		}
		shares = append(shares, n)
	}
	return shares, !slices.ContainsFunc(readers, func(n int) bool { return n != 1 })
}

func (w *world) even() bool {
	shares, ok := w.shares()
	return ok && slices.Max(shares)-slices.Min(shares) <= 1
}

// until waits for something to become true, and returns how long that took.
func (w *world) until(limit time.Duration, what string, f func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > limit {
			shares, _ := w.shares()
			w.t.Fatalf("not within %s: %s (shares %v)", limit, what, shares)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

// flow publishes to all streams until stop is called.
func (w *world) flow(every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var publishing sync.WaitGroup
	for n := range w.streams {
		publishing.Go(func() {
			for ctx.Err() == nil {
				w.publish(n)
				time.Sleep(every)
			}
		})
	}
	stop = func() {
		cancel()
		publishing.Wait()
	}
	w.t.Cleanup(stop)
	return stop
}

// publish stores one more event in the nth stream.
func (w *world) publish(n int) {
	stream := w.streams[n]
	w.mu.Lock()
	i := len(w.published[stream])
	e := events.Event{
		Key: events.Key{CampaignID: "campaign", RunID: fmt.Sprintf("run-%d-%d", n, i%3), Phase: "main"},
		ID:  fmt.Sprintf("execution-%d", i), Type: events.AgentFinished, OccurredAt: time.Now().UTC().Truncate(time.Microsecond),
		AgentID: fmt.Sprintf("agent-%d", i%50), Attempt: int64(i/50 + 1), Status: events.Succeeded, LatencyMs: int64(i), TokensIn: 1,
	}
	w.published[stream] = append(w.published[stream], e)
	w.mu.Unlock()
	subject := strings.Replace(events.Subject(e.CampaignID, e.RunID), "runs.", fmt.Sprintf("runs.%d.", n), 1)
	if _, err := w.js.Publish(context.Background(), subject, events.Encode(&e)); err != nil {
		w.t.Error(err)
	}
}

// committed tells whether everything that was published is.
func (w *world) committed() bool {
	for stream, list := range w.published {
		p, err := w.store.Position(w.t.Context(), stream)
		w.must(err)
		if p.Sequence < uint64(len(list)) {
			return false
		}
	}
	return true
}

// expectAll waits for the last commits, and checks that each event was applied once.
func (w *world) expectAll() {
	t := w.t
	t.Helper()
	w.until(time.Minute, "everything is committed", w.committed)
	runs := make(map[events.Key][]events.Event)
	for stream, list := range w.published {
		p, err := w.store.Position(t.Context(), stream)
		w.must(err)
		if n := int64(len(list)); p.Sequence != uint64(n) || p.Applied != n || p.Duplicates+p.DeadLetters+p.Gone != 0 {
			t.Errorf("position %+v, want %d applied", p, n)
		}
		for _, e := range list {
			runs[e.Key] = append(runs[e.Key], e)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(runs), func(a, b events.Key) int { return strings.Compare(a.RunID, b.RunID) }) {
		want := aggregatetest.Judge(runs[key])
		got, ok, err := w.store.Get(t.Context(), key.UUID())
		if err != nil || !ok {
			t.Fatalf("%v is stored: %v, error %v", key, ok, err)
		}
		want.Version, want.UpdatedAt = got.Version, got.UpdatedAt
		if a, b := asJSON(t, want), asJSON(t, got); a != b {
			t.Errorf("run %v\nwant %s\ngot  %s", key, a, b)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// writer sends log lines to the test's log.
type writer struct{ t *testing.T }

func (w writer) Write(p []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("15:04:05.000"), p)
	return len(p), nil
}
