package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
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

// The last message of a commit's announcement says in headers what its JSON says too.
const (
	headerStream   = "Runmetrics-Stream"
	headerEpoch    = "Runmetrics-Epoch"
	headerPosition = "Runmetrics-Position"
)

// ChangedSubject is where the commits of a deployment are announced.
func ChangedSubject(deployment string) string { return "runmetrics." + deployment + ".changed" }

// Announce tells everybody who listens which records a commit changed. Only the last of several messages carries the
// position, so who waits for it has seen all records; that of an amendment, which is of no stream, carries none.
func Announce(conn *nats.Conn, deployment string, b *sinks.Batch) error {
	records := make([]aggregate.Metrics, len(b.Runs))
	for i := range b.Runs {
		records[i] = b.Runs[i].Metrics
	}
	// Who waits for a position reads headers: decoding the records of every commit would be most of its work.
	header := nats.Header{
		headerStream:   {b.Next.Stream},
		headerEpoch:    {strconv.FormatInt(b.Next.Epoch, 10)},
		headerPosition: {strconv.FormatUint(b.Next.Sequence, 10)},
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
		m := &nats.Msg{Subject: ChangedSubject(deployment), Data: data}
		if len(records) == 0 && b.Next.Stream != "" {
			m.Header = header
		}
		if err := conn.PublishMsg(m); err != nil {
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
	stream := m.Header.Get(headerStream)
	epoch, epochErr := strconv.ParseInt(m.Header.Get(headerEpoch), 10, 64)
	position, positionErr := strconv.ParseUint(m.Header.Get(headerPosition), 10, 64)
	if epochErr != nil || positionErr != nil {
		return // not the last part, or not ours
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if have := w.through[stream]; epoch > have.epoch || epoch == have.epoch && position > have.position {
		w.through[stream] = progress{epoch, position}
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
