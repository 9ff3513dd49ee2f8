package dataverse

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

func TestStatusIsActiveAgainWhenASettlementHasSucceeded(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
			if m == sinktest.Settle && n == 1 {
				return sinktest.NotStored
			}
			return sinktest.None
		})
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		if s := p.Status(); s.State != StateActive {
			t.Errorf("%+v", s)
		}
	})
}

// TestStatusOfAStandbyIsNotThatOfItsLastRequest, which is lost after another has taken over.
func TestStatusOfAStandbyIsNotThatOfItsLastRequest(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		time.Sleep(time.Second)
		w.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: 2 * requestTime})
		w.commit(execution("a", 1))
		synctest.Wait()
		p.Own(false)
		time.Sleep(3 * requestTime)
		if s := p.Status(); s.State != StateStandby {
			t.Errorf("%+v", s)
		}
	})
}

// TestParkedRunsAreNeverLessThanNone: another owner has parked what this one sees taken.
func TestParkedRunsAreNeverLessThanNone(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		first, second := w.start(nil), w.start(nil)
		first.Own(true)
		second.Own(true)
		time.Sleep(2 * testLinger)
		rich := execution("rich", 0)
		rich.Cost = events.USD(100_000 * events.NanosPerUSD)
		w.commitSilently(rich)
		first.Wake(trace.SpanContext{})
		w.settled()
		if n := first.Status().Parked; n != 1 {
			t.Errorf("%d parked", n)
		}
		w.commitSilently(events.Event{Key: runKey("rich"), ID: "void", Type: events.ExecutionsVoided,
			OccurredAt: time.Now().UTC(), Voids: []string{"0"}}, closing("rich"))
		second.Wake(trace.SpanContext{})
		w.settled()
		if n := second.Status().Parked; n != 0 {
			t.Errorf("%d parked", n)
		}
	})
}

// TestParkedRunsThatAnotherHasSentAreForgotten when there is something to send the next time.
func TestParkedRunsThatAnotherHasSentAreForgotten(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		first, second := w.start(nil), w.start(nil)
		first.Own(true)
		second.Own(true)
		time.Sleep(2 * testLinger)
		rich := execution("rich", 0)
		rich.Cost = events.USD(100_000 * events.NanosPerUSD)
		w.commitSilently(rich)
		first.Wake(trace.SpanContext{})
		w.settled()
		w.commitSilently(events.Event{Key: runKey("rich"), ID: "void", Type: events.ExecutionsVoided,
			OccurredAt: time.Now().UTC(), Voids: []string{"0"}}, closing("rich"))
		second.Wake(trace.SpanContext{})
		w.settled()
		if s := first.Status(); s.Parked != 1 || len(s.ParkedRows) != 1 {
			t.Errorf("status %+v before there is something to send", s)
		}
		time.Sleep(recountTime)
		w.commitSilently(execution("another", 0))
		first.Wake(trace.SpanContext{})
		w.settled()
		if s := first.Status(); s.Parked != 0 || len(s.ParkedRows) != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestEveryFaultThatAPersonHasToMendIsLogged, once: behind a wrong secret there may be a missing right.
func TestEveryFaultThatAPersonHasToMendIsLogged(t *testing.T) {
	inWorld(t, emulator.Config{}, func(w *world) {
		p := w.start(nil)
		w.organization.Inject(emulator.Fault{Kind: "wrong-secret", Times: 4})
		w.organization.Inject(emulator.Fault{Kind: "error", Status: 403, Times: 4})
		p.Own(true)
		w.commit(execution("a", 0))
		w.settled()
		said := p.log.String()
		for _, part := range []string{"DATAVERSE_CLIENT_SECRET must be", "its security role lacks a right"} {
			if n := logged(said, "state=blocked", part); n != 1 {
				t.Errorf("%q is logged %d times: %s", part, n, said)
			}
		}
		if n := logged(said, "state=active"); n != 1 {
			t.Errorf("the end is logged %d times: %s", n, said)
		}
	})
}

// logged counts the lines above debug level that have all parts.
func logged(said string, parts ...string) (n int) {
	for line := range strings.Lines(said) {
		has := func(part string) bool { return strings.Contains(line, part) }
		if !has("level=DEBUG") && !slices.ContainsFunc(parts, func(part string) bool { return !has(part) }) {
			n++
		}
	}
	return n
}
