package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pulls are requests to one consumer, one after the other. They are made here because the client's Fetch passes each
// message through a select and two channels: this reads nearly twice as many a second.
type pulls struct {
	conn      *nats.Conn
	consumer  jetstream.Consumer
	delivered uint64 // messages that came through the consumer
	pending   uint64 // messages that the broker has for it, as far as is known
}

// pull is a request of JetStream's API.
type pull struct {
	Batch   uint64        `json:"batch"`
	Bytes   int           `json:"max_bytes"`
	Expires time.Duration `json:"expires"`
	Beat    time.Duration `json:"idle_heartbeat"`
}

// fetch asks for up to n messages. With an error it returns those that came before.
func (p *pulls) fetch(ctx context.Context, n uint64, bytes int) ([]message, error) {
	n = min(n, p.pending)
	a := &answer{pulls: p, list: make([]message, 0, n), ended: make(chan struct{})}
	inbox := p.conn.NewInbox()
	sub, err := p.conn.Subscribe(inbox, a.receive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()             // on a connection that is closed there is nothing to end
	if err := sub.SetPendingLimits(-1, -1); err != nil { // the request has limits
		return nil, err
	}
	text, err := json.Marshal(pull{n, bytes, fetchTime, fetchBeat})
	if err != nil {
		return nil, err
	}
	info := p.consumer.CachedInfo()
	subject := jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name
	if err := p.conn.PublishRequest(subject, inbox, text); err != nil {
		return nil, err
	}
	list, err := a.wait(ctx)
	if err == nil && len(list) == 0 {
		err = p.ask(ctx) // what was pending has left the stream
	}
	return list, err
}

// ask brings up to date what is pending.
func (p *pulls) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	info, err := p.consumer.Info(ctx)
	if err == nil {
		p.pending = info.NumPending
	}
	return err
}

// answer is what comes back for one request.
type answer struct {
	*pulls
	arrived atomic.Int64 // messages and signs of life
	ended   chan struct{}

	mu   sync.Mutex
	done bool // nothing more is taken
	list []message
	err  error
}

// wait returns the messages, when all have come or it is known that no more will.
func (a *answer) wait(ctx context.Context) ([]message, error) {
	silence := time.NewTicker(2 * fetchBeat)
	defer silence.Stop()
	for seen := int64(-1); ; {
		select {
		case <-a.ended:
		case <-ctx.Done():
			a.end(ctx.Err())
		case <-silence.C:
			if n := a.arrived.Load(); n != seen {
				seen = n
				continue
			}
			a.end(errSilent)
		}
		return a.list, a.err
	}
}

// receive is called for one message after the other.
func (a *answer) receive(m *nats.Msg) {
	a.arrived.Add(1)
	if m.Reply == "" {
		if ends, err := verdict(m); ends {
			a.end(err)
		}
		return
	}
	meta, err := m.Metadata()
	if err != nil {
		a.end(err)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.done:
	case meta.Sequence.Consumer != a.delivered+1:
		a.endLocked(errSkipped)
	default:
		a.delivered, a.pending = a.delivered+1, meta.NumPending
		a.list = append(a.list, message{m, meta.Sequence.Stream, meta.Timestamp})
		if len(a.list) == cap(a.list) {
			a.endLocked(nil)
		}
	}
}

// end sees to it that nothing more is taken. What ended it first counts.
func (a *answer) end(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endLocked(err)
}

func (a *answer) endLocked(err error) {
	if !a.done {
		a.done, a.err = true, err
		close(a.ended)
	}
}

// verdict reads what a broker says about a request: nothing but a sign of life, that it is over, or that it failed.
func verdict(m *nats.Msg) (ends bool, err error) {
	switch code, text := m.Header.Get("Status"), m.Header.Get("Description"); {
	case code == "100":
		return false, nil
	case code == "404", code == "408", text == "Batch Completed", text == "Message Size Exceeds MaxBytes":
		return true, nil
	default:
		return true, fmt.Errorf("the broker answers %s %s", code, text)
	}
}
