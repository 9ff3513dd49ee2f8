package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// testLive holds what a client of each of two replicas was sent against what is stored: while both run, while the one that
// reads is killed under load, and after each has stopped. A client keeps the higher version, and asks for nothing else.
func testLive(t *testing.T, s *system) {
	w := s.onPostgres(t)
	first, second := w.run(t), w.run(t)
	w.publish(t, systemLoad, 100, 0).want(t, exitOK, patience)
	until(t, patience, "one replica is active, the other stands by", func() bool {
		if first.ready(t).State == "standby" {
			first, second = second, first
		}
		return first.ready(t).State == "active" && second.ready(t).State == "standby"
	})
	here, there := first.follow(t, nil), second.follow(t, nil)
	const some, all = 10_000, 40_000
	w.publish(t, systemLoad, some, 0).want(t, exitOK, patience)
	first.reaches(t, uint64(systemLoad.Len(some)), patience)
	here.wants(t, first, systemLoad)
	there.wants(t, first, systemLoad)

	publisher := w.publish(t, systemLoad, all, 4_000)
	first.reaches(t, uint64(systemLoad.Len(some)+1000), patience)
	first.kill(t)
	if err := here.end(t); err == nil {
		t.Error("the stream of a killed replica ended cleanly")
	}
	publisher.want(t, exitOK, patience)
	second.reaches(t, uint64(systemLoad.Len(all)), patience)
	second.wantOracle(t, systemLoad, all)
	there.wants(t, second, systemLoad)

	// Who comes to the other replica with the id from the killed one gets the rest there.
	back := second.follow(t, here)
	back.wants(t, second, systemLoad)

	took := second.terminate(t)
	for _, c := range []*follower{there, back} {
		if err := c.end(t); err != nil {
			t.Errorf("the stream of a replica that stopped ended with %v", err)
		}
	}
	t.Logf("%d and %d records came live, %d after coming back; the replica with two streams ended in %s", here.records, there.records,
		back.records, took.Round(time.Millisecond))
}

// follower is a client that has the newest version of each run that it was sent.
type follower struct {
	ended chan error

	mu       sync.Mutex
	versions map[uuid.UUID]int64
	records  int
	missed   int // how often it was told that it misses something
	id       string
}

// follow opens a stream, which goes on from another one where that is not nil, and returns when it is ready.
func (p *program) follow(t *testing.T, from *follower) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.api+"/api/metrics/campaign/stream?limit=500", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &follower{versions: make(map[uuid.UUID]int64), ended: make(chan error, 1)}
	if from != nil {
		r.Header.Set("Last-Event-ID", from.id)
		maps.Copy(c.versions, from.versions)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("follow: %v, %v", response, err)
	}
	ready, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		defer response.Body.Close()
		c.ended <- c.read(response.Body, sync.OnceFunc(func() { close(ready) }))
	}()
	t.Cleanup(func() { cancel(); <-gone })
	select {
	case <-ready:
	case <-time.After(patience):
		t.Fatal("the stream is not ready")
	}
	return c
}

func (c *follower) read(stream io.Reader, ready func()) error {
	lines := bufio.NewReader(stream)
	event := ""
	for {
		line, err := lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case name == "event":
			event = value
		case name == "data" && event == "ready":
			if strings.Contains(value, `"complete":false`) {
				c.note(func() { c.missed++ })
			}
			ready()
		case name == "data" && event == "metrics":
			var m aggregate.Metrics
			if err := json.Unmarshal([]byte(value), &m); err != nil {
				return err
			}
			c.note(func() { c.records++; c.versions[m.RunKey] = max(c.versions[m.RunKey], m.Version) })
		case name == "id":
			c.note(func() { c.id = value })
		}
	}
}

func (c *follower) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// wants waits until the client has what is stored of a load.
func (c *follower) wants(t *testing.T, p *program, l load) {
	t.Helper()
	stored := make(map[uuid.UUID]int64)
	for _, m := range p.list(t, l.At(0).CampaignID) {
		stored[m.RunKey] = m.Version
	}
	until(t, patience, "the client has the newest of all records", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.missed > 0 {
			t.Fatalf("the client was told %d times that it misses something", c.missed)
		}
		return maps.Equal(c.versions, stored)
	})
}

// end waits for the end of the stream, and returns nil where it was a clean one.
func (c *follower) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		t.Fatal("the stream goes on")
		return nil
	}
}
