package consumer_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// cluster is three NATS servers of which each holds the stream.
type cluster struct {
	*broker // an operator's connection
	options map[string]*server.Options
	servers map[string]*server.Server // that run, by name
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	var clients, routes []string
	for range 3 {
		clients, routes = append(clients, "nats://"+freeAddress(t)), append(routes, "nats://"+freeAddress(t))
	}
	c := &cluster{broker: &broker{urls: strings.Join(clients, ",")}, options: make(map[string]*server.Options),
		servers: make(map[string]*server.Server)}
	for i := range 3 {
		name := fmt.Sprint("n", i)
		c.options[name] = &server.Options{ServerName: name, Host: "127.0.0.1", Port: portOf(t, clients[i]), NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: portOf(t, routes[i])},
			Routes:  server.RoutesFromStr(strings.Join(routes, ","))}
		c.start(t, name)
	}
	t.Cleanup(func() {
		for name := range c.servers {
			c.stop(name)
		}
	})
	c.conn = c.connect(t)
	js, err := jetstream.New(c.conn)
	if err != nil {
		t.Fatal(err)
	}
	c.js = js
	config := consumer.StreamConfig(streamName, 1<<28)
	config.Replicas = 3
	c.eventually(t, "the servers agree on a stream", func() error {
		_, err := js.CreateStream(t.Context(), config)
		return err
	})
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func portOf(t *testing.T, url string) (port int) {
	t.Helper()
	if _, err := fmt.Sscanf(url, "nats://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	return port
}

func (c *cluster) start(t *testing.T, name string) {
	t.Helper()
	s, err := server.NewServer(c.options[name].Clone())
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	c.servers[name] = s
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatalf("server %s did not start", name)
	}
}

func (c *cluster) stop(name string) {
	c.servers[name].Shutdown()
	c.servers[name].WaitForShutdown()
	delete(c.servers, name)
}

// eventually tries until there is no error.
func (c *cluster) eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.After(60 * time.Second); ; {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not within a minute: %s: %v", what, err)
		}
	}
}

// publishAll sends each message until a server says that it is stored: it may be stored more than once.
func (c *cluster) publishAll(t *testing.T, messages []*nats.Msg) (last uint64) {
	t.Helper()
	for _, m := range messages {
		c.eventually(t, "published", func() error {
			ack, err := c.js.PublishMsg(t.Context(), m)
			if err == nil {
				last = max(last, ack.Sequence)
			}
			return err
		})
	}
	return last
}

// leaderOf is the server that leads a consumer.
func (c *cluster) leaderOf(t *testing.T, name string) (leader string) {
	t.Helper()
	c.eventually(t, "a server leads "+name, func() error {
		held, err := c.js.Consumer(t.Context(), streamName, name)
		if err != nil {
			return err
		}
		info := held.CachedInfo()
		if info.Cluster == nil || c.servers[info.Cluster.Leader] == nil {
			return fmt.Errorf("nobody: %+v", info.Cluster)
		}
		leader = info.Cluster.Leader
		return nil
	})
	return leader
}

// Servers of a cluster stop, one after the other, first the one that gives the pin and then the one that delivers: readers
// on the others go on, and each event is counted once.
func TestServersOfAClusterStopUnderTheReaders(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	c, store := startCluster(t), openSQLite(t)
	list := history(1_200)
	parts := slices.Collect(slices.Chunk(messagesOf(list), 300))
	var readers []*running
	for range 2 {
		readers = append(readers, c.startReader(t, store))
	}
	waitCommitted(t, c.broker, store, c.publishAll(t, parts[0]))
	for i, name := range []string{consumer.ConsumerName("main"), consumer.MessagesName("main")} {
		leader := c.leaderOf(t, name)
		began := time.Now()
		c.stop(leader)
		waitCommitted(t, c.broker, store, c.publishAll(t, parts[i+1]))
		t.Logf("server %s, which led %s, stopped: all of %d events committed after %s", leader, name, len(parts[i+1]),
			time.Since(began).Round(time.Millisecond))
		c.start(t, leader)
	}
	p := waitCommitted(t, c.broker, store, c.publishAll(t, parts[3]))
	if p.Applied != int64(len(list)) || p.Gone != 0 || p.DeadLetters != 0 {
		t.Errorf("position %+v, want %d applied", p, len(list))
	}
	expect(t, store, list)
	for _, r := range readers {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		conserved(t, r, store)
	}
}
