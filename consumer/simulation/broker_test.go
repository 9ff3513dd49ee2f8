package simulation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// stream is one stream of events, with everything it ever held.
type stream struct {
	name      string
	prefix    string // of its subjects, "runs." or "runs.0."
	timelines []*timeline
	grown     bool // in this step
	meddled   bool // somebody did what only an operator can do, to the consumer or to the database
}

func (s *stream) now() *timeline { return s.timelines[len(s.timelines)-1] }

// startBroker starts the NATS server, or starts it again where it was.
func (w *world) startBroker() error {
	s, err := server.NewServer(&server.Options{ServerName: "simulation", JetStream: true, StoreDir: filepath.Join(w.dir, "nats"),
		DontListen: true, NoSigs: true, NoLog: true, JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 64 << 20})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the broker did not start")
	}
	w.mu.Lock()
	w.server = s
	w.mu.Unlock()
	if w.admin, err = nats.Connect("", nats.InProcessServer(s)); err != nil {
		return err
	}
	w.js, err = jetstream.New(w.admin)
	return err
}

func (w *world) stopBroker() {
	w.admin.Close()
	w.server.Shutdown()
	w.server.WaitForShutdown()
}

// dial connects to the broker that runs now.
func (w *world) dial() (net.Conn, error) {
	w.mu.Lock()
	s := w.server
	w.mu.Unlock()
	return s.InProcessConn()
}

// createStream begins a new timeline of a stream.
func (w *world) createStream(ctx context.Context, s *stream) error {
	config := consumer.StreamConfig(s.name, 1<<30)
	config.Subjects = []string{s.prefix + ">"}
	created, err := w.js.CreateStream(ctx, config)
	if err != nil {
		return fmt.Errorf("create stream: %w", err)
	}
	s.timelines = append(s.timelines, &timeline{created: created.CachedInfo().Created.UTC()})
	return nil
}

// recreateStream deletes a stream and makes it again under the same name. Whatever was not read is lost with it, and the
// oracle does not ask for that: it believes the stored positions.
func (w *world) recreateStream(ctx context.Context, s *stream) error {
	if len(s.timelines) > 2 {
		return nil // more within an hour is taken for two brokers, and blocks
	}
	if err := w.js.DeleteStream(ctx, s.name); err != nil {
		return err
	}
	time.Sleep(time.Millisecond)
	return w.createStream(ctx, s)
}

// follow reads what streams hold that was not read before.
func (w *world) follow(ctx context.Context) error {
	for _, s := range w.streams {
		held, err := w.js.Stream(ctx, s.name)
		if err != nil {
			return err
		}
		t := s.now()
		for last := held.CachedInfo().State.LastSeq; uint64(len(t.messages)) < last; {
			m, err := held.GetMsg(ctx, uint64(len(t.messages)+1))
			if err != nil {
				return err
			}
			t.messages = append(t.messages, message{m.Sequence, m.Subject, m.Header, m.Data, m.Time.UTC()})
		}
	}
	return nil
}

// The durable consumers that all replicas share.
var pinConsumer, messagesConsumer = consumer.ConsumerName("main"), consumer.MessagesName("main")

// reset is what a rival does that takes itself for the owner.
func (w *world) reset(ctx context.Context, s *stream, name string, sequence uint64) error {
	s.meddled = true
	_, err := w.js.ResetConsumerToSequence(ctx, s.name, name, max(1, sequence))
	return w.unlessMissing(err)
}

// unpin takes the pin from whoever has it.
func (w *world) unpin(ctx context.Context, s *stream) error {
	s.meddled = true
	held, err := w.js.Stream(ctx, s.name)
	if err != nil {
		return err
	}
	return w.unlessMissing(held.UnpinConsumer(ctx, pinConsumer, "reader"))
}

func (w *world) deleteConsumer(ctx context.Context, s *stream, name string) error {
	s.meddled = true
	return w.unlessMissing(w.js.DeleteConsumer(ctx, s.name, name))
}

// takeMessages is what a rival does that has not heard yet that it is the owner no more: what is delivered to it next, the
// owner does not get.
func (w *world) takeMessages(ctx context.Context, s *stream, n int) error {
	s.meddled = true
	c, err := w.js.Consumer(ctx, s.name, messagesConsumer)
	if err != nil {
		return w.unlessMissing(err)
	}
	taken, err := c.FetchNoWait(n)
	if err != nil {
		return w.unlessMissing(err)
	}
	for range taken.Messages() { // they are lost
	}
	return w.unlessMissing(taken.Error())
}

// unlessMissing forgives a consumer that is not there at the moment: some requests for it are refused, others get no answer.
func (w *world) unlessMissing(err error) error {
	var answer *jetstream.APIError
	if errors.As(err, &answer) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
