package dataverse

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

var (
	errAway    = &Error{Op: "test", meaning: sinks.ErrUnavailable}
	errNoRight = &Error{Op: "test", Status: 403, meaning: sinks.ErrBlocked}
)

func enter(t *testing.T, g *gate) ticket {
	t.Helper()
	p, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func errThrottled(after time.Duration) error {
	return &Error{Op: "test", Status: 429, RetryAfter: after, meaning: sinks.ErrUnavailable}
}

// through lets one request through that takes so long and ends with err.
func through(t *testing.T, g *gate, took time.Duration, err error) {
	t.Helper()
	p := enter(t, g)
	time.Sleep(took)
	g.leave(p, 0, err)
}

// TestGateKeepsTheServiceLimits sends as fast as the gate lets through for six minutes and a half of a fake clock and counts what
// falls into the worst five of them.
func TestGateKeepsTheServiceLimits(t *testing.T) {
	const window = 5 * time.Minute
	for _, took := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 400 * time.Millisecond, 8 * time.Second} {
		t.Run(fmt.Sprint(took), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				ctx, cancel := context.WithTimeout(t.Context(), 390*time.Second)
				defer cancel()
				type interval struct{ began, ended time.Time }
				requests := make(chan interval, 100_000)
				var running, most atomic.Int64
				workers := 60 // more than may be under way at once
				if took < 100*time.Millisecond {
					workers = 6 // more than keep the limit of requests busy
				}
				for range workers {
					go func() {
						for {
							p, err := g.enter(ctx)
							if err != nil {
								return
							}
							now := running.Add(1)
							for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
							}
							time.Sleep(took)
							running.Add(-1)
							g.leave(p, 1000, nil) // the organisation recommends more than its own limit
							requests <- interval{p.began, time.Now()}
						}
					}()
				}
				<-ctx.Done()
				synctest.Wait()
				time.Sleep(took) // those under way end
				synctest.Wait()
				close(requests)
				var all []interval
				for r := range requests {
					all = append(all, r)
				}
				worst, worstTime, first, spent := 0, time.Duration(0), 0, time.Duration(0)
				for i, r := range all { // in the order of their ends, and so of their beginnings
					spent += r.ended.Sub(r.began)
					for r.began.Sub(all[first].began) >= window {
						spent -= all[first].ended.Sub(all[first].began)
						first++
					}
					worst, worstTime = max(worst, i-first+1), max(worstTime, spent)
				}
				if worst > 6000 || worstTime > 1200*time.Second || most.Load() > 51 {
					t.Errorf("%d requests and %s of execution within five minutes, %d at once", worst, worstTime, most.Load())
				}
				if worst < 5500 && worstTime < 1000*time.Second {
					t.Errorf("only %d requests and %s of execution within five minutes: the limits are not used", worst, worstTime)
				}
			})
		})
	}
}

func TestGateClosesForAllWhenOneIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		for range 50 {
			through(t, g, 0, nil)
		}
		began := time.Now()
		through(t, g, 0, errThrottled(17*time.Second))
		passed := make(chan time.Duration, 8)
		for range cap(passed) {
			go func() {
				through(t, g, time.Millisecond, nil)
				passed <- time.Since(began)
			}()
		}
		for range cap(passed) {
			if after := <-passed; after < 17*time.Second || after > 20*time.Second {
				t.Errorf("a request passed %s after the answer that asked for 17 s", after)
			}
		}
	})
}

func TestGateHalvesOnceForAnswersToRequestsThatWereUnderWayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		for range 100 {
			through(t, g, 0, nil)
		}
		before := g.limit
		var together []ticket
		for range 4 {
			together = append(together, enter(t, g))
		}
		time.Sleep(time.Millisecond)
		for _, p := range together {
			g.leave(p, 0, errThrottled(time.Second))
		}
		if before != usuallyAtOnce || g.limit != before/2 {
			t.Errorf("limit %v after %v", g.limit, before)
		}
	})
}

func TestGateFollowsTheRecommendedParallelism(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		for _, c := range []struct{ hint, want int }{{5, 5}, {20, 20}, {500, mostAtOnce}, {3, 3}} {
			for range 2000 {
				g.leave(enter(t, g), c.hint, nil)
			}
			if int(g.limit) != c.want {
				t.Errorf("hint %d: %v at once", c.hint, g.limit)
			}
		}
	})
}

// TestGateProbesAfterFailures: one request at a time, after pauses that grow to a bound, and freely again after a success.
func TestGateProbesAfterFailures(t *testing.T) {
	for _, c := range []struct {
		err            error
		least, longest time.Duration
	}{
		{errAway, firstBackoff, longestBackoff},
		{errNoRight, firstBlocked, longestBlocked},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			for n := range 20 {
				through(t, g, 0, c.err)
				wait, full := g.wait(time.Now(), 0)
				want := min(c.least<<n, c.longest)
				if full != nil || wait < want/2 || wait > want {
					t.Fatalf("%v: waits %s after failure %d, want up to %s", c.err, wait, n+1, want)
				}
			}
			probe := enter(t, g)
			ctx, cancel := context.WithCancel(t.Context())
			second := make(chan error)
			go func() {
				_, err := g.enter(ctx)
				second <- err
			}()
			synctest.Wait()
			cancel()
			if <-second == nil {
				t.Error("two requests try whether Dataverse is back")
			}
			_, one := g.wait(time.Now(), 1)
			if _, two := g.wait(time.Now(), 2); one != nil || two == nil {
				t.Errorf("one sender: %v, two: %v", one, two)
			}
			g.leave(probe, 0, nil)
			if wait, full := g.wait(time.Now(), 0); wait > 0 || full != nil {
				t.Errorf("waits %s, %v after a success", wait, full)
			}
			through(t, g, 0, c.err)
			if wait, _ := g.wait(time.Now(), 0); wait > c.least {
				t.Errorf("waits %s after the first failure of another outage", wait)
			}
		})
	}
}

func TestGateLetsWaitersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		through(t, g, 0, errThrottled(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := g.enter(ctx)
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("left with %v", err)
		}
	})
}
