package query_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

const liveStream = campaign + "/stream"

// counted is a store that counts what it is asked.
type counted struct {
	sinks.Reader
	asked   atomic.Int64 // all reads
	changed atomic.Int64 // of what changed since a time
}

func (c *counted) List(ctx context.Context, f sinks.Filter, after *sinks.Cursor, limit int) ([]aggregate.Metrics, error) {
	c.asked.Add(1)
	return c.Reader.List(ctx, f, after, limit)
}

func (c *counted) Survey(ctx context.Context, f sinks.Filter, visit func(*sinks.Surveyed) error) error {
	c.asked.Add(1)
	return c.Reader.Survey(ctx, f, visit)
}

func (c *counted) Changed(ctx context.Context, since time.Time, limit int) ([]aggregate.Metrics, error) {
	c.changed.Add(1)
	return c.Reader.Changed(ctx, since, limit)
}

// liveWorld is a world whose commits are announced, and whose window is served over TCP.
type liveWorld struct {
	*world
	store *counted
	feed  *query.Feed
	url   string
	stop  context.CancelFunc
	ended chan error // what serving returned
}

// newLive serves a world. Announcements have come in from the beginning.
func newLive(t *testing.T, changes ...func(*query.Config)) *liveWorld {
	t.Helper()
	l := &liveWorld{ended: make(chan error, 1)}
	l.world = newWorld(t, func(c *query.Config) {
		l.store = &counted{Reader: c.Reader}
		c.Reader = l.store
		for _, change := range changes {
			change(c)
		}
		if c.Feed == nil {
			c.Feed = l.newFeed(t, c)
		}
		l.feed = c.Feed
	})
	l.feed.Back(l.clock())
	l.serve(t)
	return l
}

func (l *liveWorld) newFeed(t *testing.T, c *query.Config) *query.Feed {
	t.Helper()
	feed, err := query.NewFeed(query.FeedConfig{Changed: l.store.Changed, Log: c.Log, Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return feed
}

// serve begins to serve until stop, as the program does: the feed ends with it.
func (l *liveWorld) serve(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.url = "http://" + listener.Addr().String()
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	context.AfterFunc(ctx, l.feed.Close)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.ended <- query.Serve(ctx, listener, l.handler, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() { l.stop(); <-done })
}

// pass lets the clock go on.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// commits commits events in one batch, a millisecond after the last one.
func (l *liveWorld) commits(list ...events.Event) {
	l.t.Helper()
	l.pass(time.Millisecond)
	l.apply(list...)
}

// announces tells the feed how the runs stand, as whoever committed them does.
func (l *liveWorld) announces(keys ...events.Key) {
	l.t.Helper()
	l.feed.Changed(l.announcement(keys...))
}

func (l *liveWorld) announcement(keys ...events.Key) []byte {
	l.t.Helper()
	var records []string
	for _, k := range keys {
		m, found, err := l.world.store.Get(l.t.Context(), k.UUID())
		if err != nil || !found {
			l.t.Fatalf("get %v: found %v, %v", k, found, err)
		}
		records = append(records, jsonOf(m))
	}
	return []byte(`{"stream":"RUN_EVENTS","epoch":1,"position":1,"records":[` + "\n" + strings.Join(records, ",\n") + "\n]}")
}

// run makes the key of a run.
func run(campaignID, runID string) events.Key {
	return events.Key{CampaignID: campaignID, RunID: runID, Phase: "1"}
}

// executions makes the nth execution of each of the runs.
func executions(n int, keys ...events.Key) []events.Event {
	list := make([]events.Event, len(keys))
	for i, k := range keys {
		list[i] = execution(k, fmt.Sprint(n), fmt.Sprint("agent-", n), start, 100)
	}
	return list
}

// sse is one event of a stream.
type sse struct {
	name, id, data string
}

// metrics are the fields of a record that tests look at.
func (e sse) metrics(t *testing.T) aggregate.Metrics {
	t.Helper()
	var m aggregate.Metrics
	if err := json.Unmarshal([]byte(e.data), &m); err != nil || m.RunKey == (uuid.UUID{}) {
		t.Fatalf("%s: %v", e.data, err)
	}
	return m
}

// client reads a stream.
type client struct {
	t      *testing.T
	header http.Header
	events chan sse
	ended  chan error // how the stream ended, nil where cleanly
	leave  context.CancelFunc
	last   string // id
}

// open asks for a stream, which must be there. Headers come in pairs.
func (l *liveWorld) open(query string, headers ...string) *client {
	l.t.Helper()
	response, leave := l.request(liveStream+query, headers...)
	if response.StatusCode != http.StatusOK {
		l.t.Fatalf("%s: status %d", query, response.StatusCode)
	}
	c := &client{t: l.t, header: response.Header, events: make(chan sse), ended: make(chan error, 1), leave: leave}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer response.Body.Close()
		c.ended <- c.read(response.Request.Context(), response.Body)
	}()
	l.t.Cleanup(func() { leave(); <-gone })
	return c
}

// request sends a GET on a connection of its own.
func (l *liveWorld) request(target string, headers ...string) (*http.Response, context.CancelFunc) {
	l.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+target, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		l.t.Fatal(err)
	}
	return response, leave
}

func (c *client) read(ctx context.Context, body io.Reader) error {
	var e sse
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			return nil
		}
		if err != nil {
			return err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "":
			if value != "" { // a comment
				e = sse{name: "comment", data: value}
			}
			if e == (sse{}) {
				continue
			}
			select {
			case c.events <- e:
			case <-ctx.Done():
				return ctx.Err()
			}
			e = sse{}
		}
	}
}

// next is the next event that is not of these names.
func (c *client) next(except ...string) sse {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case e := <-c.events:
			if e.id != "" {
				c.last = e.id
			}
			if strings.Contains(strings.Join(except, " "), e.name) {
				continue
			}
			return e
		case err := <-c.ended:
			c.t.Fatalf("the stream ended: %v", err)
		case <-deadline:
			c.t.Fatal("no event in 30 s")
		}
	}
}

// ready expects these runs, then ready.
func (c *client) ready(want string, runs ...string) {
	c.t.Helper()
	c.wants(runs...)
	if e := c.next("state"); e.name != "ready" || e.data != want {
		c.t.Fatalf("%+v, want ready %s", e, want)
	}
}

// wants expects the records of these runs, in this order, each as run:version.
func (c *client) wants(runs ...string) {
	c.t.Helper()
	for _, want := range runs {
		e := c.next("state", "comment")
		if e.name != "metrics" {
			c.t.Fatalf("%+v, want %s", e, want)
		}
		if m := e.metrics(c.t); fmt.Sprintf("%s:%d", m.RunID, m.Version) != want {
			c.t.Fatalf("run %s at version %d, want %s", m.RunID, m.Version, want)
		}
	}
}

// end waits for the end of the stream, which must be a clean one.
func (c *client) end(limit time.Duration) {
	c.t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case <-c.events:
		case err := <-c.ended:
			if err != nil {
				c.t.Errorf("the stream ended with %v", err)
			}
			return
		case <-deadline:
			c.t.Fatalf("the stream goes on after %s", limit)
		}
	}
}
