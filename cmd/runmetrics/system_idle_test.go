package main

import (
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// idleTime is longer than the 30 s after which an idle reader asks whether it misses something. The environment may say
// more seconds in RUNMETRICS_IDLE_SECONDS: Neon suspends after 300.
const idleTime = 75 * time.Second

// testIdle lets a service idle and counts what it says to Postgres and to Dataverse: nothing, however often its health and
// its metrics are asked for, and records by clients that have them: one polls, one listens.
func testIdle(t *testing.T, s *system) {
	idle := idleTime
	if said := os.Getenv("RUNMETRICS_IDLE_SECONDS"); said != "" {
		seconds, err := strconv.Atoi(said)
		if err != nil {
			t.Fatalf("RUNMETRICS_IDLE_SECONDS: %v", err)
		}
		idle = time.Duration(seconds) * time.Second
	}
	w := s.onPostgres(t, "log_statement=all").withDataverse(t, emulator.Config{})
	p := w.run(t)
	l := load{Seed: 6, Runs: 2, Agents: 20, Duplicates: 2}
	const before, after = 100, 101
	w.publish(t, l, before, 0).want(t, exitOK, patience)
	p.reaches(t, uint64(l.Len(before)), patience)
	p.wantOracle(t, l, before)
	w.wantCopies(t, p, l.At(0).CampaignID, patience)
	active := w.postgres.Statements("runmetrics")
	if active == 0 {
		t.Fatal("a commit and a listing sent no statement: the count is of something else")
	}
	<-time.After(35 * time.Second) // the copy's one look for claims of processes that are dead
	listening := p.follow(t, nil)
	const polled = "/api/metrics/campaign?limit=50"
	etag := p.get(t, polled).header.Get("ETag")
	active = w.postgres.Statements("runmetrics")
	requests := w.organization.Stats().Requests

	end := time.After(idle)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	polls := 0
	for idling := true; idling; {
		select {
		case <-end:
			idling = false
		case <-tick.C:
			polls++
			if r := p.ready(t); r.State != "active" {
				t.Errorf("/readyz says %+v", r)
			}
			wantConserved(t, p)
			if status := p.poll(t, polled, etag); status != http.StatusNotModified {
				t.Errorf("a poll is answered %d", status)
			}
			if a := p.get(t, "/healthz"); a.status != http.StatusOK {
				t.Errorf("/healthz says %d: %s", a.status, a.body)
			}
		}
	}
	if n := w.postgres.Statements("runmetrics") - active; n != 0 {
		t.Errorf("%d statements while idle: %s", n, w.postgres.Log())
	}
	if n := w.organization.Stats().Requests - requests; n != 0 {
		t.Errorf("%d requests to Dataverse while idle", n)
	}

	w.publish(t, l, after, 0).want(t, exitOK, patience)
	p.reaches(t, uint64(l.Len(after)), patience)
	p.wantOracle(t, l, after)
	if status := p.poll(t, polled, etag); status != http.StatusOK {
		t.Errorf("after an event a poll is answered %d", status)
	}
	listening.wants(t, p, l)
	t.Logf("%d statements before, none in %s with %d polls and looks at /readyz, /healthz and /metrics, then %d for the next event and listings",
		active, idle, polls, w.postgres.Statements("runmetrics")-active)
}

// poll asks for what the client has, and returns the status of the answer.
func (p *program) poll(t *testing.T, path, etag string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.api+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("If-None-Match", etag)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}
