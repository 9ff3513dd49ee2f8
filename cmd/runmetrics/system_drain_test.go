package main

import (
	"strings"
	"testing"
	"time"
)

// testDrain ends the service with SIGTERM in the middle of a load, twice, and starts it again each time.
func testDrain(t *testing.T, s *system) {
	s.onEachStore(t, func(t *testing.T, w *world) { w.drain(t, 60_000, 15_000) })
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		w := &world{system: s, environ: map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0"}}
		p := w.run(t)
		// The publisher must find the broker again where it was.
		w.environ["NATS_LISTEN"] = strings.TrimPrefix(p.nats, "nats://")
		p.terminate(t)
		w.drain(t, 6_000, 1_500)
	})
}

// drain ends the service while n events are published at a rate. The broker may be part of it.
func (w *world) drain(t *testing.T, n, rate int) {
	t.Helper()
	p := w.run(t)
	total := uint64(systemLoad.Len(n))
	publisher := w.publish(t, systemLoad, n, rate)
	for _, at := range []uint64{total / 10, total / 2} {
		p.reaches(t, at, patience)
		took := p.terminate(t)
		if publisher.over() {
			t.Fatal("the load was over before SIGTERM")
		}
		if strings.Contains(p.stderr.String(), `"level":"WARN"`) || strings.Contains(p.stderr.String(), `"level":"ERROR"`) {
			t.Errorf("SIGTERM is no fault: %s", p.stderr.String())
		}
		t.Logf("SIGTERM behind %d of %d: ended in %s", at, total, took.Round(time.Millisecond))
		p = w.run(t)
	}
	publisher.want(t, exitOK, patience)
	p.reaches(t, total, patience)
	p.wantOracle(t, systemLoad, n)
	p.terminate(t)
	w.wantStanding(t, standingOf(systemLoad, n))
}
