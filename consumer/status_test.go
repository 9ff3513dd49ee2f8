package consumer

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// TestNoSnapshotFallsBetweenTheHalvesOfAChange makes as many changes as a busy reader does in minutes.
func TestNoSnapshotFallsBetweenTheHalvesOfAChange(t *testing.T) {
	t.Parallel()
	s := &status{}
	over := make(chan struct{})
	go func() {
		defer close(over)
		var p sinks.Position
		for i := range 100_000 {
			next := p
			next.Sequence += 4
			next.Applied, next.Duplicates, next.DeadLetters, next.Gone = p.Applied+1, p.Duplicates+1, p.DeadLetters+1, p.Gone+1
			s.read(5)
			s.discard(1)
			s.committed(p, &sinks.Batch{Next: next, DeadLetters: []sinks.DeadLetter{{Reason: events.Reasons[i%len(events.Reasons)]}}}, Sums{}, Delays{}, time.Now())
			if p = next; i%10 == 0 {
				s.abandon()
				p = sinks.Position{Epoch: p.Epoch + 1}
				s.begin(p)
			}
		}
	}()
	inFlight := 0
	for running := true; running; {
		select {
		case <-over:
			running = false
		default:
		}
		s := s.snapshot()
		if p := s.Position; s.Read != s.Applied+s.Duplicates+s.DeadLetters+s.Discarded+s.InFlight ||
			int64(p.Sequence) != p.Applied+p.Duplicates+p.DeadLetters+p.Gone {
			t.Fatalf("does not add up: %+v", s)
		}
		byReason := int64(0)
		for _, n := range s.ByReason {
			byReason += n
		}
		if byReason != s.DeadLetters {
			t.Fatalf("%d dead letters have a reason: %+v", byReason, s)
		}
		if s.InFlight > 0 {
			inFlight++
		}
	}
	if inFlight == 0 {
		t.Error("no snapshot was taken while anything was in flight")
	}
}
