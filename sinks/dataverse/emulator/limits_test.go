package emulator

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// protected is a service behind limits.
type protected struct {
	http.Handler
	clock    *clock
	counters *counters
	takes    time.Duration // by the clock
}

func newProtected(limits Limits) *protected {
	p := &protected{clock: newClock()}
	p.counters = newCounters(p.clock.Now)
	service := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { p.clock.advance(p.takes) })
	p.Handler = p.counters.wrap(newProtection(limits, p.clock.Now, p.counters).wrap(service))
	return p
}

// send sends a request, and returns the answer's status, its code and its Retry-After in seconds.
func (p *protected) send() (status int, body string, wait time.Duration) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/WhoAmI", nil))
	seconds, _ := strconv.Atoi(w.Header().Get("Retry-After"))
	return w.Code, w.Body.String(), time.Duration(seconds) * time.Second
}

// mustSend sends n requests that the limits allow.
func (p *protected) mustSend(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		if status, body, _ := p.send(); status != http.StatusOK {
			t.Fatalf("request %d: status %d, %s", i, status, body)
		}
	}
}

func TestARequestBeyondTheLimitOfAWindowIsRefusedUntilTheRetryAfterHasPassed(t *testing.T) {
	t.Parallel()
	p := newProtected(DefaultLimits())
	p.mustSend(t, 3000)
	p.clock.advance(100 * time.Second)
	p.mustSend(t, 3000)

	status, body, wait := p.send()
	const want = `{"error":{"code":"0x80072322","message":` +
		`"Number of requests exceeded the limit of 6000 over time window of 300 seconds."}}` + "\n"
	if status != http.StatusTooManyRequests || body != want {
		t.Fatalf("got %d %s", status, body)
	}
	if wait != 200*time.Second {
		t.Errorf("Retry-After is %v; the first 3000 requests leave the window in 200 s", wait)
	}
	p.clock.advance(wait)
	p.mustSend(t, 3000)
	if status, _, wait = p.send(); status != http.StatusTooManyRequests || wait != 100*time.Second {
		t.Errorf("after a second lot: status %d, Retry-After %v, want 429 and 100s", status, wait)
	}
	if s := p.counters.snapshot(); s.Throttled["requests"] != 2 || s.WhileThrottled != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestAClientThatDoesNotWaitIsMadeToWaitLonger(t *testing.T) {
	t.Parallel()
	p := newProtected(Limits{Requests: 10, Window: 30 * time.Second})
	p.mustSend(t, 10)
	p.clock.advance(15 * time.Second)
	_, _, first := p.send()
	for range 5 {
		p.send()
	}
	if _, _, wait := p.send(); wait <= first {
		t.Errorf("Retry-After %v after six impatient requests, %v before", wait, first)
	}
	for range 100 {
		p.send()
	}
	if _, _, wait := p.send(); wait != 30*time.Second {
		t.Errorf("Retry-After %v, want the whole window at most", wait)
	}
	if s := p.counters.snapshot(); s.WhileThrottled != 107 {
		t.Errorf("%d requests came while throttled, want 107", s.WhileThrottled)
	}
}

func TestExecutionTimeIsLimitedInAWindow(t *testing.T) {
	t.Parallel()
	clock := newClock()
	protection := newProtection(Limits{Execution: 20 * time.Minute}, clock.Now, newCounters(clock.Now))
	const each = 4 * time.Minute // of five at a time
	for range 5 {
		protection.enter(clock.Now())
	}
	clock.advance(each)
	for range 5 {
		protection.leave(clock.Now(), each)
	}
	w := httptest.NewRecorder()
	protection.wrap(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/WhoAmI", nil))
	const want = `{"error":{"code":"0x80072321","message":"Combined execution time of incoming requests exceeded limit of ` +
		`1,200,000 milliseconds over time window of 300 seconds. Decrease number of concurrent requests or reduce the duration ` +
		`of requests and try again later."}}` + "\n"
	if w.Code != http.StatusTooManyRequests || w.Body.String() != want {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w.Header().Get("Retry-After") != "300" {
		t.Errorf("Retry-After %s, want 300: what was used was used just now", w.Header().Get("Retry-After"))
	}
}

func TestTooManyConcurrentRequestsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	clock := newClock()
	counters := newCounters(clock.Now)
	arrived, leave := make(chan struct{}), make(chan struct{})
	service := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-leave
	})
	h := counters.wrap(newProtection(Limits{Concurrent: 2}, clock.Now, counters).wrap(service))
	send := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/WhoAmI", nil))
		return w
	}
	var under sync.WaitGroup
	for range 2 {
		under.Go(func() { send() })
		<-arrived
	}
	const want = `{"error":{"code":"0x80072326","message":"Number of concurrent requests exceeded the limit of 2."}}` + "\n"
	refused := send()
	if refused.Code != http.StatusTooManyRequests || refused.Header().Get("Retry-After") == "" ||
		refused.Body.String() != want {
		t.Errorf("got %d %v %s", refused.Code, refused.Header(), refused.Body)
	}
	close(leave)
	under.Wait()
	under.Go(func() { <-arrived })
	if w := send(); w.Code != http.StatusOK {
		t.Errorf("status %d after the others left", w.Code)
	}
	under.Wait()
	if s := counters.snapshot(); s.MaxConcurrent != 3 || s.Throttled["concurrency"] != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestAnswersTellWhatIsLeftOfTheLimits(t *testing.T) {
	t.Parallel()
	p := newProtected(DefaultLimits())
	p.takes = 1500 * time.Millisecond
	p.mustSend(t, 1)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/WhoAmI", nil))
	for header, want := range map[string]string{
		"x-ms-ratelimit-burst-remaining-xrm-requests": "5998",
		"x-ms-ratelimit-time-remaining-xrm-requests":  "1198.50",
		"x-ms-dop-hint": "10",
	} {
		if got := w.Header().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
}

func TestWithoutLimitsNothingIsRefusedAndNothingTold(t *testing.T) {
	t.Parallel()
	p := newProtected(Limits{})
	p.takes = time.Hour
	p.mustSend(t, 10_000)
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/data/v9.2/WhoAmI", nil))
	if len(w.Header()) != 0 {
		t.Errorf("headers %v", w.Header())
	}
}
