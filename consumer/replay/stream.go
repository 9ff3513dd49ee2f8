package replay

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// StreamConfig says what to read of which stream.
type StreamConfig struct {
	Stream string
	Range
	// Filter is applied by the broker, too, where it names a campaign or a run of plain characters: then what was published
	// on subjects that encode these without need is not found.
	Filter
	// Keep is asked before a message is decoded, which is left out where the answer is false. Nil keeps all.
	Keep func(subject string) bool
	Rate float64 // messages a second at most; 0 sets no bound
}

// Stream is a stream as a source. It ends at the message that was the stream's last when it was opened, whatever arrives
// later.
type Stream struct {
	StreamState

	config   StreamConfig
	js       jetstream.JetStream
	subjects []string // filter of the broker, nil for all
	from, to uint64   // what has to be read
	position atomic.Uint64
	patience time.Duration
	list     uint64 // messages of one request at most
}

// StreamState is what a stream was like when it was opened.
type StreamState struct {
	Created   time.Time
	First     uint64    // sequence of its first message; one more than Last where it has none
	FirstTime time.Time // when that was stored, zero where there is none
	Last      uint64    // sequence of its last message, 0 where there never was one
	LastTime  time.Time
	Messages  uint64
	Deleted   int // messages that are gone between First and Last
	Bytes     uint64
}

const (
	// requestTime limits each request to the broker. Making a filtered consumer in the midst of a big stream was seen to
	// take 7 to 15 s.
	requestTime = 15 * time.Second
	// patience is for how long a stream is asked again from which nothing comes.
	patience = time.Minute
	// clockSlack is by how much the clocks of a cluster's brokers may differ: each gives its time to what it stores while
	// it leads, so that times of a stream may go back.
	clockSlack = time.Minute
)

// OpenStream looks at the stream. js is of JetStream's API without a domain; its connection may be lost and come back while
// the stream is read. A right that is missing is nats.ErrPermissionViolation, here and of Read.
func OpenStream(ctx context.Context, js jetstream.JetStream, c StreamConfig) (*Stream, error) {
	s := &Stream{config: c, js: js, subjects: c.subjects(), patience: patience, list: fetchMessages}
	stream, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", c.Stream, s.explain(err))
	}
	info := stream.CachedInfo()
	s.StreamState = StreamState{Created: info.Created, First: info.State.FirstSeq, FirstTime: info.State.FirstTime,
		Last: info.State.LastSeq, LastTime: info.State.LastTime, Messages: info.State.Msgs, Deleted: info.State.NumDeleted,
		Bytes: info.State.Bytes}
	s.from, s.to = max(1, s.First, c.FromSequence), s.Last
	if c.ToSequence > 0 {
		s.to = min(s.to, c.ToSequence)
	}
	if s.Messages == 0 {
		s.FirstTime, s.to = time.Time{}, 0
	}
	if err := s.resolve(ctx); err != nil {
		return nil, fmt.Errorf("find the time in stream %s: %w", c.Stream, s.explain(err))
	}
	s.position.Store(s.from - 1)
	return s, nil
}

// resolve narrows the sequences to those that may lie in the range of time.
func (s *Stream) resolve(ctx context.Context) error {
	if !s.config.From.IsZero() && s.from <= s.to {
		sequence, err := s.firstAt(ctx, s.config.From.Add(-clockSlack))
		if err != nil {
			return err
		}
		s.from = max(s.from, sequence)
	}
	if !s.config.To.IsZero() && s.from <= s.to {
		sequence, err := s.firstAt(ctx, s.config.To.Add(clockSlack))
		if err != nil {
			return err
		}
		s.to = min(s.to, sequence-1)
	}
	return nil
}

// Name is the stream's.
func (s *Stream) Name() string { return s.config.Stream }

// Span is from and through which sequence is read; nothing where from is greater.
func (s *Stream) Span() (from, to uint64) { return s.from, s.to }

// Position is how far the reading under way, or the last one, is: the last sequence that it has dealt with. It may be
// asked at any time.
func (s *Stream) Position() uint64 { return s.position.Load() }

// Read gives the records of the stream. What is broken on the way is mended, and nothing is given twice; where nothing
// comes for a minute, that is an error. One call at a time.
func (s *Stream) Read(ctx context.Context, each func(*Record) error) error {
	s.position.Store(s.from - 1)
	ctx, cancel := context.WithCancel(ctx)
	fetched, decoded := make(chan []message), make(chan decodedList)
	used := make(chan []Record, 1)
	var failed error
	var stages sync.WaitGroup
	stages.Go(func() {
		defer close(fetched)
		f := fetcher{Stream: s, next: s.from, out: fetched}
		failed = f.run(ctx)
	})
	stages.Go(func() {
		defer close(decoded)
		s.decode(ctx, fetched, decoded, used)
	})
	err := s.hand(ctx, decoded, used, each)
	cancel()
	stages.Wait()
	if err != nil || failed != nil {
		return cmp.Or(err, failed)
	}
	s.position.Store(max(s.from-1, s.to))
	return nil
}

// decodedList are the records of one list of messages.
type decodedList struct {
	records []Record
	through uint64 // the last sequence that was looked at for them
}

// decode turns messages into records, beside the arrival of the next ones and the work on those before. It writes over
// those that were used.
func (s *Stream) decode(ctx context.Context, fetched <-chan []message, decoded chan<- decodedList, used <-chan []Record) {
	pace := Pace{PerSecond: s.config.Rate}
	for list := range fetched {
		d := decodedList{through: list[len(list)-1].sequence}
		select {
		case d.records = <-used:
		default:
			d.records = make([]Record, 0, len(list))
		}
		for i := range list {
			if pace.Wait(ctx) != nil {
				return
			}
			d.records = s.appendRecord(d.records, &list[i])
		}
		select {
		case decoded <- d:
		case <-ctx.Done():
			return
		}
	}
}

// appendRecord appends what a message is, where range and filter select it.
func (s *Stream) appendRecord(list []Record, m *message) []Record {
	if !s.config.holds(m.sequence, m.time) || s.config.Keep != nil && !s.config.Keep(m.Subject) {
		return list
	}
	n := len(list)
	list = append(list, Record{Sequence: m.sequence, Time: m.time, Size: len(m.Data)})
	r := &list[n]
	r.Event, r.Rejected = events.Decode(events.Message{Subject: m.Subject, Header: m.Header, Data: m.Data, Time: m.time})
	if r.Rejected != nil {
		r.Event.CampaignID, r.Event.RunID, _ = events.ParseSubject(m.Subject)
	}
	if !s.config.takes(r) {
		return list[:n]
	}
	return list
}

// hand gives the records away.
func (s *Stream) hand(ctx context.Context, decoded <-chan decodedList, used chan<- []Record, each func(*Record) error) error {
	for d := range decoded {
		for i := range d.records {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := each(&d.records[i]); err != nil {
				return err
			}
			s.position.Store(d.records[i].Sequence)
		}
		s.position.Store(d.through)
		select {
		case used <- d.records[:0]:
		default:
		}
	}
	return ctx.Err()
}
