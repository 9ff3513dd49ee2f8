package query_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

// idle is after how long runs turn stalled in these tests.
const idle = 30 * time.Minute

// questions are GETs whose answers rest on the store, and some on the clock.
var questions = []string{
	campaign, campaign + "?limit=1", campaign + "?status=running", campaign + "?status=stalled", campaign + "?status=completed",
	campaign + "?campaignId=c&status=running&limit=1", campaign + "/summary", campaign + "/summary?status=stalled",
	campaign + "/summary?status=running", campaign + "/c/summary", campaign + "/c/runs/a", "/api/deadletters",
}

func newPolled(t *testing.T, changes ...func(*query.Config)) *liveWorld {
	t.Helper()
	return newLive(t, append(changes, func(c *query.Config) { c.IdleTimeout = idle })...)
}

// poll asks again for what was answered with an ETag before.
func (l *liveWorld) poll(target, etag string, headers ...string) (status int, now string) {
	l.t.Helper()
	got := l.send(http.MethodGet, target, "", append(headers, "If-None-Match", etag)...)
	if got.Code == http.StatusNotModified && got.Body.Len() > 0 {
		l.t.Errorf("%s: 304 with a body: %s", target, got.Body)
	}
	return got.Code, got.Header().Get("ETag")
}

// etag is the ETag of an answer in full.
func (l *liveWorld) etag(target string) string {
	l.t.Helper()
	got := l.send(http.MethodGet, target, "")
	etag := got.Header().Get("ETag")
	if got.Code != http.StatusOK || !strings.HasPrefix(etag, `"`) || got.Header().Get("Cache-Control") != "private, no-cache" {
		l.t.Fatalf("%s: status %d, headers %v: %s", target, got.Code, got.Header(), got.Body)
	}
	return etag
}

// TestPollingAsksNothingOfTheStoreWhileNothingChanges for ten minutes, and the next poll sees what another process commits.
func TestPollingAsksNothingOfTheStoreWhileNothingChanges(t *testing.T) {
	t.Parallel()
	l := newPolled(t)
	l.commits(executions(1, run("c", "a"), run("c", "b"))...)
	l.announces(run("c", "a"), run("c", "b"))
	etag := l.etag(campaign)
	asked := l.store.asked.Load()
	for range 300 {
		l.pass(2 * time.Second)
		if status, now := l.poll(campaign, etag); status != http.StatusNotModified || now != etag {
			t.Fatalf("status %d, ETag %s, want %s", status, now, etag)
		}
	}
	if n := l.store.asked.Load() - asked; n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	l.commits(executions(2, run("c", "a"))...)
	l.announces(run("c", "a"))
	if status, now := l.poll(campaign, etag); status != http.StatusOK || now == etag {
		t.Errorf("status %d, ETag %s as before", status, now)
	}
}

// TestAnswersAreNotTrustedForEver: an announcement may be lost without a sign.
func TestAnswersAreNotTrustedForEver(t *testing.T) {
	t.Parallel()
	l := newPolled(t)
	etag := l.etag(campaign)
	l.commits(executions(1, run("c", "a"))...) // nobody is told
	if status, _ := l.poll(campaign, etag); status != http.StatusNotModified {
		t.Errorf("status %d where nothing was heard", status)
	}
	l.pass(15 * time.Minute)
	if status, _ := l.poll(campaign, etag); status != http.StatusOK {
		t.Errorf("status %d after a quarter of an hour", status)
	}
}

func TestNothingIsTrustedWhileAnnouncementsDoNotComeIn(t *testing.T) {
	t.Parallel()
	l := newPolled(t)
	etag := l.etag(campaign)
	l.feed.Lost()
	l.feed.Missed(l.clock()) // says nothing of what is to come
	for range 3 {
		asked := l.store.asked.Load()
		if status, _ := l.poll(campaign, etag); status != http.StatusNotModified || l.store.asked.Load() == asked {
			t.Errorf("status %d, the store was asked %d times", status, l.store.asked.Load()-asked)
		}
	}
	l.commits(executions(1, run("c", "a"))...)
	l.feed.Back(l.clock())
	if status, _ := l.poll(campaign, etag); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

// TestEveryJSONAnswerHasAnETag and others have none.
func TestEveryJSONAnswerHasAnETag(t *testing.T) {
	t.Parallel()
	l := newPolled(t)
	l.commits(executions(1, run("c", "a"))...)
	for _, q := range questions {
		etag := l.etag(q)
		for given, want := range map[string]int{
			etag: http.StatusNotModified, "W/" + etag: http.StatusNotModified, `"x", ` + etag: http.StatusNotModified,
			"*": http.StatusNotModified, `"x"`: http.StatusOK, strings.Trim(etag, `"`): http.StatusOK, "": http.StatusOK,
		} {
			if status, now := l.poll(q, given); status != want || now != etag {
				t.Errorf("%s with If-None-Match %s: status %d, ETag %s", q, given, status, now)
			}
		}
	}
	for _, q := range []string{campaign + "?limit=x", campaign + "/c/runs/unknown", "/healthz", "/readyz", "/openapi.json", "/metrics"} {
		if etag := l.send(http.MethodGet, q, "").Header().Get("ETag"); etag != "" {
			t.Errorf("%s has ETag %s", q, etag)
		}
	}
}

// TestWhoMayNotReadLearnsNothingFromETags though others have asked the same.
func TestWhoMayNotReadLearnsNothingFromETags(t *testing.T) {
	t.Parallel()
	var l *liveWorld
	w, read, write := withKeys(t, func(c *query.Config) {
		l = &liveWorld{store: &counted{Reader: c.Reader}}
		c.Feed = l.newFeed(t, c)
		l.feed = c.Feed
	})
	l.world = w
	l.feed.Back(l.clock())
	etag := w.send(http.MethodGet, campaign, "", "X-API-Key", read).Header().Get("ETag")
	if status, _ := l.poll(campaign, etag, "X-API-Key", read); status != http.StatusNotModified {
		t.Errorf("status %d with the key", status)
	}
	for token, want := range map[string]int{"": http.StatusUnauthorized, "reader.wrong": http.StatusUnauthorized, write: http.StatusForbidden} {
		if status, now := l.poll(campaign, etag, "X-API-Key", token); status != want || now != "" {
			t.Errorf("status %d, ETag %q with another key, want %d", status, now, want)
		}
	}
}

// TestNoAnswerIsWrong: whatever is committed, announced, lost and found, and however late it is, a client that polls has
// what one has that asks for the first time.
func TestNoAnswerIsWrong(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	l := newPolled(t)
	have := make(map[string]string)
	spared, steps := 0, 150
	if testing.Short() {
		steps = 30
	}
	for step := range steps {
		switch k := run("c", string(rune('a'+random.IntN(4)))); random.IntN(8) {
		case 0:
			l.commits(executions(step, k)...)
			l.announces(k)
		case 1:
			l.commits(events.Event{Key: k, ID: fmt.Sprint(step), Type: events.RunFinished, OccurredAt: start, Outcome: events.OutcomeCompleted})
			l.announces(k)
		case 2:
			last := l.clock()
			l.feed.Lost()
			l.commits(executions(step, k)...)
			l.feed.Back(last)
		case 3: // to a moment of which something may turn
			l.pass(idle + time.Duration(random.IntN(3)-1)*time.Microsecond - time.Duration(random.IntN(20))*time.Minute)
		default:
			l.pass(time.Duration(random.IntN(20)) * time.Minute)
		}
		l.buryLetterSometimes(random, step)
		for _, q := range questions {
			asked := l.store.asked.Load()
			status, polled := l.poll(q, have[q])
			if status == http.StatusNotModified && l.store.asked.Load() == asked && strings.HasPrefix(q, campaign) { // letters are not counted
				spared++
			}
			fresh := l.send(http.MethodGet, q, "").Header().Get("ETag")
			if status != http.StatusNotFound && polled != fresh {
				t.Fatalf("seed %d, step %d, at %s: %s is answered %d with ETag %s, it is %s", seed, step, l.clock(), q, status, polled, fresh)
			}
			have[q] = fresh
		}
	}
	if spared < steps/3 {
		t.Errorf("only %d answers were known", spared)
	}
}

// buryLetterSometimes stores a dead letter and announces that.
func (l *liveWorld) buryLetterSometimes(random *rand.Rand, step int) {
	if random.IntN(10) == 0 {
		l.buryLetter("c", fmt.Sprint("r", step))
		l.feed.Changed([]byte(`{"records":[]}`))
	}
}
