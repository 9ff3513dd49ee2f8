package publish_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// load publishes executions from several goroutines until it is told to stop.
type load struct {
	accepted atomic.Int64 // executions 0 to accepted-1, once stop has returned; before, each goroutine may wait with one
	quit     chan struct{}
	running  sync.WaitGroup
}

// publishing is how many goroutines publish at once.
const publishing = 4

func startLoad(t *testing.T, p *publish.Publisher) *load {
	t.Helper()
	l := &load{quit: make(chan struct{})}
	for range publishing {
		l.running.Go(func() {
			for {
				select {
				case <-l.quit:
					return
				default:
				}
				e := execution(int(l.accepted.Add(1) - 1))
				if err := p.Publish(t.Context(), &e); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return l
}

func (l *load) stop() {
	close(l.quit)
	l.running.Wait()
}

// wantAll compares the stream with what was published: nothing lost, nothing double, nothing else, and each as it was.
func (l *load) wantAll(t *testing.T, b *broker) {
	t.Helper()
	stored := b.storedEvents(t)
	n := int(l.accepted.Load())
	if messages := b.messages(t); len(stored) != n || messages != n {
		t.Errorf("the stream has %d of %d events in %d messages", len(stored), n, messages)
	}
	for i := range n {
		e := execution(i)
		if got := stored[events.MessageID(&e)]; string(events.Encode(&got)) != string(events.Encode(&e)) {
			t.Fatalf("of %s the stream has %s", events.Encode(&e), events.Encode(&got))
		}
	}
}

// luck is what a test draws from; RUNMETRICS_TEST_SEED repeats a run.
func luck(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("RUNMETRICS_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("RUNMETRICS_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestACutConnectionLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	random := luck(t)
	b := startBroker(t)
	b.createStream(t)
	between := startProxy(t, b)
	conn, err := nats.Connect(between.url(), eager...)
	must(t, err)
	defer conn.Close()
	p := open(t, publish.Config{Conn: conn, MaxInFlight: 100})
	l := startLoad(t, p)
	const cuts = 12
	for i := range uint64(cuts) {
		between.deaf.Store(random.IntN(2) == 0)
		if between.deaf.Load() {
			// The broker stores messages, and its answers are lost.
			at := int(l.accepted.Load()) - publishing
			until(t, "the broker has what was accepted", func() bool { return b.messages(t) >= at })
		} else {
			at := l.accepted.Load() + random.Int64N(1000)
			until(t, "more is accepted", func() bool { return l.accepted.Load() >= at })
		}
		between.cut()
		between.deaf.Store(false)
		until(t, "it is connected again", func() bool { return conn.Stats().Reconnects > i && conn.IsConnected() })
	}
	l.stop()
	must(t, p.Close(t.Context()))
	l.wantAll(t, b)
	t.Logf("%d events, %d cuts", l.accepted.Load(), cuts)
}

func TestARestartOfTheBrokerLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	random := luck(t)
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t, eager...), MaxInFlight: 100})
	l := startLoad(t, p)
	for range 3 {
		at := l.accepted.Load() + 200 + random.Int64N(2000)
		until(t, "more is accepted", func() bool { return l.accepted.Load() >= at })
		b.stop()
		b.start(t)
	}
	l.stop()
	must(t, p.Close(t.Context()))
	l.wantAll(t, b)
	t.Logf("%d events", l.accepted.Load())
}

func TestAPublisherThatIsClosedUnderLoadHasEverythingItAccepted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	var accepted sync.Map
	var running sync.WaitGroup
	for i := range publishing {
		running.Go(func() {
			for n := i; ; n += publishing {
				e := execution(n)
				if err := p.Publish(t.Context(), &e); err != nil {
					if !errors.Is(err, publish.ErrClosed) {
						t.Error(err)
					}
					return
				}
				accepted.Store(events.MessageID(&e), true)
			}
		})
	}
	until(t, "some are stored", func() bool { return b.messages(t) > 1000 })
	must(t, p.Close(t.Context()))
	running.Wait()
	stored := b.storedEvents(t)
	accepted.Range(func(id, _ any) bool {
		if _, found := stored[id.(string)]; !found {
			t.Errorf("%s is lost", id)
		}
		delete(stored, id.(string))
		return true
	})
	if len(stored) > 0 {
		t.Errorf("%d events are in the stream that were refused", len(stored))
	}
}

func TestALostAnswerIsAskedForAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes ten seconds")
	}
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	between := startProxy(t, b)
	conn, err := nats.Connect(between.url(), eager...)
	must(t, err)
	defer conn.Close()
	var duplicates atomic.Int64
	p := open(t, publish.Config{Conn: conn, Acknowledged: func(_ *nats.Msg, ack *jetstream.PubAck) {
		if ack.Duplicate {
			duplicates.Add(1)
		}
	}})
	between.deaf.Store(true)
	fill(t, p, 5)
	until(t, "the broker has them, and its answers are lost", func() bool { return b.messages(t) == 5 && between.lost.Load() == 5 })
	between.deaf.Store(false)
	must(t, p.Flush(t.Context()))
	if b.messages(t) != 5 || duplicates.Load() != 5 {
		t.Errorf("the stream has %d messages, and was sent %d again", b.messages(t), duplicates.Load())
	}
}

func TestAConnectionThatTakesNothingHoldsNobodyBeyondTheirContexts(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	between := startProxy(t, b)
	conn, err := nats.Connect(between.url(), append([]nats.Option{nats.FlusherTimeout(time.Second)}, eager...)...)
	must(t, err)
	defer conn.Close()
	p := open(t, publish.Config{Conn: conn, MaxInFlight: 400}) // 24 MiB, which is more than a connection buffers
	between.stuck.Lock()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var accepted int
	for ; err == nil; accepted++ {
		e := events.Event{Key: key, ID: strconv.Itoa(accepted), Type: events.ExecutionsVoided, OccurredAt: time.Now(),
			Voids: slices.Repeat([]string{strings.Repeat("v", 60)}, 1000)}
		err = p.Publish(ctx, &e)
	}
	accepted--
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish said %v", err)
	}
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush said %v", err)
	}
	between.stuck.Unlock()
	must(t, p.Close(t.Context()))
	if n := len(b.storedEvents(t)); n != accepted {
		t.Errorf("the stream has %d of %d events", n, accepted)
	}
}

// Not parallel, because it looks at the heap.
func TestMemoryIsBoundedWhileTheBrokerIsAway(t *testing.T) {
	b := startBroker(t)
	b.createStream(t)
	conn := b.connect(t, eager...)
	p := open(t, publish.Config{Conn: conn})
	b.stop()
	until(t, "the connection is lost", func() bool { return !conn.IsConnected() })
	before := heap()
	l := &load{quit: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	for range 8 {
		l.running.Go(func() {
			for {
				e := execution(int(l.accepted.Load()))
				e.Error = strings.Repeat("e", 2000) // long ones
				if p.Publish(ctx, &e) != nil {
					return
				}
				l.accepted.Add(1)
			}
		})
	}
	until(t, "no more is accepted", func() bool { return l.accepted.Load() == publish.DefaultMaxInFlight })
	grown := heap() - before
	if limit := int64(publish.DefaultMaxInFlight * 4 << 10); grown > limit {
		t.Errorf("%d events of 2.3 KiB take %d bytes, want at most %d", l.accepted.Load(), grown, limit)
	}
	t.Logf("%d events of 2.3 KiB take %d KiB", l.accepted.Load(), grown>>10)
	cancel()
	l.running.Wait()
	if n := l.accepted.Load(); n != publish.DefaultMaxInFlight {
		t.Errorf("accepted %d", n)
	}
	b.start(t)
	must(t, p.Flush(t.Context()))
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
