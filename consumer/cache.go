package consumer

import (
	"container/list"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// cacheBytes bounds the runs that stay in memory between batches. A run that left is read back when an event for it
// comes, so this trades memory for reads, never for numbers.
const cacheBytes = 48 << 20

// cachedRun is a run in memory. version is the one that the store has once all sealed batches are committed.
type cachedRun struct {
	run     *aggregate.Run
	version int64
	size    int
}

// cache keeps the runs used last. A session starts with an empty one.
type cache struct {
	byKey  map[events.Key]*list.Element
	recent *list.List // of *cachedRun, the one used last in front
	bytes  int
}

func newCache() *cache {
	return &cache{byKey: make(map[events.Key]*list.Element), recent: list.New()}
}

// get returns a run. One that is not in memory is assumed to be new: most are, and the store refuses the commit if not.
func (c *cache) get(key events.Key) *cachedRun {
	if e, ok := c.byKey[key]; ok {
		c.recent.MoveToFront(e)
		return e.Value.(*cachedRun)
	}
	return c.put(key, aggregate.NewRun(key), 0)
}

// put replaces what is in memory of a run.
func (c *cache) put(key events.Key, run *aggregate.Run, version int64) *cachedRun {
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
	r := &cachedRun{run: run, version: version, size: run.Size()}
	c.byKey[key] = c.recent.PushFront(r)
	c.bytes += r.size
	return r
}

func (c *cache) remove(e *list.Element) {
	r := e.Value.(*cachedRun)
	delete(c.byKey, r.run.Key())
	c.recent.Remove(e)
	c.bytes -= r.size
}

// trim takes the runs of the batch by what they weigh now, and lets the ones used longest ago go. The given batches
// still need theirs.
func (c *cache) trim(done *batch, needed ...*batch) {
	for _, ch := range done.runs {
		size := ch.state.run.Size()
		if e, ok := c.byKey[ch.state.run.Key()]; ok && e.Value == any(ch.state) {
			c.bytes += size - ch.state.size
			ch.state.size = size
		}
	}
	for e := c.recent.Back(); e != nil && c.bytes > cacheBytes; {
		before := e.Prev()
		if !inUse(e.Value.(*cachedRun), needed) {
			c.remove(e)
		}
		e = before
	}
}

func inUse(r *cachedRun, batches []*batch) bool {
	for _, b := range batches {
		if b != nil && b.runs[r.run.Key()] != nil {
			return true
		}
	}
	return false
}
