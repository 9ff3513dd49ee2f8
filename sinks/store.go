package sinks

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Store is a whole store: what the consumer writes, what the API reads and what the dispatcher empties.
// All methods may be called by several goroutines at once.
type Store interface {
	Ledger
	Reader
	Outbox
	Letters
	Repairs
	// Close releases connections. Calls under way fail with ErrUnavailable.
	Close() error
}

// Identity names a database so that two of them are never taken for one.
type Identity struct {
	Host     string    // host and port, or the host's name for a file
	Database string    // name of the database, or the path of the file
	Ledger   uuid.UUID // made with the schema; a copy of the database has the same
}

// String is the fingerprint that consumers carry: host/database#ledger.
func (i Identity) String() string { return i.Host + "/" + i.Database + "#" + i.Ledger.String() }

// Position is how far a stream has been read, and what became of everything up to there:
// Sequence = Applied + Duplicates + DeadLetters + Gone.
type Position struct {
	Stream string
	// Epoch counts the timelines of the stream that were read: 1 at first, one more each time the stream was recreated
	// or lost its tail. Older epochs stay in the store as history. 0: nothing was ever committed.
	Epoch int64
	// Created is when the stream was created, in nanoseconds precision as the server says it.
	Created time.Time
	// Sequence is the last stream sequence that is dealt with, 0 before the first.
	Sequence uint64
	// MessageTime is when the stream stored the message at Sequence; zero where there was none to ask.
	MessageTime time.Time

	Applied     int64 // events applied to a run
	Duplicates  int64 // events whose id and content were applied before
	DeadLetters int64 // messages that no run could take
	Gone        int64 // sequences that the stream no longer held when they were asked for
}

// RunChange is what a commit does to one run.
type RunChange struct {
	Metrics aggregate.Metrics // Version is the new one: 1 asserts that the store has no such run
	Events  []*events.Event   // the newly applied ones, in the order in which they were applied
	// Latencies are what these events changed in the latencies of the run; nil where that is not known, because what the
	// store has of the run is not whole.
	Latencies aggregate.LatencyChanges
	// Voided, where it is not nil, replaces the ids that the store lists as voided. Of Amend only: a Commit adds those of
	// its events.
	Voided []string
	// Whole says that the store has all events of the run now: earlier commits whose events are missing count as commits
	// without events from then on. Of Amend only.
	Whole bool
	// Due is when the run's copy is due, where that is not At of the batch. Of Amend only.
	Due time.Time
}

// DueAt is when the run's copy is due after a commit at a time.
func (r *RunChange) DueAt(at time.Time) time.Time {
	if r.Due.IsZero() {
		return at
	}
	return r.Due
}

// DeadLetter is a message that became no event. Its position is unique.
type DeadLetter struct {
	Sequence   uint64
	Subject    string
	CampaignID string // from the event, else from the subject where that can be read, else empty
	RunID      string
	Reason     events.Reason
	Field      string // the first bad field, or empty
	Detail     string // every bad field with its rule; no values
	Time       time.Time
	Payload    []byte // at most MaxDeadPayload bytes
}

// MaxDeadPayload is how many bytes of a dead letter's payload are kept; the rest is read from the stream.
const MaxDeadPayload = 4 << 10

// Batch is one commit.
type Batch struct {
	Next        Position // same Stream; Epoch and Sequence not below those of the position it replaces
	Runs        []RunChange
	DeadLetters []DeadLetter
	At          time.Time // UpdatedAt of the runs
}

// Ledger is what the consumer needs of a store.
type Ledger interface {
	// Identity names the database. It is read once, at start.
	Identity(ctx context.Context) (Identity, error)
	// Position returns the newest epoch of a stream, a Position with Epoch 0 where there is none.
	Position(ctx context.Context, stream string) (Position, error)
	// Load reads runs back by folding their stored events. A run that the store does not have is absent from the
	// result. One of which it has events and no record, because somebody deleted that row, is there. Where any run is there
	// and the stream does not stand at the position in the same snapshot, it is ErrPositionMoved: an event that is a
	// duplicate by what was read there need not be one for the next commit.
	Load(ctx context.Context, at Position, runs []events.Key) (map[uuid.UUID]StoredRun, error)
	// Commit stores the batch if the stream still stands at prev. One round trip. See the package comment for errors.
	Commit(ctx context.Context, prev Position, b *Batch) error
}

// StoredRun is a run as it stands in the store.
type StoredRun struct {
	Run     *aggregate.Run
	Version int64
	// Sealed: its events were dropped, and the store refuses every change. Run is empty.
	Sealed bool
}

// Reader is what the query API needs of a store.
type Reader interface {
	// List returns up to limit records that match, newest first: by CreatedAt, then RunKey, both descending. With after,
	// those that come behind it.
	List(ctx context.Context, f Filter, after *Cursor, limit int) ([]aggregate.Metrics, error)
	// Survey visits every record that matches, in no order, with its latencies: all of one snapshot. An error of visit ends it.
	Survey(ctx context.Context, f Filter, visit func(r *Surveyed) error) error
	// Get returns the record of one run key, false where there is none.
	Get(ctx context.Context, run uuid.UUID) (aggregate.Metrics, bool, error)
	// Events visits every applied event of a run key in the order of application, voided ones too. The event is the
	// visitor's for the visit only, its texts for ever. An error of visit ends it.
	Events(ctx context.Context, run uuid.UUID, visit func(e *events.Event) error) error
	// Voided returns the ids of events that count nowhere in the run, whether or not they came.
	Voided(ctx context.Context, run uuid.UUID) ([]string, error)
	// Changed returns up to limit records that were committed at since or later, the last committed first. It reads the
	// whole table: an index on the time would make every commit dearer.
	Changed(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error)
	// CountDeadLetters counts the open ones that name the run.
	CountDeadLetters(ctx context.Context, campaignID, runID string) (int64, error)
}

// EventsOf returns every applied event of a run key in the order of application, voided ones too.
func EventsOf(ctx context.Context, r Reader, run uuid.UUID) ([]events.Event, error) {
	var list []events.Event
	err := r.Events(ctx, run, func(e *events.Event) error {
		list = append(list, *e)
		return nil
	})
	return list, err
}

// Surveyed is a record with the latencies that it is over.
type Surveyed struct {
	aggregate.Metrics
	// Sealed is when its events were dropped, zero where they were not.
	Sealed time.Time
	// Latencies are what its commits changed in them, all together, as AppendLatencies wrote it; nil where that is not
	// known. Valid during the visit only.
	Latencies []byte
}

// Filter selects records. Zero fields select all.
type Filter struct {
	CampaignID, RunID, Phase string
	Status                   aggregate.Status // Stalled and Running need IdleSince
	Since, Until             time.Time        // on CreatedAt: Since ≤ CreatedAt < Until
	// IdleSince tells running from stalled: a run that is stored as running and was last committed before it counts as
	// stalled. Zero: no run is stalled.
	IdleSince time.Time
}

// Cursor is a place in a listing: behind the record with this time and key.
type Cursor struct {
	CreatedAt time.Time
	RunKey    uuid.UUID
}
