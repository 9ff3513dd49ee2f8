package main

import (
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// testHostilePgBouncer has a pooler in transaction mode between the service and Postgres, as Neon does, and everything on
// the way goes wrong: the pooler, what is behind it, and the service itself in the middle of its commits.
func testHostilePgBouncer(t *testing.T, s *system) {
	w := s.onHostilePostgres(t)
	h := w.inhabit(t, "pooled")
	pooler := sinktest.StartPgBouncer(t, w.postgres)
	h.environ["DATABASE_URL_DIRECT"] = h.environ["DATABASE_URL"]
	h.environ["DATABASE_URL"] = pooler.Route(t, h.environ["DATABASE_URL"]) + "&default_query_exec_mode=cache_describe"
	h.call(t, h.environ, "setup")
	h.service = h.run(t)
	f := w.feed(t, hostileLoad, 500)
	h.suffers(t, trouble{name: "pooler killed", state: "degraded", says: "store unavailable",
		begin: func(t *testing.T) { pooler.Crash(t) }, end: func(t *testing.T) { pooler.Start(t) }})
	for _, behind := range []trouble{h.thrownOut(), h.lostBackend(), h.restart(), h.crash()} {
		behind.name += " behind the pooler"
		h.suffers(t, behind)
	}
	for range 2 {
		h.commitsMore(t, "before kill -9")
		h.service.kill(t)
		h.service = h.run(t)
		h.commitsMore(t, "after kill -9")
	}
	f.stop()
	h.wantAll(t, f)
}
