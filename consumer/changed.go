package consumer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

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
	// headerFound is on an announcement without records, of a position that was found in the store: whoever committed the
	// last of it may have died before it told.
	headerFound = "Runmetrics-Found"
)

// ChangedSubject is where the commits of a deployment are announced.
func ChangedSubject(deployment string) string { return "runmetrics." + deployment + ".changed" }

// Announce tells everybody who listens which records a commit changed. Only the last of several messages carries the
// position, so who waits for it has seen all records; that of an amendment, which is of no stream, carries none.
func Announce(conn *nats.Conn, deployment string, b *sinks.Batch) error {
	return announce(context.Background(), conn, deployment, b)
}

// announce also carries the span of the context, where that is sampled: what others do about the commit belongs to its
// trace.
func announce(ctx context.Context, conn *nats.Conn, deployment string, b *sinks.Batch) error {
	runs := b.Runs
	var data []byte // of each part in turn: the connection copies what it publishes
	for {
		head, part := Changed{Stream: b.Next.Stream, Epoch: b.Next.Epoch}, runs[:min(len(runs), recordsPerMessage)]
		runs = runs[len(part):]
		m := nats.NewMsg(ChangedSubject(deployment))
		if len(runs) == 0 {
			head.Position = b.Next.Sequence
			m.Header = withSpan(ctx, positionHeader(b.Next))
		}
		var err error
		if data, err = head.append(data[:0], part); err != nil {
			return err
		}
		m.Data = data
		if err := conn.PublishMsg(m); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
		if len(runs) == 0 {
			return nil
		}
	}
}

// append appends JSON with the runs' records, each on a line of its own: who passes records on can tell them apart without
// reading them.
func (c Changed) append(data []byte, runs []sinks.RunChange) ([]byte, error) {
	c.Records = []aggregate.Metrics{}
	head, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encode announcement: %w", err)
	}
	if len(runs) == 0 {
		return append(data, head...), nil
	}
	data = append(data, head[:len(head)-len("]}")]...)
	const typical = 800 // bytes of a record
	data = slices.Grow(data, typical*len(runs))
	for i := range runs {
		if i > 0 {
			data = append(data, ',')
		}
		data = runs[i].Metrics.AppendJSON(append(data, '\n'))
	}
	return append(data, "\n]}"...), nil
}

// AnnounceOther tells everybody who listens that something else than records was changed in the store, such as its dead
// letters: answers from before may be wrong now.
func AnnounceOther(conn *nats.Conn, deployment string) error {
	return Announce(conn, deployment, &sinks.Batch{})
}

// announceFound tells where the store stands. Who was told of less has missed something, and reads it.
func announceFound(conn *nats.Conn, deployment string, p sinks.Position) error {
	data, err := Changed{Stream: p.Stream, Epoch: p.Epoch, Position: p.Sequence}.append(nil, nil)
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: ChangedSubject(deployment), Header: positionHeader(p), Data: data}
	m.Header.Set(headerFound, "1")
	if err := conn.PublishMsg(m); err != nil {
		return fmt.Errorf("announce position: %w", err)
	}
	return nil
}

// positionHeader is for who waits for a position: decoding the records of every commit would be most of its work.
func positionHeader(p sinks.Position) nats.Header {
	if p.Stream == "" {
		return nil
	}
	return nats.Header{
		headerStream:   {p.Stream},
		headerEpoch:    {strconv.FormatInt(p.Epoch, 10)},
		headerPosition: {strconv.FormatUint(p.Sequence, 10)},
	}
}

// withSpan adds the span of the context to a header, where it is sampled.
func withSpan(ctx context.Context, header nats.Header) nats.Header {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return header
	}
	if header == nil {
		header = nats.Header{}
	}
	propagation.TraceContext{}.Inject(ctx, carrier(header))
	return header
}

// Origin is the span of the commit that a message on ChangedSubject announces; the zero one where it has none.
func Origin(m *nats.Msg) trace.SpanContext {
	if origin := originOf(m.Header); origin != nil {
		return *origin
	}
	return trace.SpanContext{}
}
