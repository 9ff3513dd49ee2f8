package consumer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Follower is told what a Watch hears. All fields are needed. Lost is called beside the others, which are called one at a
// time; none of them may block.
type Follower struct {
	// Changed gets each announcement, a Changed in JSON.
	Changed func(announcement []byte)
	// Lost says that announcements do not come in.
	Lost func()
	// Back says that they come in from now on, while those since a time may be missing. It is called first of all, too.
	Back func(since time.Time)
	// Missed says that those since a time may be missing. It says nothing of those to come.
	Missed func(since time.Time)
}

// Watch follows the commits of a deployment, whichever replica makes them.
type Watch struct {
	conn         *nats.Conn
	subscription *nats.Subscription
	follower     *Follower // nil where nobody follows
	statuses     chan nats.Status
	began        time.Time

	mu      sync.Mutex
	through map[string]progress // by stream
	changed chan struct{}       // closed and replaced on every announcement

	// Calls of the follower, and what they rest on.
	telling sync.Mutex
	dropped int       // how many messages the subscription is known to have lost
	heard   time.Time // when the last one came
}

// progress is how far a stream is known to be committed.
type progress struct {
	epoch    int64
	position uint64
	told     time.Time // when that was announced
}

// before tells whether the other one is further.
func (p progress) before(other progress) bool {
	return p.epoch < other.epoch || p.epoch == other.epoch && p.position < other.position
}

// NewWatch listens on the connection until Close.
func NewWatch(conn *nats.Conn, deployment string) (*Watch, error) {
	w := &Watch{conn: conn, through: make(map[string]progress), changed: make(chan struct{}), began: time.Now()}
	w.heard = w.began
	var err error
	if w.subscription, err = conn.Subscribe(ChangedSubject(deployment), w.receive); err != nil {
		return nil, fmt.Errorf("watch commits: %w", err)
	}
	return w, nil
}

// Follow is NewWatch with a follower, who is told until Close, or until the connection is closed.
func Follow(conn *nats.Conn, deployment string, f Follower) (*Watch, error) {
	w, err := NewWatch(conn, deployment)
	if err != nil {
		return nil, err
	}
	w.telling.Lock()
	defer w.telling.Unlock()
	w.follower = &f
	w.statuses = conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED)
	go w.keep()
	return w, nil
}

// Close stops listening. Waiting calls end with their contexts.
func (w *Watch) Close() error {
	if w.statuses != nil {
		w.conn.RemoveStatusListener(w.statuses)
	}
	return w.subscription.Unsubscribe()
}

// silence is how long a connection may be dead before the client notices: it pings, and waits for answers.
const silence = 15 * time.Second

// keep tells the follower of interruptions. Whatever a change of status says, it looks how things are then: of many
// changes at once some may be lost.
func (w *Watch) keep() {
	lost := w.began
	for {
		for !lost.IsZero() && w.conn.IsConnected() {
			// The server took the subscription before it answers this.
			if w.conn.FlushTimeout(silence) == nil {
				w.back(lost.Add(-silence))
				lost = time.Time{}
			}
		}
		status, open := <-w.statuses
		w.follower.Lost()
		if !open || status == nats.CLOSED {
			return
		}
		if lost.IsZero() {
			lost = time.Now()
		}
	}
}

func (w *Watch) back(since time.Time) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.follower.Back(since)
}

func (w *Watch) receive(m *nats.Msg) {
	w.tell(m)
	if now, ok := progressOf(m); ok {
		w.advance(m.Header.Get(headerStream), now)
	}
}

// progressOf reads the position of an announcement. Parts that are not the last of theirs, and those of no stream, have none.
func progressOf(m *nats.Msg) (progress, bool) {
	epoch, epochErr := strconv.ParseInt(m.Header.Get(headerEpoch), 10, 64)
	position, positionErr := strconv.ParseUint(m.Header.Get(headerPosition), 10, 64)
	return progress{epoch, position, time.Now()}, epochErr == nil && positionErr == nil
}

func (w *Watch) advance(stream string, now progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.through[stream].before(now) {
		w.through[stream] = now
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// tell passes an announcement on to the follower.
func (w *Watch) tell(m *nats.Msg) {
	w.telling.Lock()
	defer w.telling.Unlock()
	if w.follower == nil {
		return
	}
	// A subscription that is full loses what comes next.
	if dropped, err := m.Sub.Dropped(); err == nil && dropped != w.dropped {
		w.dropped = dropped
		w.follower.Missed(w.heard)
	}
	w.heard = time.Now()
	if m.Header.Get(headerFound) == "" {
		w.follower.Changed(m.Data)
		return
	}
	found, ok := progressOf(m)
	w.mu.Lock()
	known := w.through[m.Header.Get(headerStream)]
	w.mu.Unlock()
	if !ok || !known.before(found) {
		return // all of it was announced
	}
	if known.told.IsZero() {
		known.told = w.began
	}
	w.follower.Missed(known.told)
}

// Wait returns when the stream is committed through sequence, or the context's error. Commits before the watch began
// count once a later one is announced, or a reader begins.
func (w *Watch) Wait(ctx context.Context, stream string, sequence uint64) error {
	for {
		w.mu.Lock()
		done, changed := w.through[stream].position >= sequence, w.changed
		w.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
