package query

import (
	"container/list"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// maxRecent bounds the records that are kept for clients, in bytes of JSON: 35,000 ordinary ones.
const maxRecent = 32 << 20

// recent keeps the newest record of each run that changed lately, in the order in which they changed, with numbers that
// grow. What is read back from before gets numbers below all others.
type recent struct {
	byRun      map[uuid.UUID]*change
	all        *list.List            // of *change
	byCampaign map[string]*list.List // the same, one for each campaign
	size       int                   // bytes of JSON
	first      int64                 // number of the first change, or one below where there is none
	last       int64                 // number of the last one
	from       time.Time             // what was committed and announced since then was taken in
	dropped    time.Time             // and what is not here any more was until then
}

// change is the newest record of one run.
type change struct {
	record
	number int64
	at     time.Time // when it was committed, or announced where that was later
	inAll  *list.Element
	inOwn  *list.Element // of its campaign
}

func newRecent(from time.Time) *recent {
	return &recent{byRun: make(map[uuid.UUID]*change), all: list.New(), byCampaign: make(map[string]*list.List), from: from}
}

// put takes in a record that is newer than the one here. By its version it is newer as a rule, by its time where the store
// was set back.
func (r *recent) put(rec *record, at time.Time) bool {
	c := r.byRun[rec.RunKey]
	if c != nil && rec.Version <= c.Version && !rec.UpdatedAt.After(c.UpdatedAt) {
		return false
	}
	r.last++
	if c == nil {
		c = &change{}
		r.byRun[rec.RunKey] = c
		own := r.byCampaign[rec.CampaignID]
		if own == nil {
			own = list.New()
			r.byCampaign[rec.CampaignID] = own
		}
		c.inAll, c.inOwn = r.all.PushBack(c), own.PushBack(c)
	} else {
		r.size -= len(c.raw)
		r.all.MoveToBack(c.inAll)
		r.byCampaign[rec.CampaignID].MoveToBack(c.inOwn)
	}
	c.record, c.number, c.at = *rec, r.last, at
	if rec.UpdatedAt.After(at) {
		c.at = rec.UpdatedAt
	}
	r.size += len(rec.raw)
	return true
}

// putBefore takes in a record from before all others, unless its run changed since.
func (r *recent) putBefore(rec *record) {
	if r.byRun[rec.RunKey] != nil {
		return
	}
	own := r.byCampaign[rec.CampaignID]
	if own == nil {
		own = list.New()
		r.byCampaign[rec.CampaignID] = own
	}
	c := &change{record: *rec, number: r.first, at: rec.UpdatedAt}
	r.first--
	c.inAll, c.inOwn = r.all.PushFront(c), own.PushFront(c)
	r.byRun[rec.RunKey] = c
	r.size += len(rec.raw)
}

// prune drops what changed first until the rest fits, and returns that.
func (r *recent) prune() (dropped []*change) {
	for r.size > maxRecent {
		c := r.all.Front().Value.(*change)
		r.all.Remove(c.inAll)
		own := r.byCampaign[c.CampaignID]
		if own.Remove(c.inOwn); own.Len() == 0 {
			delete(r.byCampaign, c.CampaignID)
		}
		delete(r.byRun, c.RunKey)
		r.size -= len(c.raw)
		dropped = append(dropped, c)
		if c.at.After(r.dropped) {
			r.dropped = c.at
		}
	}
	return dropped
}

// covers tells whether everything is here that was committed and announced since a time.
func (r *recent) covers(t time.Time) bool { return !t.Before(r.from) && t.After(r.dropped) }

// in is the list that has everything that a filter can match.
func (r *recent) in(f *sinks.Filter) *list.List {
	switch own := r.byCampaign[f.CampaignID]; {
	case f.CampaignID == "":
		return r.all
	case own == nil:
		return list.New()
	default:
		return own
	}
}

// after returns what has a higher number and matches, the first changed first: up to limit bytes of it. Where it would be
// over four times as much it is the last of it instead, and skipped says so: what changed before is not worth waiting for.
// through is the number up to which nothing else is left.
func (r *recent) after(number int64, f *sinks.Filter, limit int) (list []record, through int64, skipped int) {
	var found []*change
	size, newest := 0, 0 // newest is how many fit from the end
	for e := r.in(f).Back(); e != nil; e = e.Prev() {
		c := e.Value.(*change)
		if c.number <= number {
			break
		}
		if !matches(f, &c.record) {
			continue
		}
		if size += len(c.raw); size <= limit || len(found) == 0 {
			newest++
		}
		found = append(found, c)
	}
	slices.Reverse(found)
	if size > 4*limit {
		return recordsOf(found[len(found)-newest:]), r.last, len(found) - newest
	}
	size = 0
	for i, c := range found {
		if size += len(c.raw); size > limit && i > 0 {
			return recordsOf(found[:i]), found[i-1].number, 0
		}
	}
	return recordsOf(found), r.last, 0
}

// since returns the newest changes from a time on that match, at most limit, the first changed first, and whether that is
// all of them.
func (r *recent) since(t time.Time, f *sinks.Filter, limit int) (list []record, all bool) {
	var found []*change
	for e := r.in(f).Back(); e != nil; e = e.Prev() {
		if c := e.Value.(*change); !c.at.Before(t) && matches(f, &c.record) {
			found = append(found, c)
		}
	}
	all = len(found) <= limit
	found = found[:min(len(found), limit)]
	slices.Reverse(found)
	return recordsOf(found), all
}

// recordsOf copies the records as they are now. Their JSON never changes.
func recordsOf(changes []*change) []record {
	list := make([]record, len(changes))
	for i, c := range changes {
		list[i] = c.record
	}
	return list
}

// matches tells whether a record has the names that a filter asks for.
func matches(f *sinks.Filter, r *record) bool {
	return (f.CampaignID == "" || f.CampaignID == r.CampaignID) && (f.RunID == "" || f.RunID == r.RunID) &&
		(f.Phase == "" || f.Phase == r.Phase)
}
