package sinks

import (
	"context"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// Letters is what those commands need of a store that look at dead letters and deal with them. They work beside readers of
// streams, which go on adding some.
type Letters interface {
	// Letters returns up to limit letters that match, sorted by stream, epoch and sequence, with NewestFirst each of these
	// descending; with after, those behind it.
	Letters(ctx context.Context, f LetterFilter, after *LetterID, limit int) ([]Letter, error)
	// Letter returns one letter with its payload, false where there is none. Epoch 0 is the newest one that has a letter
	// at this sequence.
	Letter(ctx context.Context, id LetterID) (Letter, bool, error)
	// LetterCounts counts those that match, open and resolved, by stream and reason, sorted by these. It reads all of
	// them: nothing to ask every second.
	LetterCounts(ctx context.Context, f LetterFilter) ([]LetterCount, error)
	// ResolveLetters says of open letters what became of them, and returns how many there were: those that are resolved
	// already, or not there, are left as they are. There is room for as many new ones afterwards.
	ResolveLetters(ctx context.Context, list []Resolution, at time.Time) (int64, error)
	// DropResolved removes the rows of letters that were resolved before a time, and returns how many.
	DropResolved(ctx context.Context, before time.Time) (int64, error)
}

// LetterID is the position of a dead letter. An epoch is a timeline of its stream, as in Position.
type LetterID struct {
	Stream   string
	Epoch    int64
	Sequence uint64
}

// Letter is a dead letter as it is stored.
type Letter struct {
	Stream string
	Epoch  int64
	DeadLetter
	ResolvedAt time.Time // zero while it is open
	Resolution string    // what became of it
}

// ID is where it stood in its stream.
func (l *Letter) ID() LetterID { return LetterID{l.Stream, l.Epoch, l.Sequence} }

// LetterFilter selects dead letters. Zero fields select all, but for those that are resolved.
type LetterFilter struct {
	Stream            string
	Reason            events.Reason
	CampaignID, RunID string    // as the letter names them
	Since, Until      time.Time // on Time: Since ≤ Time < Until
	Resolved          bool      // resolved ones too
	Payloads          bool      // read them; of Letters only
	NewestFirst       bool      // of Letters only
}

// LetterCount is how many dead letters a stream has of one reason.
type LetterCount struct {
	Stream   string
	Reason   events.Reason
	Open     int64
	Resolved int64
	// Dropped is how many were counted only, for want of room, ever since the store was made; they lie between the two
	// sequences. No filter but that of stream and reason looks at them.
	Dropped                   int64
	FirstDropped, LastDropped uint64
}

// Resolution says what became of one letter.
type Resolution struct {
	LetterID
	Text string // such as "requeued as sequence 7 of RUN_EVENTS"
}
