package publish_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// BenchmarkPublish compares Publisher.Publish of events, with encoding and validation, with what nats.go does alone: its
// asynchronous publishing of ready messages, of the same bytes and headers and with as many under way. They take turns,
// each on a stream of its own. Each figure is the median of its turns; the ratio is that of two turns that follow each
// other, because the machine may have other work.
func BenchmarkPublish(b *testing.B) {
	const turns, each = 21, 20_000
	broker := startBroker(b)
	js := broker.jetStream(b)
	list := make([]events.Event, each)
	for i := range list {
		list[i] = execution(i)
	}
	figures := make(map[string][]float64)
	for b.Loop() {
		for range turns {
			bare := measure(b, js, each, barePublishing(b, broker, list))
			publisher := measure(b, js, each, eventPublishing(b, broker, list))
			for unit, figure := range map[string]float64{
				"bare-msgs/s": bare.rate, "publisher-events/s": publisher.rate, "ratio": publisher.rate / bare.rate,
				"bare-allocs/msg": bare.allocs, "publisher-allocs/event": publisher.allocs,
			} {
				figures[unit] = append(figures[unit], figure)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for unit, list := range figures {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], unit)
	}
}

// turn is what was measured once. The broker allocates in the same process, in both cases the same.
type turn struct {
	rate   float64 // messages a second
	allocs float64 // for each message
}

// measure runs something that publishes n messages, and returns when the stream has them.
func measure(b *testing.B, js jetstream.JetStream, n int, publishAll func()) turn {
	b.Helper()
	s, err := js.CreateStream(b.Context(), stream)
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	publishAll()
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	if info, err := s.Info(b.Context()); err != nil || info.State.Msgs != uint64(n) {
		b.Fatalf("the stream has %d of %d messages: %v", info.State.Msgs, n, err)
	}
	if err := js.DeleteStream(b.Context(), stream.Name); err != nil {
		b.Fatal(err)
	}
	return turn{rate: float64(n) / took.Seconds(), allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}
}

// barePublishing makes the messages beforehand.
func barePublishing(b *testing.B, broker *broker, list []events.Event) func() {
	messages := make([]*nats.Msg, len(list))
	for i := range list {
		messages[i] = publish.Message(b.Context(), &list[i], events.Encode(&list[i]))
	}
	conn := broker.connect(b)
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(publish.DefaultMaxInFlight),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) { b.Error(err) }))
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		for _, m := range messages {
			_, err := js.PublishMsgAsync(m)
			for errors.Is(err, jetstream.ErrTooManyStalledMsgs) { // it waits for room for 200 ms only
				_, err = js.PublishMsgAsync(m)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		<-js.PublishAsyncComplete()
		conn.Close()
	}
}

func eventPublishing(b *testing.B, broker *broker, list []events.Event) func() {
	conn := broker.connect(b)
	p, err := publish.New(publish.Config{Conn: conn})
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		for i := range list {
			if err := p.Publish(b.Context(), &list[i]); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}

// execution is what a runtime typically sends, about 350 bytes.
func execution(i int) events.Event {
	return events.Event{
		Key:  events.Key{CampaignID: "spring-launch-2026", RunID: fmt.Sprintf("run-%06d", i/500), Phase: "2-3"},
		ID:   fmt.Sprintf("writer-%04d/1", i%500),
		Type: events.AgentFinished, OccurredAt: time.Date(2026, 2, 14, 14, 47, 8, 35_000_000, time.UTC),
		AgentID: fmt.Sprintf("writer-%04d", i%500), Attempt: 1, Status: events.Succeeded, LatencyMs: 1235,
		TokensIn: 5231, TokensOut: 812, AssetsGenerated: 2, Cost: events.USD(59_133_500),
		AgentName: "Copy writer", Model: "gpt-5.2",
	}
}
