package main

import (
	"testing"
	"time"
)

const (
	// pinLife is how long the broker waits for a reader that says nothing, and then some for the poll that notices.
	pinLife = 15 * time.Second
	// handOver is what a reader that says goodbye leaves to wait for.
	handOver = 5 * time.Second
)

// testReplicas runs two replicas through one load: the active one is first ended, then killed, and the other goes on.
func testReplicas(t *testing.T, s *system) {
	w := s.onPostgres(t)
	first, second := w.run(t), w.run(t)
	const few, rate, n = 100, 4_000, 80_000 // 20 s, where taking over takes at most 10
	total := uint64(systemLoad.Len(n))
	// A quiet stream has no reader: the replica that does not get the first message finds that out at its next look.
	w.publish(t, systemLoad, few, 0).want(t, exitOK, patience)
	until(t, patience, "one replica is active, the other stands by", func() bool {
		if first.ready(t).State == "standby" {
			first, second = second, first
		}
		return first.ready(t).State == "active" && second.ready(t).State == "standby"
	})
	publisher := w.publish(t, systemLoad, n, rate)
	first.reaches(t, total/20, patience)

	ended := first.terminate(t)
	took := second.takesOver(t, handOver)
	t.Logf("SIGTERM: the active replica ended in %s, the other committed %s later", ended.Round(time.Millisecond), took.Round(time.Millisecond))

	third := w.run(t)
	third.becomes(t, "standby")
	at := second.position(t)
	second.kill(t)
	took = third.takesOver(t, pinLife)
	if publisher.over() {
		t.Fatal("the load was over before the replicas were")
	}
	t.Logf("kill -9 behind %d of %d: the other committed %s later", at, total, took.Round(time.Millisecond))

	publisher.want(t, exitOK, patience)
	third.reaches(t, total, patience)
	third.wantOracle(t, systemLoad, n)
	third.terminate(t)
	w.wantStanding(t, standingOf(systemLoad, n))
}

// becomes waits until the service is in a state.
func (p *program) becomes(t *testing.T, state string) {
	t.Helper()
	until(t, patience, "the service is "+state, func() bool { return p.ready(t).State == state })
}

// takesOver waits until a replica that stood by has committed something, and returns how long that took.
func (p *program) takesOver(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	stood := p.position(t) // a replica that does not read does not follow
	until(t, limit, "the other replica commits", func() bool {
		wantConserved(t, p)
		r := p.ready(t)
		return r.State == "active" && r.Streams[0].Position > stood
	})
	return time.Since(began)
}
