package consumer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// growthTail is how many real events are read at the end of the long stream, and from a stream that has nothing else.
const growthTail = 200_000

// BenchmarkGrowthStream compares reading at the beginning and at the end of a stream of RUNMETRICS_BENCH_MESSAGES (2,000,000),
// and tells what memory such a stream takes of its server, and how long the server takes to start with it. All but the last
// 200,000 messages have one byte: what grows with a stream are its files' indexes and the list of its subjects, one for ten
// messages here as for a run of ten agents; bytes that are not read do not count. The store says that the reader has been there.
func BenchmarkGrowthStream(b *testing.B) {
	filler := fromEnvironment(b, "RUNMETRICS_BENCH_MESSAGES", 2_000_000)
	postgres := sinktest.StartPostgres(b)
	long := newLongStream(b, filler)
	short := &longStream{broker: startBroker(b)}
	short.publishTail(b)
	for range benchRounds(b) {
		short.round(b, postgres)
		long.round(b, postgres)
	}
	b.ReportMetric(0, "ns/op")
	fmt.Printf("\nmedian of %d rounds (least-most)\n", benchRounds(b))
	fmt.Printf("%16s %26s %24s %26s %24s %24s\n", "messages before", "bare read, messages/s", "processors, µs", "committed, events/s",
		"processors, µs", "first commit after, ms")
	short.report()
	long.report()
	rate := func(s sample) float64 { return s.rate }
	fmt.Printf("bare read of messages of one byte: the first %d %v/s, the last ones %v/s\n", growthTail,
		spreadOf(long.head, rate), spreadOf(long.middle, rate))
	long.restart(b)
}

// longStream is a stream of events behind many other messages.
type longStream struct {
	*broker
	dir    string
	before uint64 // messages before the events
	heap   int64  // bytes that these take of the server's memory

	bare, committed, head, middle []sample
	started                       []time.Duration
}

func newLongStream(b *testing.B, filler int) *longStream {
	l := &longStream{dir: b.TempDir(), before: uint64(filler)}
	l.start(b)
	if _, err := l.js.CreateStream(b.Context(), consumer.StreamConfig(streamName, 64<<30)); err != nil {
		b.Fatal(err)
	}
	empty := heapInUse()
	began := time.Now()
	l.publishFiller(b)
	fmt.Printf("\n%d messages were published within %v\n", filler, time.Since(began).Round(time.Second))
	l.heap = heapInUse() - empty
	l.publishTail(b)
	return l
}

// start starts the server, with what its directory holds.
func (l *longStream) start(b *testing.B) {
	s, err := server.NewServer(&server.Options{ServerName: "long", JetStream: true, StoreDir: l.dir, DontListen: true, NoSigs: true,
		NoLog: true, JetStreamMaxStore: 64 << 30, JetStreamMaxMemory: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Minute) {
		b.Fatal("the server did not start")
	}
	l.broker = &broker{server: s}
	l.conn = l.connect(b)
	if l.js, err = jetstream.New(l.conn); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stopServer(s) })
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// publishFiller publishes without waiting for each message, but now and then for all before it.
func (l *longStream) publishFiller(b *testing.B) {
	const window = 2_000 // well below what the server takes in without storing it
	subject := []byte(events.SubjectPrefix + ".filler.run-")
	for i := range int(l.before) {
		subject := string(strconv.AppendInt(subject, int64(i/10), 10))
		var err error
		if (i+1)%window == 0 || i+1 == int(l.before) {
			_, err = l.js.Publish(b.Context(), subject, []byte{'0'})
		} else {
			err = l.conn.Publish(subject, []byte{'0'})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// publishTail publishes the events, and checks that all messages are in the stream.
func (l *longStream) publishTail(b *testing.B) {
	const part = 10_000
	for from := 0; from < growthTail; from += part {
		list := make([]events.Event, part)
		for i := range list {
			n := from + i
			list[i] = growthExecution(growthKey("tail", n/400*40+n%40), growthID(2, n), n%400/40)
		}
		l.publish(b, messagesOf(list)...)
	}
	l.check(b)
}

func (l *longStream) check(b *testing.B) *jetstream.StreamInfo {
	stream, err := l.js.Stream(b.Context(), streamName)
	if err != nil {
		b.Fatal(err)
	}
	info := stream.CachedInfo()
	if want := l.before + growthTail; info.State.Msgs != want || info.State.LastSeq != want {
		b.Fatalf("the stream holds %d messages, want %d", info.State.Msgs, want)
	}
	return info
}

func (l *longStream) round(b *testing.B, postgres *sinktest.PostgresServer) {
	scoped(b, func(tb testing.TB) {
		from := func(sequence uint64) sample {
			return l.read(tb, postgres, growthTail, jetstream.ConsumerConfig{Durable: "bare", AckPolicy: jetstream.AckNonePolicy,
				DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence})
		}
		l.bare = append(l.bare, from(l.before+1))
		if l.before >= growthTail {
			l.head, l.middle = append(l.head, from(1)), append(l.middle, from(l.before-growthTail+1))
		}
		l.commitTail(tb, b, postgres)
	})
}

// commitTail runs the pipeline over the events, into a store that has everything before them.
func (l *longStream) commitTail(tb testing.TB, b *testing.B, postgres *sinktest.PostgresServer) {
	store := openPostgres(tb, postgres)
	l.standAt(tb, b, store)
	id, err := store.Identity(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	deployment := "growth-" + id.Ledger.String()
	watch := l.watchCommits(tb, deployment)
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Minute)
	defer cancel()
	m := startStopwatch(tb, postgres)
	r := l.startReader(tb, store, func(c *consumer.Config) { c.Deployment, c.Log = deployment, nil })
	if err := watch.Wait(ctx, streamName, l.before+1); err != nil {
		tb.Fatalf("wait for the first commit: %v; %+v", err, r.Status())
	}
	l.started = append(l.started, time.Since(m.began))
	if err := watch.Wait(ctx, streamName, l.before+growthTail); err != nil {
		tb.Fatalf("wait for all commits: %v; %+v", err, r.Status())
	}
	l.committed = append(l.committed, m.stop(tb, growthTail))
	if err := r.stop(); err != nil {
		tb.Fatal(err)
	}
	if s := r.Status(); s.Applied != growthTail || s.Duplicates > 0 || s.DeadLetters > 0 {
		tb.Fatalf("%d events applied, want %d: %+v", s.Applied, growthTail, s)
	}
}

// standAt commits a position behind all that comes before the events.
func (l *longStream) standAt(tb testing.TB, b *testing.B, store sinks.Store) {
	if l.before == 0 {
		return
	}
	info := l.check(b)
	stream, err := l.js.Stream(tb.Context(), streamName)
	if err != nil {
		tb.Fatal(err)
	}
	message, err := stream.GetMsg(tb.Context(), l.before)
	if err != nil {
		tb.Fatal(err)
	}
	next := sinks.Position{Stream: streamName, Epoch: 1, Created: info.Created, Sequence: l.before, MessageTime: message.Time,
		Gone: int64(l.before)}
	if err := store.Commit(tb.Context(), sinks.Position{Stream: streamName}, &sinks.Batch{Next: next, At: time.Now()}); err != nil {
		tb.Fatal(err)
	}
}

func (l *longStream) report() {
	rate := func(s sample) float64 { return s.rate }
	used := func(s sample) float64 { return s.own + s.postgres }
	fmt.Printf("%16d %26v %24v %26v %24v %24v\n", l.before, spreadOf(l.bare, rate), spreadOf(l.bare, used),
		spreadOf(l.committed, rate), spreadOf(l.committed, used), spreadOf(l.started, ms))
}

// restart measures how long the server takes to start after an orderly end, and where its index of the messages is gone, so
// that it has to read all of them.
func (l *longStream) restart(b *testing.B) {
	for _, end := range []string{"an orderly end", "the loss of its index"} {
		l.conn.Close()
		stopServer(l.server)
		if end != "an orderly end" {
			found, err := filepath.Glob(filepath.Join(l.dir, "jetstream", "*", "streams", streamName, "msgs", "index.db"))
			if err != nil || len(found) != 1 {
				b.Fatalf("found %v as the stream's index: %v", found, err)
			}
			if err := os.Remove(found[0]); err != nil {
				b.Fatal(err)
			}
		}
		began := time.Now()
		l.start(b)
		l.check(b)
		fmt.Printf("the server started within %v after %s\n", time.Since(began).Round(time.Millisecond), end)
	}
	fmt.Printf("%d messages on %d subjects take %.0f MB of the server's heap; the whole process has %.0f MB\n", l.before,
		l.before/10, float64(l.heap)/1e6, float64(resident(b, "VmRSS:"))/1e6)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}
