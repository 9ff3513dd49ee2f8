package publish_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// exampleBroker stands in for the broker of a real system, with the stream that `runmetrics setup` makes.
type exampleBroker struct {
	server *server.Server
	files  string
	conn   *nats.Conn
	js     jetstream.JetStream
}

func startExampleBroker() *exampleBroker {
	files, err := os.MkdirTemp("", "runmetrics")
	check(err)
	b := &exampleBroker{files: files}
	b.server, err = startServer(server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: files,
		NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20})
	check(err)
	b.conn, err = nats.Connect(b.server.ClientURL())
	check(err)
	b.js, err = jetstream.New(b.conn)
	check(err)
	_, err = b.js.CreateStream(context.Background(), stream)
	check(err)
	return b
}

func (b *exampleBroker) stop() {
	b.conn.Close()
	b.server.Shutdown()
	b.server.WaitForShutdown()
	check(os.RemoveAll(b.files))
}

// publisher publishes over a connection that is there.
func (b *exampleBroker) publisher(c publish.Config) *publish.Publisher {
	c.Conn = b.conn
	p, err := publish.New(c)
	check(err)
	return p
}

// printStream says what the stream has.
func (b *exampleBroker) printStream() {
	s, err := b.js.Stream(context.Background(), stream.Name)
	check(err)
	for sequence := range s.CachedInfo().State.Msgs {
		m, err := s.GetMsg(context.Background(), sequence+1)
		check(err)
		e, rejected := events.Decode(events.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Time: m.Time})
		if rejected != nil {
			log.Fatal(rejected)
		}
		fmt.Print(m.Subject, " ", e.Type)
		if e.AgentID != "" {
			fmt.Print(" ", e.AgentID, " attempt ", e.Attempt)
		}
		if e.Status != "" {
			fmt.Print(" ", e.Status)
		}
		if e.Cost.Known {
			fmt.Print(" for ", e.Cost.Nanos, " dollars")
		}
		fmt.Println()
	}
}

// terminate tells this process to stop.
func terminate() {
	self, err := os.FindProcess(os.Getpid())
	check(err)
	check(self.Signal(syscall.SIGTERM))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
