package consumer

import (
	"container/list"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// cacheBytes bounds the runs that stay in memory between batches. A run that left is read back when an event for it
// comes, so this trades memory for reads, never for numbers.
const cacheBytes = 24 << 20

// cachedRun is a run in memory. version is the one that the store has once all sealed batches are committed.
type cachedRun struct {
	run     *aggregate.Run
	version int64
	size    int
	sealed  bool // its events were dropped: it takes no more
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
	return c.put(key, sinks.StoredRun{Run: aggregate.NewRun(key)})
}

// put replaces what is in memory of a run.
func (c *cache) put(key events.Key, stored sinks.StoredRun) *cachedRun {
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
	r := &cachedRun{run: stored.Run, version: stored.Version, size: stored.Run.Size(), sealed: stored.Sealed}
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

// trim weighs the runs of a committed batch anew and lets the ones used longest ago go. The runs of that batch stay, and
// those of the ones behind it, which may be nil: a run that is greater than the whole cache would else be read back for
// every commit.
func (c *cache) trim(done, next, open *batch) {
	for _, ch := range done.runs {
		size := ch.state.run.Size()
		if e, ok := c.byKey[ch.state.run.Key()]; ok && e.Value == any(ch.state) {
			c.bytes += size - ch.state.size
			ch.state.size = size
		}
	}
	for e := c.recent.Back(); e != nil && c.bytes > cacheBytes; {
		before := e.Prev()
		if key := e.Value.(*cachedRun).run.Key(); !done.has(key) && !next.has(key) && !open.has(key) {
			c.remove(e)
		}
		e = before
	}
}
