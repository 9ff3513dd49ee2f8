package query_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/query"
)

// TestAClientThatComesBackGetsWhatChangedMeanwhile, without the store where others have listened since.
func TestAClientThatComesBackGetsWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.commits(executions(1, run("c", "old"))...)
	l.pass(10 * time.Minute)
	stays, leaves := l.open(""), l.open("")
	for _, s := range []*client{stays, leaves} {
		s.ready(`{"records":1,"complete":true,"resumed":false}`, "old:1")
	}
	l.pass(2 * time.Minute)
	l.commits(executions(1, run("c", "before"))...)
	l.announces(run("c", "before"))
	stays.wants("before:1")
	leaves.wants("before:1")
	leaves.leave()

	l.pass(30 * time.Second)
	l.commits(executions(1, run("c", "a"), run("d", "b"))...)
	l.announces(run("c", "a"), run("d", "b"))
	l.commits(executions(2, run("c", "a"))...)
	l.announces(run("c", "a"))
	for _, id := range []string{"Last-Event-ID", ""} {
		query, headers := "?campaignId=c", []string{id, leaves.last}
		if id == "" {
			query, headers = query+"&lastEventId="+leaves.last, nil
		}
		back := l.open(query, headers...)
		// What was sent just before comes again: another replica's clock may be behind.
		back.ready(`{"records":2,"complete":true,"resumed":true}`, "before:1", "a:2")
		back.leave()
	}
	if n := l.store.changed.Load(); n != 0 {
		t.Errorf("the store was read %d times", n)
	}
}

// TestClientsThatComeBackToAnotherProcessShareOneRead of the store, be they ever so many.
func TestClientsThatComeBackToAnotherProcessShareOneRead(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.commits(executions(1, run("c", "old"))...)
	l.pass(10 * time.Minute)
	l.commits(executions(1, run("c", "a"))...)
	l.commits(executions(1, run("c", "b"))...)
	id := l.clock().Format(time.RFC3339Nano)
	l.pass(5 * time.Second)
	l.commits(executions(2, run("c", "a"))...)
	opened := make(chan *client)
	for range 20 {
		go func() { opened <- l.open("", "Last-Event-ID", id) }()
	}
	for range 20 {
		s := <-opened
		s.ready(`{"records":2,"complete":true,"resumed":true}`, "b:1", "a:2")
		defer s.leave()
	}
	if n := l.store.changed.Load(); n != 1 {
		t.Errorf("the store was read %d times", n)
	}
	// And they hear what changes from then on.
	s := l.open("?limit=0")
	s.ready(`{"records":0,"complete":true,"resumed":false}`)
	l.commits(executions(3, run("c", "old"))...)
	l.announces(run("c", "old"))
	s.wants("old:2")
}

// TestWhoIsTooLateBeginsAnewAndIsTold: where the store is away or where more has changed than can be sent, too.
func TestWhoIsTooLateBeginsAnewAndIsTold(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string]func(context.Context, time.Time, int) ([]aggregate.Metrics, error){
		"away": func(context.Context, time.Time, int) ([]aggregate.Metrics, error) { return nil, errors.New("away") },
		"too much": func(_ context.Context, _ time.Time, limit int) ([]aggregate.Metrics, error) {
			return make([]aggregate.Metrics, limit), nil
		},
	} {
		l := newLive(t, func(c *query.Config) {
			var err error
			if c.Feed, err = query.NewFeed(query.FeedConfig{Changed: changed, Log: c.Log, Now: c.Now}); err != nil {
				t.Fatal(err)
			}
		})
		l.commits(executions(1, run("c", "r"))...)
		id := l.clock().Format(time.RFC3339Nano)
		l.open("", "Last-Event-ID", id).ready(`{"records":1,"complete":false,"resumed":false}`, "r:1")
		if !strings.Contains(l.log.String(), "what changed cannot be read") {
			t.Errorf("%s: nothing is logged", name)
		}
	}
}

// TestAGapIsFilledByOneRead of the store for all clients.
func TestAGapIsFilledByOneRead(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	var streams []*client
	for range 20 {
		s := l.open("")
		s.ready(`{"records":0,"complete":true,"resumed":false}`)
		streams = append(streams, s)
	}
	last := l.clock()
	l.feed.Lost()
	l.pass(time.Minute)
	l.commits(executions(1, run("c", "a"), run("c", "b"))...) // nobody is told
	l.commits(executions(2, run("c", "a"))...)
	l.feed.Back(last)
	for _, s := range streams {
		s.wants("b:1", "a:2")
	}
	if n := l.store.changed.Load(); n != 1 {
		t.Errorf("the store was read %d times", n)
	}
	// What is known already does not come again.
	l.feed.Missed(last)
	l.commits(executions(3, run("c", "b"))...)
	l.announces(run("c", "b"))
	streams[0].wants("b:2")
	// Who comes back across the gap misses nothing.
	l.open("", "Last-Event-ID", last.Add(time.Minute).Format(time.RFC3339Nano)).ready(
		`{"records":2,"complete":true,"resumed":true}`, "a:2", "b:2")
}

func TestAGapThatCannotBeFilledIsTold(t *testing.T) {
	t.Parallel()
	l := newLive(t, func(c *query.Config) {
		var err error
		c.Feed, err = query.NewFeed(query.FeedConfig{Log: c.Log, Now: c.Now,
			Changed: func(context.Context, time.Time, int) ([]aggregate.Metrics, error) { return nil, errors.New("away") }})
		if err != nil {
			t.Fatal(err)
		}
	})
	s := l.open("")
	s.ready(`{"records":0,"complete":true,"resumed":false}`)
	l.feed.Missed(l.clock())
	s.ready(`{"records":0,"complete":false,"resumed":true}`)
}

// TestNothingIsMissedBetweenWhatIsStoredAndWhatChanges however often somebody begins to listen meanwhile.
func TestNothingIsMissedBetweenWhatIsStoredAndWhatChanges(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	k := run("c", "r")
	const last = 100
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range last {
			l.commits(executions(n, k)...)
			l.announces(k)
		}
	}()
	for range 10 {
		s := l.open("")
		for version := int64(0); version < last; {
			if e := s.next("state", "ready"); e.name == "metrics" {
				version = max(version, e.metrics(t).Version)
			}
		}
		s.leave()
	}
	<-done
}

// TestASlowClientHoldsNobodyUp and gets the latest when it can take it. Meanwhile it costs no memory.
func TestASlowClientHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s?limit=0 HTTP/1.1\r\nHost: localhost\r\n\r\n", liveStream)
	fast := l.open("?limit=0&campaignId=last")
	fast.ready(`{"records":0,"complete":true,"resumed":false}`)
	until(t, "both listen", func() bool { return l.feed.Counts().Clients == 2 })

	k := run("c", "r")
	l.commits(executions(1, k, run("last", "r"))...)
	template := l.announcement(k)
	before := heap()
	announcements, runs := 1000, 100 // 65 MB, all of runs that nobody has seen
	if testing.Short() {
		announcements = 200
	}
	for i := range announcements {
		l.feed.Changed(variants(template, i, runs))
	}
	if grown := heap() - before; grown > 100<<20 {
		t.Errorf("the heap has grown by %d MB", grown>>20)
	}
	l.announces(run("last", "r"))
	fast.wants("r:1")

	// It begins to read, and is not behind for long.
	seen := make(chan bool, 1)
	go func() {
		var latest, told bool
		lines := bufio.NewReader(conn)
		for !latest || !told {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			latest = latest || strings.Contains(line, `"campaignId":"last"`)
			told = told || strings.Contains(line, `"complete":false`)
		}
		seen <- latest && told
	}()
	select {
	case ok := <-seen:
		if !ok {
			t.Error("the slow client was cut off")
		}
	case <-time.After(30 * time.Second):
		t.Error("the slow client does not get the latest")
	}
	if counts := l.feed.Counts(); counts.Skipped == 0 || counts.Sent > int64(announcements*runs)/2 {
		t.Errorf("%+v of %d records", counts, announcements*runs)
	}
}

// variants is an announcement of many runs that are like one.
func variants(template []byte, number, runs int) []byte {
	head, rest, _ := bytes.Cut(template, []byte("\n"))
	line, tail, _ := bytes.Cut(rest, []byte("\n"))
	b := append(bytes.Clone(head), '\n')
	for i := range runs {
		k := run("c", fmt.Sprintf("r-%d-%d", number, i))
		one := bytes.Replace(line, []byte(run("c", "r").UUID().String()), []byte(k.UUID().String()), 1)
		b = append(b, bytes.Replace(one, []byte(`"runId":"r"`), []byte(`"runId":"`+k.RunID+`"`), 1)...)
		if i < runs-1 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	return append(b, tail...)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// until waits for what takes a moment.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		case <-tick.C:
		}
	}
}
