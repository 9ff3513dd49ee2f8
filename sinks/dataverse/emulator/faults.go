package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong on demand. A request meets at most one: the first injected that applies to it.
//
// The kinds:
//
//	drop-before    the connection is cut, nothing is stored
//	drop-after     the request takes place, then the connection is cut
//	throttle       429 with RetryAfter, at least a second
//	error          Status, with RetryAfter if there is one; 502, 503 and 504 answer HTML, as gateways do
//	slow           the request takes place Delay later, even if the client has gone meanwhile
//	slow-after     the request takes place, the answer comes Delay later
//	expired-token  401, as for a token that has expired
//	wrong-secret   the token endpoint refuses the secret (AADSTS7000215)
type Fault struct {
	Kind string
	// Path is a part of the URL path of the requests that meet it. Empty means all of the Web API, and for wrong-secret
	// all for a token.
	Path       string
	Times      int           // how many requests meet it; 0: all, until it is cleared
	Status     int           // of error: 400 to 599
	RetryAfter time.Duration // rounded up to whole seconds
	Delay      time.Duration // of slow and slow-after, in real time
	Chance     float64       // that a request meets it, 0 to 1; 0 means always
}

// check says what is wrong with a fault.
func (f Fault) check() error {
	kinds := []string{
		"drop-before", "drop-after", "throttle", "error", "slow", "slow-after", "expired-token", "wrong-secret",
	}
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("kind %q must be one of %s", f.Kind, strings.Join(kinds, ", "))
	case f.Kind == "error" && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d must be 400 to 599", f.Status)
	case f.Times < 0 || f.RetryAfter < 0 || f.Delay < 0:
		return errors.New("times, retryAfter and delay must not be negative")
	case !(f.Chance >= 0 && f.Chance <= 1):
		return fmt.Errorf("chance %v must be 0 to 1", f.Chance)
	}
	return nil
}

// appliesTo tells whether the request may meet the fault.
func (f Fault) appliesTo(r *http.Request) bool {
	switch {
	case f.Kind == "wrong-secret":
		return isTokenRequest(r) && strings.Contains(r.URL.Path, f.Path)
	case f.Path == "":
		return strings.HasPrefix(r.URL.Path, apiPath)
	}
	return strings.Contains(r.URL.Path, f.Path)
}

// faults are those that are to happen.
type faults struct {
	now      func() time.Time
	counters *counters
	random   func() float64 // from 0, below 1

	mu     sync.Mutex
	list   []Fault
	closed chan struct{}
	close  func() // ends all delays; once closed, slow requests do not take place any more
}

func newFaults(now func() time.Time, c *counters) *faults {
	closed := make(chan struct{})
	return &faults{
		now: now, counters: c, random: rand.Float64,
		closed: closed, close: sync.OnceFunc(func() { close(closed) }),
	}
}

// inject adds a fault that passed its check.
func (f *faults) inject(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fault)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = nil
}

// current are the faults that are left, with the times that are left of them.
func (f *faults) current() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.list)
}

// next takes the fault that the request meets.
func (f *faults) next(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		fault := f.list[i]
		if !fault.appliesTo(r) || fault.Chance > 0 && f.random() >= fault.Chance {
			continue
		}
		switch fault.Times {
		case 0:
		case 1:
			f.list = slices.Delete(f.list, i, i+1)
		default:
			f.list[i].Times--
		}
		return fault, true
	}
	return Fault{}, false
}

// wrap lets requests meet the faults on their way to next.
func (f *faults) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault, meets := f.next(r)
		if !meets {
			next.ServeHTTP(w, r)
			return
		}
		switch fault.Kind {
		case "drop-before":
			cut()
		case "drop-after":
			next.ServeHTTP(newAnswer(), whole(r))
			cut()
		case "throttle":
			f.counters.throttle(w, "fault", max(fault.RetryAfter, time.Second), &apiError{http.StatusTooManyRequests,
				"0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."})
		case "error":
			f.fail(w, fault)
		case "slow":
			r = whole(r)
			f.wait(fault.Delay, nil)
			next.ServeHTTP(w, r)
		case "slow-after":
			late := newAnswer()
			next.ServeHTTP(late, whole(r))
			f.wait(fault.Delay, r.Context().Done())
			late.send(w)
		case "expired-token":
			challenge(w, r, tokenExpired)
		case "wrong-secret":
			wrongSecret(r.FormValue("client_id")).write(w, f.now())
		}
	})
}

// fail answers with the fault's status.
func (f *faults) fail(w http.ResponseWriter, fault Fault) {
	if fault.RetryAfter > 0 {
		f.counters.retryAfter(w, fault.RetryAfter)
	}
	switch fault.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		text := http.StatusText(fault.Status)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(fault.Status)
		fmt.Fprintf(w, "<html><head><title>%d %s</title></head><body><h1>%s</h1></body></html>\r\n", fault.Status, text, text)
	default:
		unexpected(fault.Status).write(w)
	}
}

// cut ends the connection without another byte.
func cut() { panic(http.ErrAbortHandler) }

// whole is the request with its body read, so that it takes place whatever becomes of its client. A client that went
// before it had sent all asked for nothing.
func whole(r *http.Request) *http.Request {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1)) // one that is too long stays too long
	if err != nil {
		cut()
	}
	kept := r.WithContext(context.WithoutCancel(r.Context()))
	kept.Body = io.NopCloser(bytes.NewReader(body))
	return kept
}

// wait waits so long, or until the client has gone; it cuts the connection when the emulator is closed.
func (f *faults) wait(delay time.Duration, gone <-chan struct{}) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-f.closed:
		cut()
	}
}
