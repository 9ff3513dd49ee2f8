package publish_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// createSmallStream makes the stream with room for some dozens of events; giveRoom mends that.
func (b *broker) createSmallStream(t *testing.T) {
	t.Helper()
	small := stream
	small.MaxBytes = 32 << 10
	_, err := b.jetStream(t).CreateStream(t.Context(), small)
	must(t, err)
}

func (b *broker) giveRoom(t *testing.T) {
	t.Helper()
	_, err := b.jetStream(t).UpdateStream(t.Context(), stream)
	must(t, err)
}

// fill publishes n events and returns them by their message ids.
func fill(t *testing.T, p *publish.Publisher, n int) map[string]bool {
	t.Helper()
	ids := make(map[string]bool)
	for i := range n {
		e := execution(i)
		must(t, p.Publish(t.Context(), &e))
		ids[events.MessageID(&e)] = true
	}
	return ids
}

func TestAFullStreamGetsEverythingWhenItIsGivenRoom(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createSmallStream(t)
	var said outcomes
	p := open(t, publish.Config{Conn: b.connect(t), Retrying: said.retrying})
	fill(t, p, 300)
	until(t, "the stream is full", func() bool { return len(said.retries()) > 0 })
	if text := said.retries()[0].Error(); !strings.Contains(text, "maximum bytes exceeded") || !strings.Contains(text, "--max-bytes") {
		t.Errorf("said %s", text)
	}
	b.giveRoom(t)
	must(t, p.Flush(t.Context()))
	if n := b.messages(t); n != 300 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAFullStreamIsAnErrorWhenPatienceEnds(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createSmallStream(t)
	var lost outcomes
	p := open(t, publish.Config{Conn: b.connect(t), MaxInFlight: 50, Patience: time.Second, GivenUp: lost.givenUp})
	ids := fill(t, p, 200)
	var unpublished *publish.Unpublished
	if err := p.Flush(t.Context()); !errors.As(err, &unpublished) || len(unpublished.Causes) != 1 || !strings.Contains(err.Error(), "--max-bytes") {
		t.Fatalf("said %v", err)
	}
	for _, m := range lost.messages() {
		delete(ids, m.Header.Get("Nats-Msg-Id"))
	}
	if unpublished.GivenUp != 200-b.messages(t) || len(ids) != b.messages(t) || len(lost.messages()) != unpublished.GivenUp {
		t.Errorf("%d given up, told of %d, %d stored", unpublished.GivenUp, len(lost.messages()), b.messages(t))
	}
	must(t, p.Flush(t.Context())) // it was said once
	b.giveRoom(t)
	for _, m := range lost.messages() {
		must(t, p.PublishMsg(t.Context(), m)) // an own retry
	}
	must(t, p.Flush(t.Context()))
	if n := b.messages(t); n != 200 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAStreamThatIsMadeLaterGetsEverything(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	var said outcomes
	p := open(t, publish.Config{Conn: b.connect(t), Retrying: said.retrying})
	fill(t, p, 10)
	until(t, "no stream takes it", func() bool { return len(said.retries()) > 0 })
	if text := said.retries()[0].Error(); !strings.Contains(text, "no stream takes this subject") || !strings.Contains(text, "runmetrics setup") {
		t.Errorf("said %s", text)
	}
	b.createStream(t)
	must(t, p.Flush(t.Context()))
	if n := b.messages(t); n != 10 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAnEventThatNobodyMayPublishDoesNotHoldTheOthers(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "all", Password: "p"},
			{Username: "one-campaign", Password: "p", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"runs.spring-launch-2026.*"}},
				Subscribe: &server.SubjectPermission{Allow: []string{publish.InboxPrefix + ".>"}}}},
			{Username: "deaf", Password: "p", Permissions: &server.Permissions{
				Subscribe: &server.SubjectPermission{Allow: []string{publish.InboxPrefix + ".>"}}}},
		}
		o.NoAuthUser = "all"
	})
	b.createStream(t)
	t.Run("subject", func(t *testing.T) {
		conn, err := publish.Connect(b.server.ClientURL(), nats.UserInfo("one-campaign", "p"))
		must(t, err)
		defer conn.Close()
		p := open(t, publish.Config{Conn: conn, MaxInFlight: 2})
		other := execution(0)
		other.CampaignID = "autumn"
		must(t, p.Publish(t.Context(), &other))
		fill(t, p, 20)
		err = p.Flush(t.Context())
		var unpublished *publish.Unpublished
		if !errors.As(err, &unpublished) || unpublished.GivenUp != 1 || !errors.Is(err, nats.ErrPermissionViolation) ||
			!strings.Contains(err.Error(), "publish to runs.autumn.run-000000; grant it publish on runs.*.*") {
			t.Errorf("said %v", err)
		}
		if n := b.messages(t); n != 20 {
			t.Errorf("the stream has %d messages", n)
		}
	})
	t.Run("inbox", func(t *testing.T) {
		p := open(t, publish.Config{Conn: b.connect(t, nats.UserInfo("deaf", "p"))})
		for range 2 { // NATS says it once
			e := execution(0)
			must(t, p.Publish(t.Context(), &e))
			if err := p.Flush(t.Context()); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "use publish.Connect") {
				t.Errorf("said %v", err)
			}
		}
	})
}

func TestAMessageThatTheServerNeverTakesIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t, func(o *server.Options) { o.MaxPayload = 1 << 10 })
	b.createStream(t)
	p := open(t, publish.Config{Conn: b.connect(t)})
	long := execution(0)
	long.Error = strings.Repeat("e", 2000)
	must(t, p.Publish(t.Context(), &long))
	fill(t, p, 3)
	if err := p.Flush(t.Context()); !errors.Is(err, nats.ErrMaxPayload) || !strings.Contains(err.Error(), "1 given up, 0 still tried") {
		t.Errorf("said %v", err)
	}
	if n := b.messages(t); n != 3 {
		t.Errorf("the stream has %d messages", n)
	}
}

func TestAConnectionThatIsClosedForGoodIsAnErrorWithItsFix(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	t.Run("by nats.go", func(t *testing.T) {
		conn := b.connect(t, nats.MaxReconnects(2), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
		p := open(t, publish.Config{Conn: conn, MaxInFlight: 5})
		b.stop()
		var err error
		for i := 0; err == nil; i++ {
			e := execution(i)
			err = p.Publish(t.Context(), &e)
		}
		if !errors.Is(err, nats.ErrConnectionClosed) || !strings.Contains(err.Error(), "nats.MaxReconnects(-1)") {
			t.Errorf("Publish said %v", err)
		}
		var unpublished *publish.Unpublished
		if err := p.Close(t.Context()); !errors.As(err, &unpublished) || unpublished.GivenUp != 5 || !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("Close said %v", err)
		}
		b.start(t)
	})
	t.Run("by the program", func(t *testing.T) {
		conn := b.connect(t)
		p := open(t, publish.Config{Conn: conn})
		conn.Close()
		e := execution(0)
		until(t, "it is noticed", func() bool { return p.Publish(t.Context(), &e) != nil })
		if err := p.Publish(t.Context(), &e); !strings.Contains(err.Error(), "close the publisher first") {
			t.Errorf("said %v", err)
		}
	})
}

func TestAPublisherMayBeMadeBeforeTheBrokerIsUp(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.createStream(t)
	b.stop()
	conn, err := publish.Connect(b.server.ClientURL(), eager...)
	must(t, err)
	defer conn.Close()
	p := open(t, publish.Config{Conn: conn, Patience: time.Nanosecond}) // time without a connection does not count
	fill(t, p, 10)
	b.start(t)
	must(t, p.Flush(t.Context()))
	if n := b.messages(t); n != 10 {
		t.Errorf("the stream has %d messages", n)
	}
}
