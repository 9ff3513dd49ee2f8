package replay

import (
	"context"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// Record is one message of a source. It is valid until the function returns that it was given to; its texts stay valid.
type Record struct {
	// Event of a rejected message has the campaign and the run that its subject names, as far as that can be read.
	Event    events.Event
	Rejected *events.Rejection // nil where the event is good
	Sequence uint64            // of the stream, or the line of a file
	Time     time.Time         // when the stream stored it, zero of a file
	Size     int               // bytes of the message's payload, or of the line
}

// Source gives records in its order. An error of each ends the reading and is returned as it is; so is that of the
// context. Two calls of Read give the same records, but for those that left a stream in between.
type Source interface {
	Name() string
	Read(ctx context.Context, each func(*Record) error) error
}

// Filter selects runs. Empty fields select all.
type Filter struct {
	CampaignID, RunID, Phase string
}

// Match tells whether the run is selected.
func (f Filter) Match(key events.Key) bool {
	return (f.CampaignID == "" || f.CampaignID == key.CampaignID) &&
		(f.RunID == "" || f.RunID == key.RunID) &&
		(f.Phase == "" || f.Phase == key.Phase)
}

// takes tells whether a record is selected. Of a rejected message nobody knows the phase.
func (f Filter) takes(r *Record) bool {
	if r.Rejected != nil {
		f.Phase = ""
	}
	return f.Match(r.Event.Key)
}

// subjects are those on which the events of the selected runs are published, with and without the number that a
// partition has in its subjects; nil is all.
func (f Filter) subjects() []string {
	if f.CampaignID == "" && f.RunID == "" {
		return nil
	}
	names := token(f.CampaignID) + "." + token(f.RunID)
	return []string{events.SubjectPrefix + "." + names, events.SubjectPrefix + ".*." + names}
}

// token is the name in a subject, or any where publishers may have written it otherwise: %2e for %2E.
func token(name string) string {
	if name == "" || events.EncodeToken(name) != name {
		return "*"
	}
	return name
}

// Range selects messages of a stream. Zero fields set no bound.
type Range struct {
	FromSequence, ToSequence uint64    // both inclusive
	From, To                 time.Time // From ≤ when the stream stored the message < To
}

func (r *Range) holds(sequence uint64, at time.Time) bool {
	return sequence >= r.FromSequence && (r.ToSequence == 0 || sequence <= r.ToSequence) &&
		!at.Before(r.From) && (r.To.IsZero() || at.Before(r.To))
}
