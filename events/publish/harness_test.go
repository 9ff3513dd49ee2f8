package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(brokerVariable); url != "" {
		if err := runtimeMain(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long tests wait for what takes a moment: others may use the machine, too.
const patience = 60 * time.Second

// broker is a NATS server that is reached over TCP. It can be stopped and started again, on the same port and with the
// same files.
type broker struct {
	options server.Options
	server  *server.Server
	js      jetstream.JetStream
}

func startBroker(t testing.TB, change ...func(*server.Options)) *broker {
	t.Helper()
	b := &broker{options: server.Options{ServerName: "broker", Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		StoreDir: t.TempDir(), NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20}}
	for _, f := range change {
		f(&b.options)
	}
	b.start(t)
	b.options.Port = b.server.Addr().(*net.TCPAddr).Port
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start(t testing.TB) {
	t.Helper()
	var err error
	b.server, err = startServer(b.options)
	must(t, err)
}

// startServer is given its options by value, because the server changes them.
func startServer(options server.Options) (*server.Server, error) {
	s, err := server.NewServer(&options)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, errors.New("the broker did not start")
	}
	return s, nil
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broker) connect(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(b.server.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// stream is the stream of run events, as `runmetrics setup` makes it where that matters to who publishes.
var stream = jetstream.StreamConfig{Name: "RUN_EVENTS", Subjects: []string{events.SubjectPrefix + ".>"},
	Discard: jetstream.DiscardNew, MaxBytes: 1 << 30, Duplicates: 2 * time.Minute}

// jetStream is a connection of the test's own, which finds the broker again after a restart.
func (b *broker) jetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	if b.js == nil {
		var err error
		b.js, err = jetstream.New(b.connect(t, eager...))
		must(t, err)
	}
	return b.js
}

func (b *broker) createStream(t testing.TB) {
	t.Helper()
	_, err := b.jetStream(t).CreateStream(t.Context(), stream)
	must(t, err)
}

// messages is how many the stream has.
func (b *broker) messages(t testing.TB) int {
	t.Helper()
	s, err := b.jetStream(t).Stream(t.Context(), stream.Name)
	must(t, err)
	return int(s.CachedInfo().State.Msgs)
}

// stored reads the whole stream.
func (b *broker) stored(t testing.TB) []*nats.Msg {
	t.Helper()
	consumer, err := b.jetStream(t).OrderedConsumer(t.Context(), stream.Name, jetstream.OrderedConsumerConfig{})
	must(t, err)
	list := make([]*nats.Msg, 0, b.messages(t))
	for len(list) < cap(list) {
		batch, err := consumer.Fetch(cap(list)-len(list), jetstream.FetchMaxWait(patience))
		must(t, err)
		for m := range batch.Messages() {
			list = append(list, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		}
		must(t, batch.Error())
	}
	return list
}

// storedEvents reads the events of the stream, each once: what runmetrics makes of repetitions.
func (b *broker) storedEvents(t testing.TB) map[string]events.Event {
	t.Helper()
	list := make(map[string]events.Event)
	for _, m := range b.stored(t) {
		e, rejected := events.Decode(events.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Time: time.Now()})
		if rejected != nil {
			t.Fatalf("%s: %v", m.Data, rejected)
		}
		list[events.MessageID(&e)] = e
	}
	return list
}

// eager makes a connection come back as soon as it can.
var eager = []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(0, 0)}

// open makes a publisher that is closed with the test.
func open(t testing.TB, c publish.Config) *publish.Publisher {
	t.Helper()
	p, err := publish.New(c)
	must(t, err)
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ended) // what it has to say was asked before
	})
	return p
}

// outcomes collects what a publisher tells.
type outcomes struct {
	mu      sync.Mutex
	lost    []*nats.Msg
	retried []error
}

func (o *outcomes) givenUp(m *nats.Msg, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost = append(o.lost, m)
}

func (o *outcomes) retrying(_ *nats.Msg, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.retried = append(o.retried, err)
}

func (o *outcomes) messages() []*nats.Msg {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.lost)
}

func (o *outcomes) retries() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.retried)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until fails the test unless the condition becomes true in time.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}
