package emulator

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// apiPath is what the paths of all Web API requests begin with.
const apiPath = "/api/data/"

// Stats counts what the emulator was asked for since it started.
type Stats struct {
	// Requests are those under /api/data, also those that were refused or cut. A $batch is one.
	Requests int `json:"requests"`
	// Targets are the rows that requests asked to write: each create, update, upsert and delete, each target of a bulk
	// call, also of requests that failed. That is what a tenant's daily entitlement counts.
	Targets int `json:"targets"`
	// Throttled are the answers 429, by reason: requests, time, concurrency, fault.
	Throttled map[string]int `json:"throttled"`
	// WhileThrottled are the requests that came before the last Retry-After had passed.
	WhileThrottled int `json:"whileThrottled"`
	// MaxConcurrent is the most requests that were under way at a time.
	MaxConcurrent int `json:"maxConcurrent"`
	// Tokens are those that were issued.
	Tokens int `json:"tokens"`
}

// counters are the statistics as they grow.
type counters struct {
	now func() time.Time

	mu         sync.Mutex
	stats      Stats
	concurrent int
	waitUntil  time.Time // when the last Retry-After has passed
}

func newCounters(now func() time.Time) *counters {
	return &counters{now: now, stats: Stats{Throttled: map[string]int{}}}
}

// snapshot is a copy.
func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Throttled = maps.Clone(s.Throttled)
	return s
}

// wrap counts the requests of the Web API that next serves.
func (c *counters) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiPath) {
			c.enter()
			defer c.leave()
		}
		next.ServeHTTP(w, r)
	})
}

func (c *counters) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Requests++
	c.concurrent++
	c.stats.MaxConcurrent = max(c.stats.MaxConcurrent, c.concurrent)
	if c.now().Before(c.waitUntil) {
		c.stats.WhileThrottled++
	}
}

func (c *counters) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.concurrent--
}

// targets counts rows that a request asks to write.
func (c *counters) targets(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Targets += n
}

// token counts a token that was issued.
func (c *counters) token() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Tokens++
}

// throttle answers 429 for the reason. The client shall wait as retryAfter says.
func (c *counters) throttle(w http.ResponseWriter, reason string, wait time.Duration, refusal *apiError) {
	c.mu.Lock()
	c.stats.Throttled[reason]++
	c.mu.Unlock()
	c.retryAfter(w, wait)
	refusal.write(w)
}

// retryAfter asks the client to wait, in whole seconds rounded up, as the header has no others.
func (c *counters) retryAfter(w http.ResponseWriter, wait time.Duration) {
	seconds := (wait + time.Second - 1) / time.Second
	w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := c.now().Add(seconds * time.Second); until.After(c.waitUntil) {
		c.waitUntil = until
	}
}
