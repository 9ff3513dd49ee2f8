package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

func TestPublishSendsAnEventOnItsSubjectWithItsMessageID(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	e := execution(1)
	e.CampaignID, e.RunID = "a.b/🚀", "run 1"
	for range 2 { // the second is a repetition
		must(t, p.Publish(t.Context(), &e))
	}
	must(t, p.Flush(t.Context()))
	stored := b.stored(t)
	if len(stored) != 1 {
		t.Fatalf("the stream has %d messages", len(stored))
	}
	m := stored[0]
	if m.Subject != events.Subject(e.CampaignID, e.RunID) || m.Header.Get(jetstream.MsgIDHeader) != events.MessageID(&e) ||
		string(m.Data) != string(events.Encode(&e)) || len(m.Header) != 1 {
		t.Errorf("stored %s %v %s", m.Subject, m.Header, m.Data)
	}
}

func TestPublishNamesEveryBadFieldAndSendsNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	for _, e := range []events.Event{{}, {Type: "agent.exploded"}, {Type: events.RunReported}, {Type: events.ExecutionsVoided}} {
		var rejection *events.Rejection
		if err := p.Publish(t.Context(), &e); !errors.As(err, &rejection) || len(rejection.Fields) == 0 {
			t.Errorf("%q: %v", e.Type, err)
		}
	}
	must(t, p.Flush(t.Context()))
	if n := len(b.stored(t)); n != 0 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestPublishWaitsForRoomUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	conn := b.connect(t, eager...)
	p := open(t, publish.Config{Conn: conn, MaxInFlight: 3})
	b.stop()
	until(t, "the connection is lost", func() bool { return !conn.IsConnected() })
	for i := range 3 {
		e := execution(i)
		must(t, p.Publish(t.Context(), &e))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	blocked := make(chan error)
	go func() {
		e := execution(3)
		blocked <- p.Publish(ctx, &e)
	}()
	enough := errors.New("enough")
	cancel(enough)
	if err := <-blocked; !errors.Is(err, enough) {
		t.Errorf("said %v", err)
	}
	var unpublished *publish.Unpublished
	if err := p.Flush(ctx); !errors.As(err, &unpublished) || unpublished.Waiting != 3 || unpublished.GivenUp != 0 || !errors.Is(err, enough) {
		t.Errorf("Flush said %v", err)
	}
	b.start(t)
	must(t, p.Flush(t.Context()))
	if n := len(b.stored(t)); n != 3 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestCloseRefusesMoreAndGivesUpWhatItCannotWaitFor(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	conn := b.connect(t, eager...)
	var lost outcomes
	p := open(t, publish.Config{Conn: conn, GivenUp: lost.givenUp})
	b.stop()
	until(t, "the connection is lost", func() bool { return !conn.IsConnected() })
	e := execution(1)
	must(t, p.Publish(t.Context(), &e))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var unpublished *publish.Unpublished
	if err := p.Close(ctx); !errors.As(err, &unpublished) || unpublished.GivenUp != 1 || unpublished.Waiting != 0 {
		t.Errorf("said %v", err)
	}
	if len(lost.messages()) != 1 || string(lost.messages()[0].Data) != string(events.Encode(&e)) {
		t.Errorf("gave up %v", lost.messages())
	}
	if err := p.Publish(t.Context(), &e); !errors.Is(err, publish.ErrClosed) {
		t.Errorf("Publish said %v", err)
	}
	must(t, p.Flush(t.Context()))
	must(t, p.Close(t.Context())) // once more changes nothing
}

func TestPublishRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	for _, c := range []publish.Config{{}, {Conn: b.connect(t), MaxInFlight: -1}, {Conn: b.connect(t), Patience: -1}} {
		if _, err := publish.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
	p := open(t, publish.Config{Conn: b.connect(t)})
	m := publish.Message(t.Context(), &events.Event{}, nil)
	m.Reply = "somebody"
	if err := p.PublishMsg(t.Context(), m); err == nil || !strings.Contains(err.Error(), "reply") {
		t.Errorf("said %v", err)
	}
	conn := b.connect(t)
	conn.Close()
	if _, err := publish.New(publish.Config{Conn: conn}); err == nil || !strings.Contains(err.Error(), "close the publisher first") {
		t.Errorf("a closed connection: %v", err)
	}
}
