package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

const streamName = "RUN_EVENTS"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is an embedded NATS server with the stream of run events.
type broker struct {
	server *server.Server
	urls   string // of several servers instead
	conn   *nats.Conn
	js     jetstream.JetStream
}

func startBroker(t testing.TB, change ...func(*server.Options)) *broker {
	t.Helper()
	options := &server.Options{ServerName: t.Name(), JetStream: true, StoreDir: t.TempDir(),
		DontListen: true, NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20}
	for _, f := range change {
		f(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("embedded NATS did not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	b := &broker{server: s}
	b.conn = b.connect(t)
	if b.js, err = jetstream.New(b.conn); err != nil {
		t.Fatal(err)
	}
	b.createStream(t)
	return b
}

func (b *broker) createStream(t testing.TB) {
	t.Helper()
	const notMade jetstream.ErrorCode = 10049 // while the server still removes the directory of one of that name
	for try := 1; ; try++ {
		_, err := b.js.CreateStream(t.Context(), consumer.StreamConfig(streamName, 1<<30))
		var answer *jetstream.APIError
		switch {
		case err == nil:
			return
		case try == 10 || !errors.As(err, &answer) || answer.ErrorCode != notMade:
			t.Fatal(err)
		}
		<-time.After(200 * time.Millisecond)
	}
}

func (b *broker) connect(t testing.TB) *nats.Conn {
	t.Helper()
	options := []nats.Option{nats.MaxReconnects(-1)}
	if b.server != nil {
		options = append(options, nats.InProcessServer(b.server))
	}
	conn, err := nats.Connect(b.urls, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// publish stores messages without a message id, so that the broker drops none.
func (b *broker) publish(t testing.TB, messages ...*nats.Msg) (last uint64) {
	t.Helper()
	const window = 1000 // below the client's limit of messages under way
	for len(messages) > 0 {
		part := messages[:min(len(messages), window)]
		messages = messages[len(part):]
		acks := make([]jetstream.PubAckFuture, len(part))
		for i, m := range part {
			var err error
			if acks[i], err = b.js.PublishMsgAsync(m); err != nil {
				t.Fatal(err)
			}
		}
		for _, ack := range acks {
			select {
			case ok := <-ack.Ok():
				last = max(last, ok.Sequence)
			case err := <-ack.Err():
				t.Fatal(err)
			}
		}
	}
	return last
}

func messageOf(e *events.Event) *nats.Msg {
	return &nats.Msg{Subject: events.Subject(e.CampaignID, e.RunID), Data: events.Encode(e)}
}

func messagesOf(list []events.Event) []*nats.Msg {
	out := make([]*nats.Msg, len(list))
	for i := range list {
		out[i] = messageOf(&list[i])
	}
	return out
}

func openSQLite(t testing.TB) *sqlite.Store {
	t.Helper()
	return openSQLiteAt(t, t.TempDir()+"/runmetrics.db")
}

func openSQLiteAt(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// running is a reader in a goroutine.
type running struct {
	*consumer.Reader
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run, once done is closed
}

// stop ends the reader as SIGTERM does and returns what Run returned.
func (r *running) stop() error {
	r.cancel()
	<-r.done
	return r.err
}

// ended waits for a reader that gives up by itself.
func (r *running) ended(t *testing.T) error {
	t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(30 * time.Second):
		t.Fatal("the reader goes on")
		return nil
	}
}

// startReader runs a reader with a connection of its own until stop or the end of the test.
func (b *broker) startReader(t testing.TB, ledger sinks.Ledger, change ...func(*consumer.Config)) *running {
	t.Helper()
	conn := b.connect(t)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	c := consumer.Config{Conn: conn, JetStream: js, Stream: streamName, Deployment: "main", Ledger: ledger,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range change {
		f(&c)
	}
	reader, err := consumer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Reader: reader, cancel: cancel, done: make(chan struct{})}
	go func() {
		r.err = reader.Run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() { r.stop() })
	return r
}

// testWriter sends log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

// waitCommitted blocks until the position of the newest epoch reaches sequence, woken by announcements.
func waitCommitted(t *testing.T, b *broker, ledger sinks.Ledger, sequence uint64) sinks.Position {
	t.Helper()
	announced := make(chan *nats.Msg, 1024)
	sub, err := b.conn.ChanSubscribe(consumer.ChangedSubject("main"), announced)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(60 * time.Second)
	for {
		p, err := ledger.Position(t.Context(), streamName)
		if err == nil && p.Sequence >= sequence {
			return p
		}
		select {
		case <-announced:
		case <-time.After(250 * time.Millisecond): // an announcement is a hint and may be missed
		case <-deadline:
			t.Fatalf("not committed after 60 s: position %+v (%v), want sequence %d", p, err, sequence)
		}
	}
}

// expect folds events as the contract says and compares every record with the store.
func expect(t *testing.T, store sinks.Reader, list []events.Event) {
	t.Helper()
	want := map[events.Key]*aggregate.Run{}
	for i := range list {
		run := want[list[i].Key]
		if run == nil {
			run = aggregate.NewRun(list[i].Key)
			want[list[i].Key] = run
		}
		run.Apply(&list[i])
	}
	for key, run := range want {
		got, ok, err := store.Get(t.Context(), run.UUID())
		if err != nil || !ok {
			t.Fatalf("run %v: stored %v, error %v", key, ok, err)
		}
		record := run.Metrics()
		record.Version, record.UpdatedAt = got.Version, got.UpdatedAt
		if a, b := asJSON(t, record), asJSON(t, got); a != b {
			t.Fatalf("run %v\nwant %s\ngot  %s", key, a, b)
		}
	}
	all, err := store.List(t.Context(), sinks.Filter{}, nil, 500)
	if err != nil {
		t.Fatal(err)
	}
	if len(want) < 500 && len(all) != len(want) {
		t.Fatalf("%d runs are stored, want %d", len(all), len(want))
	}
}

// finished makes an execution of agent n of a run.
func finished(run string, n int) events.Event {
	return events.Event{
		Key: events.Key{CampaignID: "campaign", RunID: run, Phase: "main"},
		ID:  fmt.Sprintf("%s-%d", run, n), Type: events.AgentFinished,
		OccurredAt: time.Date(2026, 2, 14, 14, 0, n%3600, 0, time.UTC),
		AgentID:    fmt.Sprintf("agent-%d", n), Attempt: 1, Status: events.Succeeded,
		LatencyMs: int64(100 + n%977), TokensIn: int64(n), TokensOut: 7, AssetsGenerated: 1,
		Cost: events.USD(events.Nanos(59_133_500 + n)),
	}
}

// history interleaves n executions over runs of ten agents each.
func history(n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = finished(fmt.Sprintf("run-%d", i/400*40+i%40), i)
	}
	return list
}
