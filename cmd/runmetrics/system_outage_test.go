package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// outage is how long Postgres is away.
const outage = 30 * time.Second

// testOutage stops Postgres in the middle of a load and starts it again. Publishers notice nothing, the service says what
// is wrong and answers in time, and everything is caught up by itself.
func testOutage(t *testing.T, s *system) {
	w := s.onPostgres(t)
	p := w.run(t)
	const rate = 4_000
	n := rate * int(outage/time.Second+8) // the load begins before the outage and ends after it
	publisher := w.publish(t, systemLoad, n, rate)
	total := uint64(systemLoad.Len(n))
	p.reaches(t, total/20, patience)

	w.postgres.Stop(t)
	until(t, patience, "the service notices", func() bool { return p.ready(t).State == "degraded" })
	before := p.position(t)
	t.Logf("degraded: %q", p.ready(t).Reasons)
	worst, asked := time.Duration(0), 0
	back := time.After(outage)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for away := true; away; {
		worst = max(worst, p.wantDegraded(t))
		wantConserved(t, p)
		asked++
		select {
		case <-back:
			away = false
		case <-tick.C:
		}
	}
	if publisher.over() {
		t.Fatal("the load was over before Postgres came back")
	}
	if got := p.position(t); got != before {
		t.Errorf("committed through %d while Postgres was away since %d", got, before)
	}
	w.postgres.Start(t)
	began := time.Now()
	until(t, patience, "the service is active again", func() bool { return p.ready(t).State == "active" })
	active := time.Since(began)
	publisher.want(t, exitOK, patience)
	if said := publisher.stderr.String(); strings.Contains(said, `"level":"ERROR"`) || strings.Contains(said, `"level":"WARN"`) {
		t.Errorf("the publisher noticed: %s", said)
	}
	p.reaches(t, total, patience)
	p.wantOracle(t, systemLoad, n)
	p.terminate(t)
	w.wantStanding(t, standingOf(systemLoad, n))
	t.Logf("Postgres was away for %s from %d of %d events on: asked %d times, each 503 within %s; active %s after it was back",
		outage, before, total, asked, worst.Round(time.Millisecond), active.Round(time.Millisecond))
}

// wantDegraded asks a service whose store is away everything that it must answer then. It returns how long the listing
// took to say so.
func (p *program) wantDegraded(t *testing.T) time.Duration {
	t.Helper()
	if r := p.ready(t); r.State != "degraded" || len(r.Reasons) == 0 || r.Reasons[0] == "" {
		t.Errorf("/readyz says %+v", r)
	}
	if a := p.get(t, "/healthz"); a.status != http.StatusOK {
		t.Errorf("/healthz says %d: %s", a.status, a.body)
	}
	a := p.get(t, "/api/metrics/campaign?limit=5")
	var problem struct {
		Status        int
		Title, Detail string
	}
	err := json.Unmarshal(a.body, &problem)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Content-Type") != "application/problem+json" || err != nil ||
		problem.Status != a.status || problem.Detail == "" {
		t.Errorf("GET says %d %s: %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	if a.took > 2*time.Second {
		t.Errorf("GET took %s to say that the store is away", a.took)
	}
	return a.took
}
