package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// mail makes what agents publish. Events of one id go to one stream: the first that a stream holds counts.
type mail struct {
	made int
	sent map[string][]letter // by stream
}

// letter is one message, and the event in it if it is a good one.
type letter struct {
	event *events.Event
	data  []byte
	run   string // of the subject
}

// publish sends n messages. A burst is stored at one moment, others a while apart.
func (w *world) publish(ctx context.Context, s *stream, seed uint64, n int, burst bool) error {
	r := rand.New(rand.NewPCG(seed, 0))
	s.grown = true
	for range n {
		l, id := w.mail.next(r, s.name)
		m := &nats.Msg{Subject: s.prefix + events.Subject("c", l.run)[len("runs."):], Data: l.data, Header: nats.Header{}}
		if id != "" {
			m.Header.Set(jetstream.MsgIDHeader, id)
		}
		if _, err := w.js.PublishMsg(ctx, m); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if !burst {
			time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		}
	}
	return nil
}

// next makes a new message, or one that was sent before in one of the ways in which that happens. The id is the one that
// the broker drops repeats by, for two minutes; without it every repeat is stored.
func (m *mail) next(r *rand.Rand, stream string) (l letter, id string) {
	if m.sent == nil {
		m.sent = make(map[string][]letter)
	}
	sent := m.sent[stream]
	n := r.IntN(100)
	if n < 30 && len(sent) > 0 {
		l = sent[r.IntN(len(sent))]
		if r.IntN(2) == 0 {
			l = sent[len(sent)-1-r.IntN(min(5, len(sent)))] // one of the newest
		}
		switch {
		case l.event == nil || n < 10:
			return l, ""
		case n < 20:
			return l, events.MessageID(l.event)
		}
		other := *l.event // another event under the same id
		other.OccurredAt = other.OccurredAt.Add(time.Millisecond)
		return letter{&other, events.Encode(&other), l.run}, ""
	}
	if n >= 93 {
		l = poison(r)
	} else {
		e := m.event(r)
		l = letter{&e, events.Encode(&e), e.RunID}
		id = events.MessageID(&e)
	}
	m.sent[stream] = append(sent, l)
	return l, id
}

// poison is what no run can take, for one of the reasons that there are.
func poison(r *rand.Rand) letter {
	run := fmt.Sprint("r", r.IntN(3))
	return letter{run: run, data: [][]byte{
		[]byte("{"),
		[]byte(`{"version":2}`),
		[]byte(`{"type":"agent.slept"}`),
		[]byte(`{"id":"x","campaignId":"c","runId":"` + run + `","phase":"1","occurredAt":"2000-01-01T00:00:00Z","latencyMs":-1}`),
		[]byte(`{"id":"x","campaignId":"other","runId":"` + run + `","phase":"1","occurredAt":"2000-01-01T00:00:00Z",` +
			`"agentId":"a","status":"failed","latencyMs":1}`),
	}[r.IntN(5)]}
}

// event makes a new event of one of a few runs. There are few agents, attempts and times, so that they meet.
func (m *mail) event(r *rand.Rand) events.Event {
	m.made++
	e := events.Event{Key: events.Key{CampaignID: "c", RunID: fmt.Sprint("r", r.IntN(3)), Phase: fmt.Sprint(r.IntN(2))},
		ID: fmt.Sprint("e", m.made), OccurredAt: time.Date(2000, 1, 1, 0, 0, r.IntN(5), 0, time.UTC)}
	switch n := r.IntN(20); {
	case n < 13:
		e.Type, e.AgentID, e.Attempt = events.AgentFinished, fmt.Sprint("a", r.IntN(4)), int64(1+r.IntN(3))
		e.Status = []events.Status{events.Succeeded, events.Succeeded, events.Failed, events.Cancelled}[r.IntN(4)]
		e.LatencyMs, e.TokensIn, e.AssetsGenerated = int64(r.IntN(500)), int64(r.IntN(5000)), int64(r.IntN(3))
		if r.IntN(8) > 0 {
			e.Cost = events.USD(events.Nanos(r.Int64N(3_000_000_000)))
		}
	case n < 15:
		e.Type, e.AgentID, e.Attempt = events.AgentStarted, fmt.Sprint("a", r.IntN(5)), 1
	case n < 16:
		e.Type, e.AgentsExpected = events.RunStarted, int64(1+r.IntN(6))
	case n < 17:
		e.Type, e.Outcome = events.RunFinished, events.OutcomeFailed
	case n < 18:
		e.Type = events.RunReported
		e.Report = &events.Report{AgentsTotal: 3, AgentsSuccessful: r.Int64N(4), TokensIn: r.Int64N(1 << 53), Cost: events.Nanos(r.Int64N(1e18))}
	default:
		e.Type, e.Reason = events.ExecutionsVoided, "test"
		for range 1 + r.IntN(2) { // some are yet to come, some are of other runs
			e.Voids = append(e.Voids, fmt.Sprint("e", 1+r.IntN(m.made+5)))
		}
	}
	return e
}
