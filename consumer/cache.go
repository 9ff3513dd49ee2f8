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
	sealed  bool          // its events were dropped: it takes no more
	batches int           // that change it, and are not stored yet
	place   *list.Element // in the cache, nil where it is not there any more
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
	r.place = c.recent.PushFront(r)
	c.byKey[key] = r.place
	c.bytes += r.size
	return r
}

func (c *cache) remove(e *list.Element) {
	r := e.Value.(*cachedRun)
	delete(c.byKey, r.run.Key())
	c.recent.Remove(e)
	r.place = nil
	c.bytes -= r.size
}

// trim weighs the runs of a committed batch anew and lets the ones used longest ago go. The runs of that batch stay, and
// those of the ones behind it: a run that is greater than the whole cache would else be read back for every commit.
func (c *cache) trim(done *batch) {
	for _, ch := range done.runs {
		if r := ch.state; r.place != nil {
			size := r.run.Size()
			c.bytes += size - r.size
			r.size = size
		}
	}
	for e := c.recent.Back(); e != nil && c.bytes > cacheBytes; {
		before := e.Prev()
		if e.Value.(*cachedRun).batches == 0 {
			c.remove(e)
		}
		e = before
	}
	for _, ch := range done.runs {
		ch.state.batches--
	}
}
