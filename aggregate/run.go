package aggregate

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// Run is the state of one run: every event applied so far, and the sums over those that count.
type Run struct {
	key  events.Key
	uuid uuid.UUID

	entries []entry // every applied event, in order of arrival
	ids     index   // of entries by id

	agents   []agent
	agentIDs index // of agents by id

	others []events.Event      // run.* and executions.voided events; entries point into it
	voided map[string]struct{} // ids that count nowhere, arrived or not; nil in most runs

	sums  sums
	stale bool // a void named an event that was counted already: sums must be made anew

	changes LatencyChanges // since they were last taken
}

// entry is an applied event, as small as it can be: a run may have a million. For an agent event agent is a position in
// agents; for another one other is a position in others.
type entry struct {
	id       string
	at       int64 // microseconds since 1970
	content  uint64
	cost     events.Nanos // -1 is unknown
	agent    int32
	other    int32
	attempt  int32
	latency  int32
	tokens   [2]int32 // in, out
	assets   int32
	kind     kind
	voidable bool
}

// kind is what an entry counts as.
type kind uint8

const (
	kindSucceeded kind = iota
	kindFailed
	kindCancelled
	kindStarted
	kindOther
)

// agent is what is known of one agent of the run.
type agent struct {
	id      string
	final   int32 // position of its final execution in entries, -1 without any
	started bool
}

// Outcome is what became of an event that was given to a run.
type Outcome int

// The outcomes of Apply.
const (
	Applied   Outcome = iota
	Duplicate         // the same id with the same content was applied before
	Conflict          // the same id with other content was applied before; that one stands
)

// NewRun makes a run without events.
func NewRun(key events.Key) *Run {
	return &Run{key: key, uuid: key.UUID(), sums: newSums()}
}

// Key returns the names of the run.
func (r *Run) Key() events.Key { return r.key }

// UUID returns the run's identity in the stores.
func (r *Run) UUID() uuid.UUID { return r.uuid }

// Len is how many events were applied.
func (r *Run) Len() int { return len(r.entries) }

// Voided returns the ids that voids of this run name, sorted, whether or not such events were applied.
func (r *Run) Voided() []string { return slices.Sorted(maps.Keys(r.voided)) }

// Apply adds an event of this run, unless its id was applied before. Events of other runs must not be given to it.
func (r *Run) Apply(e *events.Event) Outcome {
	content := contentOf(e)
	hash := hashOf(e.ID)
	if at, known := r.find(e.ID, hash); known {
		if r.entries[at].content == content {
			return Duplicate
		}
		return Conflict
	}
	at := int32(len(r.entries))
	switch at { // as small runs are; from there on they double
	case 0:
		r.entries, r.agents = make([]entry, 0, 4), make([]agent, 0, 4)
	case 4:
		r.entries, r.agents = slices.Grow(r.entries, 12), slices.Grow(r.agents, 12)
	}
	r.ids.add(hash, at)
	r.entries = append(r.entries, r.entryOf(e, content))
	if e.Type == events.ExecutionsVoided {
		r.void(e.Voids)
	}
	// While sums are stale there is no use in adding to them.
	if !r.stale && r.counts(at) {
		r.count(at)
	}
	return Applied
}

func (r *Run) find(id string, hash uint32) (at int32, applied bool) {
	return r.ids.find(hash, func(at int32) bool { return r.entries[at].id == id })
}

// counts tells whether no void names the event. A void cannot be voided: two could name each other.
func (r *Run) counts(at int32) bool {
	if r.voided == nil || !r.entries[at].voidable {
		return true
	}
	_, voided := r.voided[r.entries[at].id]
	return !voided
}

func (r *Run) void(ids []string) {
	if r.voided == nil {
		r.voided = make(map[string]struct{}, len(ids))
	}
	for _, id := range ids {
		if _, before := r.voided[id]; before {
			continue
		}
		r.voided[id] = struct{}{}
		if at, applied := r.find(id, hashOf(id)); applied && r.entries[at].voidable {
			r.stale = true
		}
	}
}

// settle makes the sums anew after a void took something out of them.
func (r *Run) settle() {
	if !r.stale {
		return
	}
	r.stale = false
	before, changes := r.sums.latencies, r.changes
	r.sums = newSums()
	for i := range r.agents {
		r.agents[i].final, r.agents[i].started = -1, false
	}
	for at := range r.entries {
		if r.counts(int32(at)) {
			r.count(int32(at))
		}
	}
	r.changes = changes.between(&before, &r.sums.latencies)
}

func (r *Run) entryOf(e *events.Event, content uint64) entry {
	n := entry{id: e.ID, at: e.OccurredAt.UnixMicro(), content: content, cost: -1,
		voidable: e.Type != events.ExecutionsVoided}
	switch e.Type {
	case events.AgentFinished:
		n.kind = kindOf(e.Status)
		n.attempt, n.latency, n.assets = int32(e.Attempt), int32(e.LatencyMs), int32(e.AssetsGenerated)
		n.tokens = [2]int32{int32(e.TokensIn), int32(e.TokensOut)}
		if e.Cost.Known {
			n.cost = e.Cost.Nanos
		}
		n.agent = r.agentOf(e.AgentID)
	case events.AgentStarted:
		n.kind = kindStarted
		n.agent = r.agentOf(e.AgentID)
	default:
		n.kind = kindOther
		n.other = int32(len(r.others))
		r.others = append(r.others, *e)
	}
	return n
}

func kindOf(s events.Status) kind {
	switch s {
	case events.Succeeded:
		return kindSucceeded
	case events.Failed:
		return kindFailed
	}
	return kindCancelled
}

func (r *Run) agentOf(id string) int32 {
	hash := hashOf(id)
	at, known := r.agentIDs.find(hash, func(at int32) bool { return r.agents[at].id == id })
	if !known {
		at = int32(len(r.agents))
		r.agentIDs.add(hash, at)
		r.agents = append(r.agents, agent{id: id, final: -1})
	}
	return at
}

// Size estimates the memory that the run holds, in bytes: what BenchmarkMemory measures for ids of 36 characters. Tables
// and slices grow in steps, so it is right to about a quarter.
func (r *Run) Size() int {
	return 900 + 165*len(r.entries) + 80*len(r.agents) + 550*len(r.others) + 115*len(r.voided)
}

// contentOf hashes what makes two events of one id the same: the validated event after defaults and rounding, without
// the key, which is the run's. No two lists of values read alike: of each text the length comes first.
func contentOf(e *events.Event) uint64 {
	b := make([]byte, 0, 512) // on the stack, and enough but for long errors
	b = appendText(b, string(e.Type))
	b = appendNumber(b, e.OccurredAt.UnixMicro())
	switch e.Type {
	case events.AgentFinished, events.AgentStarted:
		for _, s := range [...]string{e.AgentID, e.AgentName, e.Model, e.Error, string(e.Status)} {
			b = appendText(b, s)
		}
		for _, n := range [...]int64{e.Attempt, e.LatencyMs, e.TokensIn, e.TokensOut, e.AssetsGenerated} {
			b = appendNumber(b, n)
		}
		if e.Cost.Known {
			b = appendNumber(b, int64(e.Cost.Nanos))
		}
	default:
		b = append(b, events.Encode(e)...) // rare, and the encoding says it all
	}
	return maphash.Bytes(seed, b)
}

func appendNumber(b []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

func appendText(b []byte, s string) []byte { return append(appendNumber(b, int64(len(s))), s...) }
