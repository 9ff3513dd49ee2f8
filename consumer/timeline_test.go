package consumer_test

import (
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// hub is a broker that readers reach by a leaf node: it can be away for a moment without any of their connections ending.
type hub struct {
	*broker
	dir  string
	leaf *server.Server
	port int
}

func startHub(t *testing.T) *hub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	h := &hub{broker: &broker{}, dir: t.TempDir() + "/jetstream", port: port}
	h.start(t)
	t.Cleanup(func() { h.stop() })
	h.createStream(t)
	remote := &url.URL{Scheme: "nats-leaf", Host: listener.Addr().String()}
	h.leaf = startServer(t, &server.Options{ServerName: "leaf", DontListen: true, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{ReconnectInterval: 100 * time.Millisecond,
			Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}}})
	t.Cleanup(func() {
		h.leaf.Shutdown()
		h.leaf.WaitForShutdown()
	})
	return h
}

func startServer(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatalf("NATS server %s did not start", o.ServerName)
	}
	return s
}

func (h *hub) start(t *testing.T) {
	t.Helper()
	h.server = startServer(t, &server.Options{ServerName: "hub", JetStream: true, StoreDir: h.dir, DontListen: true, NoSigs: true,
		NoLog: true, JetStreamDomain: "hub", JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: h.port}})
	var err error
	if h.conn, err = nats.Connect("", nats.InProcessServer(h.server)); err != nil {
		t.Fatal(err)
	}
	if h.js, err = jetstream.New(h.conn); err != nil {
		t.Fatal(err)
	}
}

func (h *hub) stop() {
	h.conn.Close()
	h.server.Shutdown()
	h.server.WaitForShutdown()
}

// TestATailThatIsLostAndWrittenAnewInAMomentIsFound: a hub loses its last messages and gives their sequences out again,
// through the position and beyond, and the reader's connection to its leaf node never ends.
func TestATailThatIsLostAndWrittenAnewInAMomentIsFound(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out the pins of three brokers")
	}
	h, store := startHub(t), openSQLite(t)
	list := history(400)
	behindLeaf := &broker{server: h.leaf}
	h.publish(t, messagesOf(list[:100])...)
	var conn *nats.Conn
	r := behindLeaf.startReader(t, store, func(c *consumer.Config) {
		conn, c.PinnedTTL = c.Conn, 4*time.Second
		var err error
		if c.JetStream, err = jetstream.NewWithDomain(conn, "hub"); err != nil {
			t.Fatal(err)
		}
	})
	waitEpoch(t, store, 1, 100)

	h.stop()
	backup := t.TempDir()
	if err := os.CopyFS(backup, os.DirFS(h.dir)); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.publish(t, messagesOf(list[100:200])...)
	waitEpoch(t, store, 1, 200)

	h.stop()
	if err := os.RemoveAll(h.dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(h.dir, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	h.publish(t, messagesOf(list[200:400])...)
	p := waitEpoch(t, store, 2, 300)
	expect(t, store, list)
	if p.Applied != 200 || p.Duplicates != 100 {
		t.Errorf("position %+v", p)
	}
	if n := conn.Stats().Reconnects; n > 0 {
		t.Errorf("the connection was lost %d times, so nothing is proven", n)
	}
	if s := r.Status(); s.Note == "" {
		t.Errorf("status %+v", s)
	}
}
