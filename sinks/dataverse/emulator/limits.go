package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits are Dataverse's service protection limits. They are those of one user on one web server: the emulator has one of
// each. A limit of 0 is none.
type Limits struct {
	Requests   int           // in a window
	Execution  time.Duration // that all requests in a window take together
	Window     time.Duration // that slides; 0 means 300 s
	Concurrent int           // requests under way at a time
	// DOPHint is sent as x-ms-dop-hint, how many requests at a time serve best; 0 sends none.
	DOPHint int
}

// DefaultLimits are those that Microsoft documents as defaults. The hint differs from one environment to the next; this
// one is made up.
func DefaultLimits() Limits {
	return Limits{Requests: 6000, Execution: 20 * time.Minute, Window: defaultWindow, Concurrent: 52, DOPHint: 10}
}

const (
	defaultWindow = 300 * time.Second
	// concurrencyWait is how long a client waits that has too many requests under way.
	concurrencyWait = time.Second
	// impatience is by how much each request lengthens the wait that comes before its end.
	impatience = time.Second
)

// Which limit was exceeded, as in Stats.Throttled.
const (
	tooManyRequests   = "requests"
	tooMuchTime       = "time"
	tooManyConcurrent = "concurrency"
)

// protection refuses requests beyond the limits.
type protection struct {
	limits   Limits
	now      func() time.Time
	counters *counters

	mu        sync.Mutex
	used      window
	active    int
	waitUntil time.Time // until then all requests are refused
	reason    string    // why
}

func newProtection(limits Limits, now func() time.Time, c *counters) *protection {
	if limits.Window <= 0 {
		limits.Window = defaultWindow
	}
	return &protection{limits: limits, now: now, counters: c, used: newWindow(limits.Window)}
}

// wrap lets through to next what the limits allow. How long next takes counts as execution time.
func (p *protection) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := p.now()
		left, reason, wait := p.enter(start)
		p.tell(w.Header(), left)
		if reason != "" {
			p.counters.throttle(w, reason, wait, p.refusal(reason))
			return
		}
		defer func() { p.leave(p.now(), max(p.now().Sub(start), 0)) }()
		next.ServeHTTP(w, r)
	})
}

// enter takes a request in, and returns what is left of the limits after it; or refuses it for a reason.
func (p *protection) enter(now time.Time) (left use, reason string, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used.slideTo(now)
	p.refuseFurther(now)
	switch {
	case now.Before(p.waitUntil):
		reason, wait = p.reason, p.waitUntil.Sub(now)
	case p.limits.Concurrent > 0 && p.active >= p.limits.Concurrent:
		reason, wait = tooManyConcurrent, concurrencyWait
	default:
		p.active++
		p.used.add(use{requests: 1})
	}
	sum := p.used.sum()
	return use{p.limits.Requests - sum.requests, p.limits.Execution - sum.execution}, reason, wait
}

// refuseFurther starts a wait where a limit of the window is exceeded, and lengthens one that is disregarded, up to a
// whole window.
func (p *protection) refuseFurther(now time.Time) {
	if now.Before(p.waitUntil) {
		p.waitUntil = earlier(p.waitUntil.Add(impatience), now.Add(p.limits.Window))
		return
	}
	sum := p.used.sum()
	if p.limits.Requests > 0 && sum.requests >= p.limits.Requests {
		p.reason = tooManyRequests
		p.waitUntil = p.used.when(func(u use) bool { return u.requests < p.limits.Requests })
	}
	if p.limits.Execution > 0 && sum.execution >= p.limits.Execution {
		p.reason = tooMuchTime
		p.waitUntil = later(p.waitUntil, p.used.when(func(u use) bool { return u.execution < p.limits.Execution }))
	}
}

// leave lets a request go that took so long.
func (p *protection) leave(now time.Time, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	p.used.slideTo(now)
	p.used.add(use{execution: took})
}

// tell sends what is left of the limits, and how many requests at a time serve best.
func (p *protection) tell(h http.Header, left use) {
	if p.limits.Requests > 0 {
		h.Set("x-ms-ratelimit-burst-remaining-xrm-requests", strconv.Itoa(max(left.requests, 0)))
	}
	if p.limits.Execution > 0 {
		h.Set("x-ms-ratelimit-time-remaining-xrm-requests", fmt.Sprintf("%.2f", max(left.execution, 0).Seconds()))
	}
	if p.limits.DOPHint > 0 {
		h.Set("x-ms-dop-hint", strconv.Itoa(p.limits.DOPHint))
	}
}

// refusal is the error of an exceeded limit.
func (p *protection) refusal(reason string) *apiError {
	e := &apiError{Status: http.StatusTooManyRequests}
	seconds := int(p.limits.Window.Seconds())
	switch reason {
	case tooManyRequests:
		e.Code = "0x80072322"
		e.Message = fmt.Sprintf("Number of requests exceeded the limit of %d over time window of %d seconds.",
			p.limits.Requests, seconds)
	case tooMuchTime:
		e.Code = "0x80072321"
		e.Message = fmt.Sprintf("Combined execution time of incoming requests exceeded limit of %s milliseconds over time "+
			"window of %d seconds. Decrease number of concurrent requests or reduce the duration of requests and try again "+
			"later.", grouped(p.limits.Execution.Milliseconds()), seconds)
	default:
		e.Code = "0x80072326"
		e.Message = fmt.Sprintf("Number of concurrent requests exceeded the limit of %d.", p.limits.Concurrent)
	}
	return e
}

// grouped writes the number with a comma between thousands, as Dataverse does in messages.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
