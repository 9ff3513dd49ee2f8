package sinks

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Repairs is what those commands need of a store that compare what it holds, mend it and drop what is old. They work
// beside readers of streams: a run is guarded by its version, as in Commit.
type Repairs interface {
	// Holdings returns all that the store has of the runs, each as one commit left it, in the order of the keys. A run that
	// the store does not know is a Holding without record and events.
	Holdings(ctx context.Context, runs []events.Key) ([]Holding, error)
	// Amend commits changes of runs that come from no stream: missing events, corrected records. Next and DeadLetters of
	// the batch are not looked at. Errors are those of Commit, but for ErrPositionMoved.
	Amend(ctx context.Context, b *Batch) error
	// Records returns up to limit records with a key above after, sorted by key, that match the filter.
	Records(ctx context.Context, f RecordFilter, after uuid.UUID, limit int) ([]aggregate.Metrics, error)
	// Seal drops the events of closed runs and keeps their records, which nothing changes any more. Runs that are not at
	// the version of their record here, or not closed, are left alone. It returns how many were sealed.
	Seal(ctx context.Context, runs []aggregate.Metrics, at time.Time) (int, error)
	// Audit keeps an entry: the first call for an id inserts it, later ones replace it.
	Audit(ctx context.Context, e AuditEntry) error
}

// Holding is what a store has of one run.
type Holding struct {
	// Run is the fold of its stored events, of none where there are none.
	Run *aggregate.Run
	// Record is its row, nil where there is none. Its Version and UpdatedAt are the last commit's.
	Record *aggregate.Metrics
	// Version is the record's; without a record that of the newest stored events, which somebody left behind who deleted
	// the row. The next change is the one after it.
	Version int64
	// Sealed: its events were dropped on purpose, and nothing changes it any more.
	Sealed bool
	// Gaps is how many commits' events are missing: each commit of a run stores some, or none on purpose.
	Gaps int64
	// Voided are the ids that the store lists as voided, sorted. They should be those that Run's voids name.
	Voided []string
	// Blind: what one of its commits changed in its latencies is not known, so that they are worked out from its events.
	Blind bool
	// Skewed: what is stored of its latencies is not what its events add up to.
	Skewed bool
	// Digest is of its stored events, in the order of their commits.
	Digest Digest
	// Damage says why its stored events cannot be read, or are not what any commit stores; else empty.
	Damage string
}

// RecordFilter selects records. Zero fields select all.
type RecordFilter struct {
	CampaignID, RunID, Phase string
	// FinishedBefore selects closed runs that finished before it and are not sealed.
	FinishedBefore time.Time
}

// AuditEntry says who changed what is stored by other means than events.
type AuditEntry struct {
	ID        uuid.UUID
	Command   string // such as "replay"
	Arguments string // as they were given
	Who       string // user and machine
	Began     time.Time
	Ended     time.Time // zero while it goes on
	Outcome   AuditOutcome
	Counts    string // a JSON object
}

// AuditOutcome is how a command ended.
type AuditOutcome string

// The outcomes.
const (
	AuditRunning     AuditOutcome = "running" // or it was killed
	AuditDone        AuditOutcome = "done"
	AuditInterrupted AuditOutcome = "interrupted"
	AuditFailed      AuditOutcome = "failed"
)
