package sinks

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// Holder makes Holdings of what a store reads, row by row and in any order of runs. It is for one goroutine.
type Holder struct {
	ids    []uuid.UUID
	list   []Holding
	places map[uuid.UUID]int // of a run in list
	chunks []int64           // how many each run has
	newest []int64           // version among those
	blind  []bool            // latencies of one of them are not known
}

// NewHolder begins with nothing held of the runs.
func NewHolder(runs []events.Key) *Holder {
	h := &Holder{ids: make([]uuid.UUID, len(runs)), list: make([]Holding, len(runs)), places: make(map[uuid.UUID]int, len(runs)),
		chunks: make([]int64, len(runs)), newest: make([]int64, len(runs)),
		blind: make([]bool, len(runs))}
	for i, key := range runs {
		h.list[i].Run = aggregate.NewRun(key)
		h.ids[i] = h.list[i].Run.UUID()
		h.places[h.ids[i]] = i
	}
	return h
}

// IDs are the keys of the runs, in their order.
func (h *Holder) IDs() []uuid.UUID { return h.ids }

// Record adds the row of a run.
func (h *Holder) Record(m *aggregate.Metrics, sealed bool) {
	held := &h.list[h.places[m.RunKey]]
	held.Record, held.Version, held.Sealed = m, m.Version, sealed
}

// Events adds the events that a commit stored, as AppendChunk wrote them, and what they changed in the latencies, as
// AppendLatencies did, nil where that is not known. Neither is kept.
func (h *Holder) Events(run uuid.UUID, version int64, chunk, latencies []byte) {
	at := h.places[run]
	held := &h.list[at]
	h.chunks[at]++
	h.newest[at] = max(h.newest[at], version)
	if len(chunk) > len("[]") {
		held.Digest.Add(chunk[1 : len(chunk)-1])
	}
	err := VisitChunk(held.Run.Key(), chunk, func(e *events.Event) error {
		if held.Run.Apply(e) != aggregate.Applied {
			held.Damage = fmt.Sprintf("the events of version %d are stored twice", version)
		}
		return nil
	})
	if err != nil {
		held.Damage = fmt.Sprintf("the events of version %d cannot be read: %v", version, err)
		return
	}
	changes := held.Run.TakeLatencyChanges()
	switch {
	case latencies == nil:
		h.blind[at] = true
	case !sameLatencies(latencies, changes):
		held.Skewed = true
	}
}

// Voided adds an id that the store lists as voided.
func (h *Holder) Voided(run uuid.UUID, id string) {
	held := &h.list[h.places[run]]
	held.Voided = append(held.Voided, id)
}

// Holdings returns what is held, in the order of the runs.
func (h *Holder) Holdings() []Holding {
	for i := range h.list {
		held := &h.list[i]
		if held.Record == nil {
			held.Version = h.newest[i]
		}
		if !held.Sealed {
			held.Gaps = max(0, held.Version-h.chunks[i])
		}
		if h.newest[i] > held.Version {
			held.Damage = SetBack(held.Run.UUID()).Error()
		}
		if h.blind[i] {
			held.Blind, held.Skewed = true, false
		}
		slices.Sort(held.Voided)
	}
	return h.list
}

// SetBack says that a run has events of a later version than its record: somebody changed the table by hand.
func SetBack(run uuid.UUID) error {
	return fmt.Errorf("%w: run %s has events of a later version than its row in campaign_metrics: put the version back to "+
		"the newest one in event_chunks", ErrBlocked, run)
}
