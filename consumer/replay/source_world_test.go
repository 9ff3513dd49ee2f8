package replay_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

const streamName = "RUN_EVENTS"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is an embedded NATS server with a stream of run events, of which any message may be deleted.
type broker struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

func startBroker(t testing.TB) *broker {
	t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: t.Name(), JetStream: true, StoreDir: t.TempDir(),
		DontListen: true, NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("embedded NATS did not start")
	}
	b := &broker{server: s}
	t.Cleanup(b.stop)
	b.conn, err = nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.conn.Close)
	if b.js, err = jetstream.New(b.conn); err != nil {
		t.Fatal(err)
	}
	b.createStream(t)
	return b
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broker) createStream(t testing.TB) jetstream.Stream {
	t.Helper()
	stream, err := b.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streamName,
		Subjects: []string{events.SubjectPrefix + ".>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func (b *broker) stream(t testing.TB) jetstream.Stream {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// publish stores messages and returns when all are.
func (b *broker) publish(t testing.TB, messages ...*nats.Msg) {
	t.Helper()
	for i, m := range messages {
		if _, err := b.js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 || i == len(messages)-1 {
			<-b.js.PublishAsyncComplete()
		}
	}
}

// publishRuns stores n executions, those of ten runs in turn.
func (b *broker) publishRuns(t testing.TB, n int) []events.Event {
	t.Helper()
	list := make([]events.Event, n)
	for i := range list {
		list[i] = finished(fmt.Sprintf("run %d", i%10), i)
	}
	for from := 0; from < n; from += 1000 {
		var messages []*nats.Msg
		for i := from; i < min(from+1000, n); i++ {
			messages = append(messages, messageOf(&list[i]))
		}
		b.publish(t, messages...)
	}
	return list
}

func messageOf(e *events.Event) *nats.Msg {
	return &nats.Msg{Subject: events.Subject(e.CampaignID, e.RunID), Data: events.Encode(e)}
}

// open opens the stream of the broker, to be read in many small lists.
func (b *broker) open(t testing.TB, c replay.StreamConfig) *replay.Stream {
	t.Helper()
	c.Stream = streamName
	s, err := replay.OpenStream(t.Context(), b.js, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, bench := t.(*testing.B); !bench {
		s.SetList(100)
	}
	return s
}

// sequences reads a source to its end.
func sequences(t testing.TB, source replay.Source) []uint64 {
	t.Helper()
	var list []uint64
	err := source.Read(t.Context(), func(r *replay.Record) error {
		list = append(list, r.Sequence)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// countTo is 1 to n.
func countTo(n int) []uint64 { return between(1, n) }

func between(from, to int) []uint64 {
	var list []uint64
	for n := from; n <= to; n++ {
		list = append(list, uint64(n))
	}
	return list
}

// deleteConsumers does what a broker does that lost its memory.
func (b *broker) deleteConsumers(ctx context.Context) error {
	stream, err := b.js.Stream(ctx, streamName)
	if err != nil {
		return err
	}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if err := stream.DeleteConsumer(ctx, name); err != nil {
			return err
		}
	}
	return names.Err()
}

// finished makes an execution of agent n of a run.
func finished(run string, n int) events.Event {
	return events.Event{
		Key: events.Key{CampaignID: fmt.Sprintf("campaign.%d", n%3), RunID: run, Phase: "main"},
		ID:  fmt.Sprintf("%s-%d", run, n), Type: events.AgentFinished,
		OccurredAt: time.Date(2026, 2, 14, 14, 0, n%3600, 0, time.UTC),
		AgentID:    fmt.Sprintf("agent-%d", n), Attempt: 1, Status: events.Succeeded,
		LatencyMs: int64(100 + n%977), TokensIn: int64(n), TokensOut: 7, AssetsGenerated: 1,
		Cost: events.USD(events.Nanos(59_133_500 + n)),
	}
}
