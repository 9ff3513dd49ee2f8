package consumer

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// State is what a reader is doing.
type State string

// The states of a reader.
const (
	Starting State = "starting"
	Active   State = "active"   // it reads, or would if anything came
	Standby  State = "standby"  // another replica reads
	Degraded State = "degraded" // the store or the broker is away; it goes on by itself when they are back
	Blocked  State = "blocked"  // it cannot go on before a person acts
)

// Status is a snapshot of a reader. Counts are of this process, and in every snapshot
//
//	Read = Applied + Duplicates + DeadLetters + Discarded + InFlight
//	Position.Sequence = Position.Applied + Position.Duplicates + Position.DeadLetters + Position.Gone
type Status struct {
	Stream   string
	State    State
	Reason   string         // why it is degraded or blocked, else empty
	Note     string         // what was last found of the stream that was not as expected: recreated, tail lost, messages gone
	Position sinks.Position // what the store last said or took; of a standby, when it last began to stand by
	// Reached is the last sequence that is known to be committed. For a standby it is what the broker knows of the reader
	// that reads, which may be half a minute old; else it is the position's.
	Reached      uint64
	LastSequence uint64 // of the stream, as the broker last said
	// Delay is from when the stream stored the last message that this reader committed until that was committed, by the
	// clocks of broker and reader; 0 before the first.
	Delay time.Duration
	// OutageHours is how long the store could stay away from then on before events are lost or refused; nil where
	// nothing bounds it.
	OutageHours *float64

	Read        int64
	Applied     int64
	Duplicates  int64
	DeadLetters int64
	Discarded   int64 // delivered again, out of turn, or folded into a batch that another session repeats
	InFlight    int64
	// ByReason has the dead letters of each reason that came up; together they are DeadLetters.
	ByReason map[events.Reason]int64
	Gone     int64 // sequences that had left the stream when their turn came: never read, and stepped over by a commit
	Sums     Sums  // over the executions among Applied
	Delays   Delays
}

// Pending is how many messages the stream is known to hold behind what is known to be committed.
func (s Status) Pending() int64 {
	if s.LastSequence <= s.Reached {
		return 0
	}
	return int64(s.LastSequence - s.Reached)
}

// status is the shared, guarded form of Status.
type status struct {
	mu     sync.Mutex
	s      Status
	failed time.Time // when it was last degraded or blocked
	// unproven: what failed last was a commit, at a store that may well be one that can be read: full or read-only, or
	// short of a right.
	unproven bool
}

func (s *status) snapshot() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.s
	now.ByReason = maps.Clone(now.ByReason)
	return now
}

func (s *status) update(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.s)
}

// reads shows that this reader is the one that reads. Where something waits to be committed, what the last commit failed
// of stays shown until one succeeds.
func (s *status) reads(pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pending && s.unproven && s.s.failing() {
		return
	}
	s.s.State, s.s.Reason = Active, ""
}

func (s *Status) failing() bool { return s.State == Degraded || s.State == Blocked }

func (s *status) fail(state State, err error) {
	var commit *commitError
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.State, s.s.Reason, s.unproven = state, err.Error(), errors.As(err, &commit)
	s.failed = time.Now()
}

// able tells whether the reader reached store and broker, and has not failed since.
func (s *status) able(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return (s.s.State == Active || s.s.State == Standby) && !s.failed.After(since)
}

// standby shows where the reader is that holds the pin, as far as the broker knows.
func (s *status) standby(position uint64) {
	s.update(func(s *Status) {
		s.State, s.Reason = Standby, ""
		s.Reached = max(s.Reached, position)
	})
}

// begin takes note of where a session goes on.
func (s *status) begin(p sinks.Position) {
	s.update(func(s *Status) { s.Position, s.Reached = p, p.Sequence })
}

// stream takes note of what the broker says of the stream.
func (s *status) stream(info *jetstream.StreamInfo) {
	hours, bounded := OutageHours(info)
	s.room(info.State.LastSeq, hours, bounded)
}

// room takes note of what the stream holds, and how many hours the store could stay away.
func (s *status) room(last uint64, hours float64, bounded bool) {
	s.update(func(s *Status) {
		s.LastSequence, s.OutageHours = last, nil
		if bounded {
			s.OutageHours = &hours
		}
	})
}

// read counts messages that were taken in.
func (s *status) read(n int) {
	s.update(func(s *Status) {
		s.Read += int64(n)
		s.InFlight += int64(n)
	})
}

// holds takes note of a message that the stream is known to hold.
func (s *status) holds(sequence uint64) {
	s.update(func(s *Status) { s.LastSequence = max(s.LastSequence, sequence) })
}

// discard counts messages that were taken in and go no further.
func (s *status) discard(n int) {
	s.update(func(s *Status) {
		s.Discarded += int64(n)
		s.InFlight -= int64(n)
	})
}

// abandon ends a session: what is in flight will be read again.
func (s *status) abandon() {
	s.update(func(s *Status) { s.Discarded, s.InFlight = s.Discarded+s.InFlight, 0 })
}

// committed counts a batch, by how the position changed and by its dead letters.
func (s *status) committed(before sinks.Position, b *sinks.Batch, sums Sums, delays Delays, now time.Time) {
	after := b.Next
	s.update(func(s *Status) {
		if before.Epoch != after.Epoch {
			before = sinks.Position{}
		}
		done := [...]int64{after.Applied - before.Applied, after.Duplicates - before.Duplicates,
			after.DeadLetters - before.DeadLetters}
		s.Applied += done[0]
		s.Duplicates += done[1]
		s.DeadLetters += done[2]
		s.countReasons(b.DeadLetters)
		s.Sums.plus(sums)
		s.Delays.plus(delays)
		s.InFlight -= done[0] + done[1] + done[2]
		s.Gone += after.Gone - before.Gone
		if s.failing() {
			s.State, s.Reason = Active, ""
		}
		if !after.MessageTime.IsZero() {
			s.Delay = max(0, now.Sub(after.MessageTime))
		}
		s.Position, s.Reached, s.LastSequence = after, after.Sequence, max(s.LastSequence, after.Sequence)
	})
}

func (s *Status) countReasons(letters []sinks.DeadLetter) {
	if len(letters) > 0 && s.ByReason == nil {
		s.ByReason = make(map[events.Reason]int64)
	}
	for i := range letters {
		s.ByReason[letters[i].Reason]++
	}
}
