package emulator

import "time"

// use is what requests take of the limits of a window.
type use struct {
	requests  int
	execution time.Duration
}

// slots is into how many parts a window is cut. What happened leaves it part by part.
const slots = 300

// window sums up what was used during the last while, exact to a slot.
type window struct {
	slot   time.Duration
	uses   [slots]use // a ring
	newest int64      // when the newest slot began, in slots since 1970
}

func newWindow(length time.Duration) window {
	return window{slot: max(length/slots, 1)}
}

// slideTo drops what happened a window ago or earlier. A clock that goes backwards drops nothing.
func (w *window) slideTo(now time.Time) {
	newest := now.UnixNano() / int64(w.slot)
	if newest-w.newest >= slots {
		w.uses = [slots]use{}
		w.newest = newest
	}
	for w.newest < newest {
		w.newest++
		*w.at(w.newest) = use{}
	}
}

// at is the slot that began at n times slot since 1970.
func (w *window) at(n int64) *use { return &w.uses[(n%slots+slots)%slots] }

// add counts something that happened now.
func (w *window) add(u use) {
	at := w.at(w.newest)
	at.requests += u.requests
	at.execution += u.execution
}

func (w *window) sum() use {
	var sum use
	for _, u := range w.uses {
		sum.requests += u.requests
		sum.execution += u.execution
	}
	return sum
}

// when is the time at which so much has left the window that the rest will do, if nothing is added.
func (w *window) when(enough func(use) bool) time.Time {
	rest, oldest := w.sum(), w.newest-slots+1
	for ; oldest <= w.newest && !enough(rest); oldest++ {
		left := w.at(oldest)
		rest.requests -= left.requests
		rest.execution -= left.execution
	}
	// The slot before oldest leaves when the one that takes its place begins.
	return time.Unix(0, (oldest-1+slots)*int64(w.slot))
}
