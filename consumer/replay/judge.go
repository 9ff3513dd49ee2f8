package replay

import (
	"fmt"
	"slices"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// judgement is a run on its way from what is held of it to what it should be.
type judgement struct {
	group *group
	text  []byte // of the group's part
	held  sinks.Holding

	next  int             // of the group's events, which is to be looked at
	added []*events.Event // since the last amendment
	lacks [2]int64        // executions and other events that the store lacks

	difference *Difference // nil where the run is equal
	repairable bool
}

// maxAdded is how many events an amendment adds to a run at the most. A run that lacks more gets several.
const maxAdded = 10_000

// maxGaps is how many commits without events an amendment makes good for.
const maxGaps = 100_000

// judge compares what is held of a run with what that and the sources add up to.
func (c *Comparison) judge(g *group, text []byte, held sinks.Holding) (*judgement, error) {
	j := &judgement{group: g, text: text, held: held}
	before := held.Run.Len()
	switch {
	case held.Sealed:
		j.leave(Sealed, "its executions were pruned")
		return j, nil
	case held.Damage != "":
		j.leave(Damaged, held.Damage)
		return j, nil
	}
	// Nearly always the store has exactly the events of the sources, in their order: then there is nothing to decode.
	for more := !g.same(text, &held.Digest); more; {
		j.added = j.added[:0] // a run that lacks more is judged again when it is amended
		var err error
		if more, err = c.add(j); err != nil {
			return nil, err
		}
	}
	if held.Run.Len() == 0 {
		if held.Record != nil {
			j.leave(Incomplete, "the store has none of its events: replay them from a stream or an archive")
		}
		return j, nil
	}
	after := held.Run.Metrics()
	lacks := j.lacks[0] + j.lacks[1]
	voids := slices.Equal(held.Voided, held.Run.Voided())
	if held.Record != nil && lacks == 0 && sameRecord(held.Record, &after) && voids && !held.Skewed {
		return j, nil
	}
	verdict, reason, err := c.verdict(j, &after, before)
	if err != nil {
		return nil, err
	}
	j.leave(verdict, reason)
	j.repairable = verdict == Missing || verdict == Different || verdict == Truncated && c.AcceptTruncated
	j.difference.Executions, j.difference.OtherEvents = j.lacks[0], j.lacks[1]
	j.difference.Fields = Changes(held.Record, &after)
	switch {
	case verdict != Different || lacks > 0:
	case !voids:
		j.difference.Reason = "the list of voided ids differs"
	case held.Skewed:
		j.difference.Reason = "what is stored of its latencies differs from its events"
	}
	return j, nil
}

func (j *judgement) leave(v Verdict, reason string) {
	j.difference = newDifference(v, j.held.Run.Key(), j.held.Run.UUID(), reason)
}

// add applies further events of the sources, until maxAdded are new or none is left.
func (c *Comparison) add(j *judgement) (more bool, err error) {
	for j.next < len(j.group.texts) {
		room := maxAdded - len(j.added)
		if room == 0 {
			return true, nil
		}
		if c.events, c.chunk, err = j.group.decode(c.events[:0], j.text, j.next, room, c.chunk); err != nil {
			return false, fmt.Errorf("read events of the temporary file: %w", err)
		}
		j.next += len(c.events)
		for i := range c.events {
			if j.held.Run.Apply(&c.events[i]) != aggregate.Applied {
				continue // it is stored; or another one with its id, which stands
			}
			e := c.events[i]
			j.added = append(j.added, &e)
			if e.Type == events.AgentFinished {
				j.lacks[0]++
			} else {
				j.lacks[1]++
			}
		}
	}
	return false, nil
}

// verdict tells whether a run that is not equal may be changed. A right number could become a wrong one only where what is
// stored and the sources together lack events: those of its beginning, if the stream has lost that, or those that came
// from elsewhere.
func (c *Comparison) verdict(j *judgement, after *aggregate.Metrics, before int) (v Verdict, reason string, err error) {
	record := j.held.Record
	if record == nil {
		if c.cut(j.group, nil) && (j.held.Version == 0 || j.held.Gaps > 0) {
			return Truncated, "it may have begun before the first message that the stream still holds", nil
		}
		if before > 0 {
			return Missing, "its row is gone, events of it are there", nil
		}
		return Missing, "", nil
	}
	if c.cut(j.group, record) {
		return BeginningGone, "it began before the first message that the stream still holds", nil
	}
	short := j.held.Gaps > 0 || record.Executions != nil && (after.Executions == nil || *after.Executions < *record.Executions)
	if !short {
		return Different, "", nil
	}
	if c.Sources == nil {
		return Incomplete, "events of it are missing, too: replay them from a stream or an archive", nil
	}
	all, err := j.sourcesHold(before)
	if err == nil && !all {
		return BeginningGone, "the store lacks events of it, and the sources do not hold all: add the archive that does", nil
	}
	return Different, "", err
}

// sourcesHold tells whether the sources hold every event that was stored.
func (j *judgement) sourcesHold(stored int) (bool, error) {
	lacked := j.lacks[0] + j.lacks[1]
	ids := make(map[string]struct{})
	var list []events.Event
	var chunk []byte
	var err error
	for next := 0; next < len(j.group.texts); next += len(list) {
		if list, chunk, err = j.group.decode(list[:0], j.text, next, maxAdded, chunk); err != nil {
			return false, fmt.Errorf("read events of the temporary file: %w", err)
		}
		for i := range list {
			ids[list[i].ID] = struct{}{}
		}
	}
	return int64(len(ids)) == int64(stored)+lacked, nil
}

// cut tells whether a run may have begun before what the sources hold. An archive is taken to hold what it was made for.
func (c *Comparison) cut(g *group, record *aggregate.Metrics) bool {
	for _, f := range g.firsts {
		if f.at == 0 {
			return false
		}
	}
	for _, f := range g.firsts {
		h := c.Histories[f.source]
		lost := h.First > 1 || record != nil && h.Recreated
		near := f.at-h.FirstTime.UnixNano() < int64(c.IdleTimeout)
		if lost && (near || record != nil && record.CreatedAt.Before(h.FirstTime)) {
			return true
		}
	}
	return false
}

// change is what makes the store hold what was added so far.
func (c *Comparison) change(j *judgement) sinks.RunChange {
	change := sinks.RunChange{Metrics: j.held.Run.Metrics(), Events: j.added}
	change.Metrics.Version = j.held.Version + 1
	// Of a run that is not whole nobody knows what the new events change: it is worked out from all of them when asked for.
	if j.held.Gaps == 0 && !j.held.Blind && !j.held.Skewed {
		change.Latencies = j.held.Run.TakeLatencyChanges()
	}
	change.Whole = j.held.Gaps > 0 && j.held.Gaps <= maxGaps
	if voided := j.held.Run.Voided(); !slices.Equal(voided, j.held.Voided) {
		change.Voided = append([]string{}, voided...)
	}
	return change
}
