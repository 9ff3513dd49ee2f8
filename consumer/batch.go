package consumer

import (
	"bytes"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// batch is what one commit will hold: accepted items in stream order, and the runs that they touch. A batch is open
// while items are folded into it; sealing fixes the records, because the next batch goes on with the same runs.
type batch struct {
	items []*item
	bytes int   // of their payload
	gone  int64 // sequences before or between the items that the stream no longer holds
	runs  map[events.Key]*change
	at    time.Time // when it was sealed: UpdatedAt of its records
	ripe  bool      // it waited long enough for more

	traced []*item // up to maxTraced of those that have an origin
}

// change is what a batch does to one run.
type change struct {
	state   *cachedRun
	base    int64   // version before this batch
	items   []int32 // positions in batch.items
	applied int
	sums    Sums // of the applied ones
	// fixed when sealed
	metrics   aggregate.Metrics
	latencies aggregate.LatencyChanges
}

// newBatch makes one with room for what the one before it has: those of a backlog are like each other.
func newBatch(before *batch) *batch {
	return &batch{items: make([]*item, 0, len(before.items)), runs: make(map[events.Key]*change, len(before.runs))}
}

// fold adds an accepted item.
func (b *batch) fold(it *item, cache *cache) {
	at := int32(len(b.items))
	b.items = append(b.items, it)
	b.bytes += it.bytes
	if it.origin != nil && len(b.traced) < maxTraced {
		b.traced = append(b.traced, it)
	}
	if it.rejected != nil {
		it.outcome = dead
		return
	}
	c := b.runs[it.event.Key]
	if c == nil {
		state := cache.get(it.event.Key)
		state.batches++
		c = &change{state: state, base: state.version, items: make([]int32, 0, 8)}
		b.runs[it.event.Key] = c
	}
	c.items = append(c.items, at)
	b.apply(c, at)
}

// full tells whether the batch has as many items as the limit, or as many bytes as it may have.
func (b *batch) full(limit int) bool { return len(b.items) >= limit || b.bytes >= maxBatchBytes }

// apply gives one item to its run.
func (b *batch) apply(c *change, at int32) {
	it := b.items[at]
	if c.state.sealed {
		it.outcome = closed
		return
	}
	switch c.state.run.Apply(&it.event) {
	case aggregate.Applied:
		it.outcome = applied
		c.applied++
		c.sums.add(&it.event)
	case aggregate.Duplicate:
		it.outcome = duplicate
	case aggregate.Conflict:
		it.outcome = dead
	}
}

// seal fixes the records of the changed runs and counts their versions up.
func (b *batch) seal(at time.Time) {
	b.at = at
	for _, c := range b.runs {
		c.seal(at)
	}
}

func (c *change) seal(at time.Time) {
	if c.applied == 0 {
		return // duplicates only: the run stays as it is
	}
	c.metrics, c.latencies = c.state.run.Metrics(), c.state.run.TakeLatencyChanges()
	c.metrics.Version, c.metrics.UpdatedAt = c.base+1, at
	c.state.version = c.base + 1
}

// refold folds the batch's items of one run again, on top of what the store has of it. A sealed batch stays sealed.
func (b *batch) refold(key events.Key, state *cachedRun) {
	c := b.runs[key]
	if c == nil {
		return
	}
	c.state.batches--
	state.batches++
	c.state, c.base, c.applied, c.sums = state, state.version, 0, Sums{}
	for _, at := range c.items {
		b.apply(c, at)
	}
	if !b.at.IsZero() {
		c.seal(b.at)
	}
}

// commit is the sealed batch as the store takes it, on top of the position before it.
func (b *batch) commit(before sinks.Position) *sinks.Batch {
	next := before
	last := b.items[len(b.items)-1]
	next.Sequence, next.MessageTime = last.sequence, last.time
	next.Gone += b.gone
	out := &sinks.Batch{At: b.at}
	for _, it := range b.items {
		switch it.outcome {
		case applied:
			next.Applied++
		case duplicate:
			next.Duplicates++
		case dead, closed:
			next.DeadLetters++
			out.DeadLetters = append(out.DeadLetters, deadLetter(it))
		}
	}
	out.Next = next
	out.Runs = b.changes(int(next.Applied - before.Applied))
	return out
}

// changes lists the changed runs in the order of their keys, in which every store locks them.
func (b *batch) changes(appliedEvents int) []sinks.RunChange {
	changed := make([]*change, 0, len(b.runs))
	for _, c := range b.runs {
		if c.applied > 0 {
			changed = append(changed, c)
		}
	}
	slices.SortFunc(changed, func(a, b *change) int { return bytes.Compare(a.metrics.RunKey[:], b.metrics.RunKey[:]) })
	list := make([]sinks.RunChange, 0, len(changed))
	// One array for all: the slices below are parts of it.
	all := make([]*events.Event, 0, appliedEvents)
	for _, c := range changed {
		from := len(all)
		for _, at := range c.items {
			if it := b.items[at]; it.outcome == applied {
				all = append(all, &it.event)
			}
		}
		list = append(list, sinks.RunChange{Metrics: c.metrics, Events: all[from:len(all):len(all)], Latencies: c.latencies})
	}
	return list
}

// sums adds up what the batch applies.
func (b *batch) sums() (sums Sums) {
	for _, c := range b.runs {
		sums.plus(c.sums)
		if c.applied > 0 && c.base == 0 {
			sums.NewRuns++
		}
	}
	return sums
}

// keys finds the names of runs by their identity.
func (b *batch) keys(ids []uuid.UUID) map[events.Key]uuid.UUID {
	wanted := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	found := make(map[events.Key]uuid.UUID, len(ids))
	for key, c := range b.runs {
		if id := c.state.run.UUID(); wanted[id] {
			found[key] = id
		}
	}
	return found
}

// deadLetter describes an item that no run took.
func deadLetter(it *item) sinks.DeadLetter {
	d := sinks.DeadLetter{Sequence: it.sequence, Time: it.time}
	switch {
	case it.rejected != nil:
		d.Reason, d.Field, d.Detail = it.rejected.Reason, it.rejected.Field(), it.rejected.Error()
		// A subject that cannot be read names no run; the letter stands alone then.
		d.CampaignID, d.RunID, _ = events.ParseSubject(it.subject)
		d.Subject, d.Payload = it.subject, it.payload
	case it.outcome == closed:
		d.Reason, d.Detail = events.Sealed, "the executions of this run were pruned; its metrics stay as they are"
	default:
		d.Reason, d.Field = events.ConflictingDuplicate, "id"
		d.Detail = "id was used before by an event of this run with other content"
	}
	if it.rejected == nil {
		d.CampaignID, d.RunID = it.event.CampaignID, it.event.RunID
		d.Subject = events.Subject(it.event.CampaignID, it.event.RunID)
		d.Payload = events.Encode(&it.event)
	}
	d.Payload = d.Payload[:min(len(d.Payload), sinks.MaxDeadPayload)]
	return d
}
