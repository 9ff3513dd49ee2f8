package query

import (
	"container/heap"
	"maps"
	"slices"

	"github.com/apexsalesai/runmetrics/events"
)

// agentWindow derives the agents of one phase from its events: those with the least ids above a bound, as many as it has
// room for. It counts as aggregate.Run does: a voided event counts nowhere, and the execution with the highest attempt is
// an agent's final one. An agent that was let go of for want of room never comes back, because the greatest id only falls:
// so one pass over any number of events needs the room of a page.
type agentWindow struct {
	phase  string
	above  string // ids at or below are not wanted; empty is none
	room   int
	voided map[string]bool
	byID   map[string]*agent
	ids    idHeap
}

func newAgentWindow(phase, above string, room int) *agentWindow {
	return &agentWindow{phase: phase, above: above, room: room, voided: map[string]bool{}, byID: map[string]*agent{}}
}

// leaveOut names events that count nowhere, before any is added.
func (w *agentWindow) leaveOut(voided []string) {
	for _, id := range voided {
		w.voided[id] = true
	}
}

// add takes in the next event of the phase.
func (w *agentWindow) add(e *events.Event) {
	if e.Type != events.AgentStarted && e.Type != events.AgentFinished || w.voided[e.ID] || e.AgentID <= w.above {
		return
	}
	a := w.byID[e.AgentID]
	if a == nil {
		if len(w.ids) == w.room && e.AgentID > w.ids[0] {
			return
		}
		a = &agent{Phase: w.phase, AgentID: e.AgentID, CostComplete: true}
		w.byID[e.AgentID] = a
		heap.Push(&w.ids, e.AgentID)
		if len(w.ids) > w.room {
			delete(w.byID, heap.Pop(&w.ids).(string))
		}
	}
	a.count(e)
}

// agents returns the agents of the window, sorted by id.
func (w *agentWindow) agents() []agent {
	list := make([]agent, 0, len(w.byID))
	for _, id := range slices.Sorted(maps.Keys(w.byID)) {
		a := w.byID[id]
		a.conclude()
		list = append(list, *a)
	}
	return list
}

// idHeap has the greatest id in front.
type idHeap []string

func (h idHeap) Len() int           { return len(h) }
func (h idHeap) Less(i, j int) bool { return h[i] > h[j] }
func (h idHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push is for package heap.
func (h *idHeap) Push(id any) { *h = append(*h, id.(string)) }

// Pop is for package heap.
func (h *idHeap) Pop() any {
	last := len(*h) - 1
	id := (*h)[last]
	*h = (*h)[:last]
	return id
}
