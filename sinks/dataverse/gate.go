package dataverse

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// What one application user may ask of one web server of an organisation within five minutes, by Microsoft's page on
// service protection limits: 6,000 requests, 1,200 seconds of execution, and 52 requests at once. The first two are spread
// so that every window keeps them, with something left for other tools of the same user; the third is a ceiling.
const (
	burstRequests   = 500
	steadyRequests  = 18  // a second: 500 + 18·300 = 5,900
	burstExecution  = 100 // seconds
	steadyExecution = 3.4 // seconds a second: 100 + 3.4·300 = 1,120
	mostAtOnce      = 51
	// usuallyAtOnce is the ceiling as long as the organisation does not recommend one (x-ms-dop-hint).
	usuallyAtOnce = 8
)

const (
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = time.Minute
	firstBlocked   = 15 * time.Second
	longestBlocked = 5 * time.Minute
)

// gate is where all requests of a dispatcher pass. It lets through as many at once as the organisation takes, keeps the
// service protection limits, and closes for all when one is told to wait: a request sent meanwhile would only lengthen the
// wait. After a failure it lets one request through at a time until one succeeds.
type gate struct {
	mu        sync.Mutex
	requests  bucket
	execution bucket  // in seconds; each request takes what is typical when it begins, and the rest when it ends
	typical   float64 // seconds that requests take

	changed  chan struct{} // closed and replaced when a request has ended
	running  int
	passed   int64   // requests on which the organisation did its work
	limit    float64 // requests at once: one more after each round of successes, half as many when throttled
	ceiling  float64
	closed   time.Time // until then nothing passes
	failures int       // since the last success
	lowered  time.Time // when limit was: answers to earlier requests tell nothing new
}

func newGate() *gate {
	return &gate{
		requests:  bucket{burst: burstRequests, perSecond: steadyRequests},
		execution: bucket{burst: burstExecution, perSecond: steadyExecution},
		changed:   make(chan struct{}),
		limit:     2,
		ceiling:   usuallyAtOnce,
	}
}

// errFull says that as much is under way as the organisation takes.
var errFull = errors.New("as many requests are under way as may be")

// wait is how long no request may go, or errFull while n senders are enough. Two are never too many: one may have a row
// that does not pass.
func (g *gate) wait(now time.Time, n int) (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wait := g.waitLocked(now)
	if wait <= 0 && n >= max(2, int(g.limit)) {
		return 0, errFull
	}
	return wait, nil
}

func (g *gate) waitLocked(now time.Time) time.Duration {
	return max(g.closed.Sub(now), g.requests.wait(now, 1), g.execution.wait(now, g.typical))
}

// passes is how many requests the organisation did its work on.
func (g *gate) passes() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed
}

// enter returns when a request may go, or the context's error. Every request that went is followed by leave.
func (g *gate) enter(ctx context.Context) (ticket, error) {
	for ctx.Err() == nil {
		g.mu.Lock()
		now, changed := time.Now(), g.changed
		wait, full := g.waitLocked(now), g.running >= int(g.limit)
		if wait <= 0 && !full {
			p := ticket{began: now, taken: g.typical}
			g.running++
			g.requests.take(now, 1)
			g.execution.take(now, p.taken)
			g.mu.Unlock()
			return p, nil
		}
		g.mu.Unlock()
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-timer:
		case <-changed:
		case <-ctx.Done():
		}
	}
	return ticket{}, ctx.Err()
}

// ticket is the right to send one request.
type ticket struct {
	began time.Time
	taken float64 // seconds of execution
}

// leave takes in how the request ended. A hint of 0 is none.
func (g *gate) leave(p ticket, hint int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.running--
	took := now.Sub(p.began).Seconds()
	g.execution.take(now, took-p.taken)
	g.typical += (took - g.typical) / 4
	if hint > 0 {
		g.ceiling = float64(min(hint, mostAtOnce))
	}
	pause, _ := Throttled(err)
	switch {
	case pause > 0:
		g.lower(p.began, now, g.limit/2)
		g.pause(now, pause+rand.N(pause/10+time.Millisecond))
	case answers(err):
		g.failures = 0
		g.passed++
		g.limit += 1 / g.limit
	case errors.Is(err, context.Canceled):
	case errors.Is(err, sinks.ErrBlocked):
		g.fail(p.began, now, firstBlocked, longestBlocked)
	default:
		g.fail(p.began, now, firstBackoff, longestBackoff)
	}
	g.limit = max(1, min(g.limit, g.ceiling))
	close(g.changed)
	g.changed = make(chan struct{})
}

// answers tells whether the organisation did its work on a request, whatever it thinks of the rows.
func answers(err error) bool {
	return err == nil || errors.Is(err, sinks.ErrRefused) || errors.Is(err, ErrTooLarge)
}

// fail lets one request through after a pause that doubles with every failure. Those that were under way together fail
// once.
func (g *gate) fail(began, now time.Time, first, longest time.Duration) {
	if began.Before(g.lowered) {
		return
	}
	g.lower(began, now, 1)
	g.pause(now, jitter(min(first<<min(g.failures, 16), longest)))
	g.failures++
}

func (g *gate) lower(began, now time.Time, limit float64) {
	if !began.Before(g.lowered) {
		g.limit, g.lowered = limit, now
	}
}

func (g *gate) pause(now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(g.closed) {
		g.closed = until
	}
}

// jitter is between half of a pause and all of it, so that those who wait for the same thing do not come at once.
func jitter(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) }
