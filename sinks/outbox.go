package sinks

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// The outbox says which runs have a version that their copy elsewhere may not have. Commit marks the runs that it
// changes, in its transaction, when the store was opened with marks: a run's first record and the one that closes it are
// due at once, others no sooner than the interval that the last Claim asked for.
//
// A dispatcher claims records, sends them without holding a transaction, and settles each with what became of it. A
// claimed run is nobody else's until it is settled, so no two requests about one row are under way at once; unless their
// owner is taken for dead and Adopt gives its claims away. Whoever settles a claim that is not its own any more may have
// written an older version over a newer one: the run becomes due again.
//
// A request whose answer was lost may still take place, after later ones. Such a run is in doubt until a time: it is sent
// as usual, and once more by a claim from that time on.

// Outbox is what the dispatcher of copies needs of a store. Times are the caller's: the store has no clock.
type Outbox interface {
	// Adopt makes what all owners but the living have claimed due at once, and in doubt until then: their requests may
	// still take place.
	Adopt(ctx context.Context, living []uuid.UUID, now, doubtUntil time.Time) (Standing, error)
	// Claim takes due runs, those due longest first, and returns their newest records. One round trip, whether or not
	// anything is due.
	Claim(ctx context.Context, c Claim) (Claimed, error)
	// Settle says what became of claimed runs, and counts what was sent. One round trip.
	Settle(ctx context.Context, s Settlement) (Settled, error)
	// Mark makes runs due at once whatever was delivered, also those that no commit marked and those that are parked.
	// Keys without a run are left alone.
	Mark(ctx context.Context, runs []uuid.UUID, now time.Time) error
	// SetRowIDs says under which id the copy keeps a run's row, where that is not the run key. It marks nothing. Keys
	// without a run are left alone.
	SetRowIDs(ctx context.Context, rows map[uuid.UUID]uuid.UUID) error
	// Copies returns up to limit runs with a key above after, sorted by key, that match the filter.
	Copies(ctx context.Context, f CopyFilter, after uuid.UUID, limit int) ([]Copy, error)
	// CopiesOf returns the runs whose key or row id is among the ids, in any order.
	CopiesOf(ctx context.Context, ids []uuid.UUID) ([]Copy, error)
	// Parked returns up to limit runs that the copy refuses, those parked last first.
	Parked(ctx context.Context, limit int) ([]Copy, error)
	// Standing counts. It reads all that waits: not for every request.
	Standing(ctx context.Context, now time.Time) (Standing, error)
}

// Claim asks for due runs.
type Claim struct {
	// Owner is of this claim alone. One that claimed a run once more, at the same version, while it had not settled it could
	// not say which of the two it settles: the other request would be taken for over, and may still take place.
	Owner uuid.UUID
	Now   time.Time
	// NotBefore is when the next version of a claimed run is due at the earliest, unless it closes the run.
	NotBefore time.Time
	// ClosingOnly leaves all runs but those whose newest version is closed, and of which no closed version was delivered.
	ClosingOnly bool
	Limit       int
}

// Claimed is what a Claim got.
type Claimed struct {
	Copies []Copy
	// Next is when the first of the runs that nobody claimed is due, at or before the claim's Now if there are more than
	// its Limit; zero where nothing waits. ClosingOnly counts the runs here that it leaves.
	Next time.Time
}

// Copy is a run with what is known of its copy elsewhere.
type Copy struct {
	Metrics aggregate.Metrics
	RowID   uuid.UUID // of its row there: the run key, unless SetRowIDs said otherwise
	// Delivered is the newest version that was delivered, 0 before the first.
	Delivered int64
	// Waiting: it is due, now or later, or claimed.
	Waiting bool
	// Parked is why its copy was last refused, until a version is delivered; else empty.
	Parked string
}

// Verdict is what became of a claimed run.
type Verdict int

// The verdicts.
const (
	Delivered Verdict = iota // the copy has this version
	Released                 // not sent, or the copy did not take it, or nobody knows: due at once
	Parked                   // the copy refuses this version for its content: due again with another one, or by Mark
)

// Outcome is the verdict on one claimed run.
type Outcome struct {
	RunKey  uuid.UUID
	Version int64 // that was claimed
	Closed  bool  // that version's status was not running
	Verdict Verdict
	Reason  string // of Parked: why
	// DoubtUntil is until when a request about the run may still take place whose answer was lost; else zero.
	DoubtUntil time.Time
}

// Settlement is what became of several.
type Settlement struct {
	Owner    uuid.UUID
	Now      time.Time
	Outcomes []Outcome // each run once
	// RetryParked is when the next version of a parked run is due at the earliest, unless it closes the run.
	RetryParked time.Time
	// Targets is how many rows were sent since the last settlement, refused and repeated ones too. They are counted on
	// the UTC day of Now.
	Targets int64
}

// Settled is the answer to a settlement.
type Settled struct {
	// Lost is how many outcomes were of runs that the owner did not hold any more, and of which something may have been
	// sent. They are due again.
	Lost         int
	TargetsToday int64 // of all owners
	// Next is when the first of the runs that nobody has claimed is due; zero where nothing waits.
	Next time.Time
}

// CopyFilter selects runs. Zero fields select all.
type CopyFilter struct {
	CampaignID   string
	Since, Until time.Time // on CreatedAt: Since ≤ CreatedAt < Until
}

// Standing is how the outbox stands.
type Standing struct {
	Waiting      int64     // runs that are due, now or later, or claimed
	Oldest       time.Time // since when the one that is due longest is due; zero where nothing waits
	Parked       int64     // runs that the copy refuses
	TargetsToday int64     // rows sent on the UTC day
}
