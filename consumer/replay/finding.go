package replay

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Verdict says how a run's stored state relates to what its events add up to.
type Verdict string

// The verdicts. Missing and Different can be repaired, Truncated if somebody accepts that; the others are left alone.
const (
	Equal     Verdict = "equal"
	Missing   Verdict = "missing"   // the store has no record of it
	Different Verdict = "different" // figures, executions or voided ids differ
	// Truncated is a missing run that may have begun before the first message that its stream still holds.
	Truncated Verdict = "truncated"
	// BeginningGone is a different run that began before that message: what was stored of its beginning cannot be checked.
	BeginningGone Verdict = "beginning gone"
	// Incomplete is a different run of which the store lacks events, and there is no other source.
	Incomplete Verdict = "incomplete"
	Sealed     Verdict = "sealed"  // its executions were pruned
	Damaged    Verdict = "damaged" // what is stored of it cannot be read
	Refused    Verdict = "refused" // the store refuses a value of it for its content
)

// Difference is a run that is not equal. All its texts are untrusted.
type Difference struct {
	Verdict    Verdict   `json:"verdict"`
	CampaignID string    `json:"campaignId"`
	RunID      string    `json:"runId"`
	Phase      string    `json:"phase"`
	RunKey     uuid.UUID `json:"runKey"`
	// Executions and OtherEvents are how many the sources hold that the store lacks.
	Executions  int64    `json:"missingExecutions"`
	OtherEvents int64    `json:"missingOtherEvents"`
	Fields      []Change `json:"fields,omitempty"`
	Reason      string   `json:"reason,omitempty"` // why it is left alone
	Repaired    bool     `json:"repaired"`
}

// Change is a field of a record that differs. The values are JSON; Stored of a missing record is empty.
type Change struct {
	Field      string `json:"field"`
	Stored     string `json:"stored"`
	Recomputed string `json:"recomputed"`
}

// Changes lists the fields of two records that differ, in the order of the record. Version and UpdatedAt are of commits
// and not looked at. A nil stored record has no fields.
func Changes(stored, recomputed *aggregate.Metrics) []Change {
	var before map[string]json.RawMessage
	if stored != nil {
		before = fieldsOf(stored)
	}
	after := fieldsOf(recomputed)
	var list []Change
	for _, name := range fieldNames {
		if was, is := string(before[name]), string(after[name]); was != is {
			list = append(list, Change{Field: name, Stored: was, Recomputed: is})
		}
	}
	return list
}

// fieldNames are the compared fields of a record, as the API names them.
var fieldNames = func() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[aggregate.Metrics]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch name {
		case "runKey", "version", "updatedAt":
		default:
			names = append(names, name)
		}
	}
	return names
}()

func fieldsOf(m *aggregate.Metrics) (fields map[string]json.RawMessage) {
	text, err := json.Marshal(m)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic("replay: a record is not JSON: " + err.Error()) // it has numbers, texts and times alone
	}
	return fields
}

// sameRecord tells whether Changes would be empty, which it nearly always is.
func sameRecord(stored, recomputed *aggregate.Metrics) bool {
	like := *stored
	like.Version, like.UpdatedAt = recomputed.Version, recomputed.UpdatedAt
	return reflect.DeepEqual(&like, recomputed)
}

func newDifference(v Verdict, key events.Key, run uuid.UUID, reason string) *Difference {
	return &Difference{Verdict: v, CampaignID: key.CampaignID, RunID: key.RunID, Phase: key.Phase, RunKey: run, Reason: reason}
}
