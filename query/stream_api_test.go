package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

func TestAStreamShowsWhatIsStoredAndThenWhatChanges(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	a, b, c := run("c", "a"), run("c", "b"), run("c", "c")
	for i, k := range []events.Key{a, b, c} {
		e := execution(k, "1", "x", start.Add(time.Duration(i)*time.Second), 100)
		l.commits(e)
	}
	s := l.open("?limit=2")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := s.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	s.ready(`{"records":2,"complete":true,"resumed":false}`, "b:1", "c:1") // the newest two, the older of them first
	if e := s.next(); e.name != "state" || !strings.Contains(e.data, `"state":"active"`) {
		t.Errorf("%+v, want the state", e)
	}
	l.commits(executions(2, a)...)
	l.announces(a)
	s.wants("a:2")
	l.commits(executions(3, c)...)
	l.announces(c)
	s.wants("c:2")
	if want := "2026-02-14T12:00:00.005000Z"; s.last != want {
		t.Errorf("id %q, want %q", s.last, want)
	}
	l.open("?limit=0").ready(`{"records":0,"complete":true,"resumed":false}`)
}

func TestAStreamShowsWhatItsFilterSays(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	keys := []events.Key{
		{CampaignID: "c", RunID: "r", Phase: "1"}, {CampaignID: "c", RunID: "r", Phase: "2"},
		{CampaignID: "c", RunID: "other", Phase: "1"}, {CampaignID: "d\u202e \"", RunID: "r", Phase: "1"},
	}
	n := 0
	for query, want := range map[string][]int{
		"": {0, 1, 2, 3}, "?campaignId=c": {0, 1, 2}, "?runId=r": {0, 1, 3}, "?phase=1": {0, 2, 3}, "?campaignId=c&runId=r&phase=2": {1},
		"?campaignId=d%E2%80%AE+%22": {3}, "?campaignId=c&phase=1": {0, 2},
	} {
		s := l.open(query)
		for s.next().name != "ready" {
		}
		n++
		l.commits(executions(n, keys...)...)
		l.announces(keys...)
		for _, i := range append(want, want[0]) {
			if m := s.next("state").metrics(t); m.Key() != keys[i] {
				t.Errorf("%s: %v, want %v", query, m.Key(), keys[i])
			}
			if i == want[len(want)-1] { // and then nothing but this
				n++
				l.commits(executions(n, keys[want[0]])...)
				l.announces(keys[want[0]])
			}
		}
		s.leave()
	}
}

func TestAStreamRefusesWhatARunCanLeave(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	for query, field := range map[string]string{
		"?status=running": "query.status", "?since=2026-02-14T12:00:00Z": "query.since", "?until=2026-02-14T12:00:00Z": "query.until",
		"?cursor=x": "query.cursor", "?limit=501": "query.limit", "?limit=-1": "query.limit", "?limit=1e1": "query.limit",
		"?campaignId=" + strings.Repeat("x", 65): "query.campaignId", "?campaignId=a&campaignId=b": "query.campaignId",
		"?lastEventId=a&lastEventId=b": "query.lastEventId",
	} {
		l.wantProblem(http.StatusBadRequest, l.send(http.MethodGet, liveStream+query, ""), field)
	}
	l.wantProblem(http.StatusBadRequest, l.send(http.MethodGet, liveStream+"?campaignId=%zz", ""))
	l.wantProblem(http.StatusBadRequest, l.send(http.MethodGet, liveStream, "{}"))
	head := l.send(http.MethodHead, liveStream, "") // which ends
	if head.Code != http.StatusOK || head.Body.Len() != 0 || head.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: status %d, %v", head.Code, head.Header())
	}
}

// TestAStreamThatHasNothingToTellLives over all the limits of ordinary requests.
func TestAStreamThatHasNothingToTellLives(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	t.Parallel()
	l := newLive(t)
	s := l.open("")
	for range 2 {
		if e := s.next("ready", "state"); e.name != "comment" {
			t.Fatalf("%+v, want a heartbeat", e)
		}
	}
	<-time.After(2 * time.Second) // longer than the 30 s that an ordinary answer may take
	l.commits(executions(1, run("c", "r"))...)
	l.announces(run("c", "r"))
	s.wants("r:1")
}

// TestAStreamShowsTheNewestOfWhatChangesFast and no more than four times a second.
func TestAStreamShowsTheNewestOfWhatChangesFast(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	s := l.open("")
	s.ready(`{"records":0,"complete":true,"resumed":false}`)
	const last = 150
	k := run("c", "r")
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := range last {
			<-tick.C
			l.commits(executions(n, k)...)
			l.announces(k)
		}
	}()
	began, flushes, version := time.Now(), 0, int64(0)
	for version < last {
		e := s.next("state")
		m := e.metrics(t)
		if m.Version <= version {
			t.Errorf("version %d behind %d", m.Version, version)
		}
		version = m.Version
		if flushes++; e.id == "" {
			t.Errorf("version %d has no id", version)
		}
	}
	if most := int(time.Since(began)/(250*time.Millisecond)) + 1; flushes > most {
		t.Errorf("%d deliveries in %s", flushes, time.Since(began))
	}
}

func TestTheStateIsShownWhenItChanges(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	s := l.open("")
	s.ready(`{"records":0,"complete":true,"resumed":false}`)
	s.next()
	l.mu.Lock()
	l.state = query.State{State: query.StateDegraded, Reasons: []string{"NATS is away"}}
	l.mu.Unlock()
	want := strings.TrimSpace(l.send(http.MethodGet, "/readyz", "").Body.String())
	if e := s.next(); e.name != "state" || e.data != want {
		t.Errorf("%+v, want %s", e, want)
	}
}

func TestStreamsEndAtOnceWhenTheServerStops(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	var streams []*client
	for range 20 {
		s := l.open("")
		s.ready(`{"records":0,"complete":true,"resumed":false}`)
		streams = append(streams, s)
	}
	began := time.Now()
	l.stop()
	for _, s := range streams {
		s.end(5 * time.Second)
	}
	if err := <-l.ended; err != nil {
		t.Errorf("serving ended with %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
}

func TestAKeyThatExpiresEndsItsStreams(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	line, token, err := query.NewKey("brief", []string{query.ScopeRead}, start.AddDate(0, 0, 1), zeros{})
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString(line)
	keys, err := query.ParseKeys(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	l := newLive(t, func(c *query.Config) { c.Keys, c.Loopback = keys, false })
	response, leave := l.request(liveStream)
	defer leave()
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d without a key", response.StatusCode)
	}
	s := l.open("", "Authorization", "Bearer "+token)
	s.ready(`{"records":0,"complete":true,"resumed":false}`)
	l.pass(24 * time.Hour)
	s.end(15 * time.Second)
}

// zeros is no randomness.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestAThousandClientsAreServedAndNoMore(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes thousands of connections")
	}
	t.Parallel()
	l := newLive(t)
	for i := range 1000 {
		response, leave := l.request(liveStream + "?limit=0")
		defer leave()
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("client %d: status %d", i, response.StatusCode)
		}
	}
	got := l.send(http.MethodGet, liveStream, "")
	l.wantProblem(http.StatusServiceUnavailable, got)
	if got.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if n := l.feed.Counts().Clients; n != 1000 {
		t.Errorf("%d clients", n)
	}
}

func TestLastEventIDsThatCannotBeReadBeginAnew(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.commits(executions(1, run("c", "r"))...)
	for _, id := range []string{"x", "0", "-1", "2026-02-14", "2026-02-14T12:00:00", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
		"12026-02-14T12:00:00Z", "2026-02-14T12:00:00,5Z", strings.Repeat("9", 8000), "2026-02-14T25:00:00Z", "null", `"`, "é\xff"} {
		s := l.open("", "Last-Event-ID", id)
		s.ready(`{"records":1,"complete":true,"resumed":false}`, "r:1")
		s.leave()
	}
	for _, id := range []string{"2000-01-01T00:00:00Z", fmt.Sprint(start.Add(-time.Hour).Format(time.RFC3339))} {
		s := l.open("?lastEventId=" + id)
		s.ready(`{"records":1,"complete":false,"resumed":false}`, "r:1") // it says what it cannot have
		s.leave()
	}
}
