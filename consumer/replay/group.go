package replay

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// group is what the sources hold of one run.
type group struct {
	key      events.Key
	id       uuid.UUID
	texts    []span // of its events, as a store would keep them, in the order of the sources
	firsts   []first
	earliest int64 // occurredAt of the earliest event, microseconds
}

// first is when a source's first event of a run was stored there, nanoseconds; 0 of a file.
type first struct {
	source int
	at     int64
}

// groupRuns sorts a part's events by run, and the runs by key, in which order every store locks them.
func groupRuns(text []byte) []*group {
	var list []*group
	places := make(map[string]int)
	for at := int64(0); at < int64(len(text)); {
		names, n := binary.Uvarint(text[at:])
		at += int64(n)
		length, n := binary.Uvarint(text[at:])
		at += int64(n)
		record := text[at : at+int64(length)]
		place, known := places[string(record[:names])]
		if !known {
			place = len(list)
			places[string(record[:names])] = place
			key := namesOf(record[:names])
			list = append(list, &group{key: key, id: key.UUID()})
		}
		list[place].add(record, int(names), at)
		at += int64(length)
	}
	slices.SortFunc(list, func(a, b *group) int { return bytes.Compare(a.id[:], b.id[:]) })
	return list
}

func (g *group) add(record []byte, names int, at int64) {
	source, from := int(record[names]), names+1
	stored, n := binary.Varint(record[from:])
	from += n
	occurred, n := binary.Varint(record[from:])
	from += n
	if !slices.ContainsFunc(g.firsts, func(f first) bool { return f.source == source }) {
		g.firsts = append(g.firsts, first{source, stored})
	}
	if len(g.texts) == 0 || occurred < g.earliest {
		g.earliest = occurred
	}
	// Without the brackets of the array: an element of the array of a run.
	g.texts = append(g.texts, span{at + int64(from) + 1, int64(len(record) - from - 2)})
}

// same tells whether a store holds exactly these events, in the same order.
func (g *group) same(text []byte, held *sinks.Digest) bool {
	var d sinks.Digest
	for _, t := range g.texts {
		d.Add(text[t.from : t.from+t.length])
	}
	return d.Equal(held)
}

// decode appends up to limit events to list, from the given one on.
func (g *group) decode(list []events.Event, text []byte, from, limit int, spare []byte) ([]events.Event, []byte, error) {
	spare = append(spare[:0], '[')
	for i, t := range g.texts[from:min(from+limit, len(g.texts))] {
		if i > 0 {
			spare = append(spare, ',')
		}
		spare = append(spare, text[t.from:t.from+t.length]...)
	}
	spare = append(spare, ']')
	list, err := sinks.DecodeChunk(list, g.key, spare)
	return list, spare, err
}

// batch is runs that are compared, and amended, together.
type batch struct {
	groups []*group
	text   []byte // of their part
	held   []sinks.Holding
	last   bool // of its part
}

const (
	// batchRuns and batchEvents bound what is read of the store, and written, at a time; a run with more events is alone.
	batchRuns   = 1_000
	batchEvents = 10_000
)

// batches parts the runs.
func batches(groups []*group) (list [][]*group) {
	n, from := 0, 0
	for i, g := range groups {
		if i > from && (i-from == batchRuns || n+len(g.texts) > batchEvents) {
			list = append(list, groups[from:i])
			n, from = 0, i
		}
		n += len(g.texts)
	}
	if from < len(groups) {
		list = append(list, groups[from:])
	}
	return list
}

func (b *batch) keys() []events.Key {
	keys := make([]events.Key, len(b.groups))
	for i, g := range b.groups {
		keys[i] = g.key
	}
	return keys
}
