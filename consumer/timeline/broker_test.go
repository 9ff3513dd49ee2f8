package timeline

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

const streamName = "RUN_EVENTS"

// broker is a NATS server that can be stopped, put back to a copy of its files, and started again. Its operator's
// connection goes with each start; the readers' find the next one by themselves.
type broker struct {
	t    testing.TB
	dir  string
	js   jetstream.JetStream
	conn *nats.Conn // of js

	mu     sync.Mutex
	server *server.Server // nil while it is stopped
	closed bool           // to readers
}

func startBroker(t testing.TB, dir string) *broker {
	b := &broker{t: t, dir: dir}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "timeline", JetStream: true, StoreDir: b.dir, DontListen: true,
		NoSigs: true, NoLog: true, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20})
	must(b.t, err)
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		b.t.Fatal("embedded NATS did not start")
	}
	b.conn, err = nats.Connect("", nats.InProcessServer(s))
	must(b.t, err)
	b.js, err = jetstream.New(b.conn)
	must(b.t, err)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.server = s
}

func (b *broker) stop() {
	b.mu.Lock()
	s := b.server
	b.server = nil
	b.mu.Unlock()
	if s == nil {
		return
	}
	b.conn.Close()
	s.Shutdown()
	s.WaitForShutdown()
}

// InProcessConn is how readers connect: to the server that runs now, if they are let in.
func (b *broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil || b.closed {
		return nil, errors.New("the broker is away")
	}
	return b.server.InProcessConn()
}

// letIn opens the broker to readers, or closes it to new connections of theirs.
func (b *broker) letIn(open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = !open
}

// save stops the broker, copies its files and starts it again.
func (b *broker) save() (backup string) {
	b.t.Helper()
	b.stop()
	backup = b.t.TempDir()
	must(b.t, os.CopyFS(backup, os.DirFS(b.dir)))
	b.start()
	return backup
}

// restore stops the broker, puts the copy in the place of its files and starts it again.
func (b *broker) restore(backup string) {
	b.t.Helper()
	b.stop()
	must(b.t, os.RemoveAll(b.dir))
	must(b.t, os.CopyFS(b.dir, os.DirFS(backup)))
	b.start()
}

// second starts another broker: a stranger with a stream of the same name, or one that begins as a copy.
func (b *broker) second(copied bool) *broker {
	b.t.Helper()
	if copied {
		return startBroker(b.t, b.save())
	}
	other := startBroker(b.t, b.t.TempDir()+"/jetstream")
	other.createStream()
	return other
}

func (b *broker) createStream() {
	b.t.Helper()
	pass() // no two streams were created at one time
	config := consumer.StreamConfig(streamName, 1<<28)
	config.MaxAge, config.DenyDelete = expiry, false
	_, err := b.js.CreateStream(b.t.Context(), config)
	must(b.t, err)
}

func (b *broker) recreate() {
	b.t.Helper()
	must(b.t, b.js.DeleteStream(b.t.Context(), streamName))
	b.createStream()
}

func (b *broker) stream() jetstream.Stream {
	b.t.Helper()
	s, err := b.js.Stream(b.t.Context(), streamName)
	must(b.t, err)
	return s
}

// last is the stream's last sequence.
func (b *broker) last() uint64 {
	b.t.Helper()
	return b.stream().CachedInfo().State.LastSeq
}

// purge removes everything through the sequence.
func (b *broker) purge(through uint64) {
	b.t.Helper()
	must(b.t, b.stream().Purge(b.t.Context(), jetstream.WithPurgeSequence(through+1)))
}

// remove removes single messages.
func (b *broker) remove(from, through uint64) {
	b.t.Helper()
	s := b.stream()
	for sequence := from; sequence <= through; sequence++ {
		must(b.t, s.DeleteMsg(b.t.Context(), sequence))
	}
}

// pass lets a moment pass: computing takes no virtual time, and in real time no two messages were stored at once.
func pass() { time.Sleep(time.Millisecond) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
