package query

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// What eventVerdict.Status says.
const (
	eventAccepted    = "accepted"
	eventDuplicate   = "duplicate"
	eventRefused     = "refused"
	eventUnconfirmed = "unconfirmed"
)

// eventVerdict is what became of one event of a request.
type eventVerdict struct {
	Index    int           `json:"index" doc:"Which event of the body, from 0; blank lines are none."`
	ID       *string       `json:"id" doc:"The event's id, null where it cannot be read."`
	Status   string        `json:"status" enum:"accepted,duplicate,refused,unconfirmed" doc:"accepted: new in the stream. duplicate: the stream has had it for a short while; one that it had longer ago is accepted, and counted once all the same. refused: it breaks the contract. unconfirmed, only where the answer is 503: the stream may have it or not."`
	RunKey   *uuid.UUID    `json:"runKey,omitempty" required:"false" doc:"Absent where it is refused."`
	Stream   string        `json:"stream,omitempty" required:"false" doc:"Where it is accepted or a duplicate."`
	Sequence uint64        `json:"sequence,omitempty" required:"false" doc:"Where it is accepted or a duplicate."`
	Reason   events.Reason `json:"reason,omitempty" required:"false" doc:"Where it is refused: as of a dead letter."`
	Field    string        `json:"field,omitempty" required:"false" doc:"The first bad field."`
	Detail   string        `json:"detail,omitempty" required:"false" doc:"Every bad field with its rule."`
}

// eventVerdicts is the answer to a request with events.
type eventVerdicts struct {
	Accepted    int            `json:"accepted"`
	Duplicates  int            `json:"duplicates"`
	Refused     int            `json:"refused"`
	Unconfirmed int            `json:"unconfirmed,omitempty" required:"false" doc:"Only where the answer is 503."`
	Events      []eventVerdict `json:"events" nullable:"false" doc:"In the order of the body."`
}

// eventsProblem is a problem that says what became of each event.
type eventsProblem struct {
	huma.ErrorModel
	eventVerdicts
}

// judgeEvents judges each event as the reader of the stream would, now. Those that pass are returned beside the verdicts,
// each with its index there.
func judgeEvents(messages []events.Message, now time.Time) (v *eventVerdicts, passed []*events.Event, indexes []int) {
	v = &eventVerdicts{Events: make([]eventVerdict, len(messages))}
	for i, m := range messages {
		verdict := &v.Events[i]
		verdict.Index = i
		// The subject will be the event's own, so it cannot name another run.
		m.Time = now
		e, rejection := events.Decode(m)
		if rejection != nil {
			v.refuse(verdict, rejection, m.Data)
			continue
		}
		runKey := e.UUID()
		verdict.ID, verdict.RunKey = &e.ID, &runKey
		passed, indexes = append(passed, &e), append(indexes, i)
	}
	return v, passed, indexes
}

func (v *eventVerdicts) refuse(verdict *eventVerdict, r *events.Rejection, data []byte) {
	v.Refused++
	verdict.Status, verdict.Reason, verdict.Field = eventRefused, r.Reason, r.Field()
	verdict.Detail = strings.TrimPrefix(r.Error(), string(r.Reason)+": ")
	if id := idOf(data); nameProblem(id, maxEventID) == "" {
		verdict.ID = &id
	}
}

// idOf reads the id of a refused event, or of the CloudEvent around it where it has none itself.
func idOf(data []byte) string {
	var outer struct {
		ID, SpecVersion string
		Data            json.RawMessage
	}
	if json.Unmarshal(data, &outer) != nil {
		return ""
	}
	var inner struct{ ID string }
	if outer.SpecVersion != "" && json.Unmarshal(outer.Data, &inner) == nil && inner.ID != "" {
		return inner.ID
	}
	return outer.ID
}

// settle says what the stream did with the events that passed, and returns the first error.
func (v *eventVerdicts) settle(indexes []int, receipts []Receipt) (first error) {
	for i, r := range receipts {
		verdict := &v.Events[indexes[i]]
		switch {
		case r.Err != nil:
			verdict.Status = eventUnconfirmed
			v.Unconfirmed++
			if first == nil {
				first = r.Err
			}
			continue
		case r.Duplicate:
			verdict.Status = eventDuplicate
			v.Duplicates++
		default:
			verdict.Status = eventAccepted
			v.Accepted++
		}
		verdict.Stream, verdict.Sequence = r.Stream, r.Sequence
	}
	return first
}
