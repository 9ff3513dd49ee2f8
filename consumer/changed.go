package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Changed is announced after a commit on the core subject ChangedSubject. It is a hint: who misses one reads the store.
type Changed struct {
	Stream   string              `json:"stream"`
	Epoch    int64               `json:"epoch"`
	Position uint64              `json:"position"` // everything up to here is committed
	Records  []aggregate.Metrics `json:"records"`
}

// recordsPerMessage keeps announcements below a broker's default limit of 1 MiB: a record has at most 3 KB.
const recordsPerMessage = 250

// ChangedSubject is where the commits of a deployment are announced.
func ChangedSubject(deployment string) string { return "runmetrics." + deployment + ".changed" }

// announce tells everybody who listens which records a commit changed. Only the last of several messages carries the
// position, so who waits for it has seen all records.
func announce(conn *nats.Conn, deployment string, b *sinks.Batch) error {
	records := make([]aggregate.Metrics, len(b.Runs))
	for i := range b.Runs {
		records[i] = b.Runs[i].Metrics
	}
	for {
		part := Changed{Stream: b.Next.Stream, Epoch: b.Next.Epoch}
		part.Records, records = records[:min(len(records), recordsPerMessage)], records[min(len(records), recordsPerMessage):]
		if len(records) == 0 {
			part.Position = b.Next.Sequence
		}
		data, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("encode announcement: %w", err)
		}
		if err := conn.Publish(ChangedSubject(deployment), data); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		if len(records) == 0 {
			return nil
		}
	}
}

// Watch follows the commits of a deployment, whichever replica makes them.
type Watch struct {
	subscription *nats.Subscription

	mu      sync.Mutex
	through map[string]progress // by stream
	changed chan struct{}       // closed and replaced on every announcement
}

type progress struct {
	epoch    int64
	position uint64
}

// NewWatch listens on the connection until Close.
func NewWatch(conn *nats.Conn, deployment string) (*Watch, error) {
	w := &Watch{through: make(map[string]progress), changed: make(chan struct{})}
	var err error
	if w.subscription, err = conn.Subscribe(ChangedSubject(deployment), w.receive); err != nil {
		return nil, fmt.Errorf("watch commits: %w", err)
	}
	return w, nil
}

// Close stops listening. Waiting calls end with their contexts.
func (w *Watch) Close() error { return w.subscription.Unsubscribe() }

func (w *Watch) receive(m *nats.Msg) {
	var c struct {
		Stream   string `json:"stream"`
		Epoch    int64  `json:"epoch"`
		Position uint64 `json:"position"`
	}
	if json.Unmarshal(m.Data, &c) != nil || c.Position == 0 {
		return // not ours, or not the last part
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if have := w.through[c.Stream]; c.Epoch > have.epoch || c.Epoch == have.epoch && c.Position > have.position {
		w.through[c.Stream] = progress{c.Epoch, c.Position}
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// Wait returns when the stream is committed through sequence, or the context's error. Commits before the watch began
// count once a later one is announced.
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
