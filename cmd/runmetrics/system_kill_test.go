package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

// systemLoad is what the tests of crashes publish: 1,750 runs of 200,000 events, and 2 percent of these again.
var systemLoad = load{Seed: 20260219, Runs: 10, Agents: 100, Duplicates: 2}

const systemEvents = 200_000

// testKill kills the service with SIGKILL in the middle of a load, again and again, and finds every event counted once.
func testKill(t *testing.T, s *system) {
	s.onEachStore(t, func(t *testing.T, w *world) {
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		t.Logf("moments of seed %d", seed)
		const kills = 3
		total := uint64(systemLoad.Len(systemEvents))
		// At this rate the load outlasts all kills, and while the service is away a backlog gathers.
		publisher := w.publish(t, systemLoad, systemEvents, 20_000)
		for i := range kills {
			p := w.run(t)
			// One moment in each quarter of the load but the last.
			at := total/20 + uint64(i)*total/4 + random.Uint64N(total/5)
			p.reaches(t, at, patience)
			<-time.After(time.Duration(random.IntN(50)) * time.Millisecond) // somewhere between two commits, or in one
			reached := p.position(t)
			p.kill(t)
			if publisher.over() {
				t.Fatalf("the load was over before kill %d", i+1)
			}
			t.Logf("kill %d behind %d of %d", i+1, reached, total)
		}
		p := w.run(t)
		publisher.want(t, exitOK, patience)
		p.reaches(t, total, patience)
		p.wantOracle(t, systemLoad, systemEvents)
		t.Logf("SIGTERM: ended in %s", p.terminate(t).Round(time.Millisecond))
		w.wantStanding(t, standingOf(systemLoad, systemEvents))
		t.Logf("every record is the oracle's; %v", standingOf(systemLoad, systemEvents))
	})
}
