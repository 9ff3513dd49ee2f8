package main

import (
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// testHostileBlocked puts several services before what takes long to be over, all at once: what only a person can mend,
// because each looks only every 15 seconds whether somebody did, and a database that hangs. They read one stream into
// databases of their own.
func testHostileBlocked(t *testing.T, s *system) {
	w := s.onHostilePostgres(t)
	rights, table, password := w.inhabit(t, "rights"), w.inhabit(t, "tables"), w.inhabit(t, sinktest.PasswordRole)
	for _, h := range []*hostile{rights, table, password} {
		h.call(t, h.environ, "setup")
		h.service = h.run(t)
	}
	// Nobody has set up the last one, which it cannot know at its start: the database lets nobody in.
	late := w.inhabit(t, "late")
	late.limit(t, 0)
	late.service = late.run(t)
	late.service.becomes(t, "degraded")
	// And one gets no answer from the start. It needs as long to find out as the others to recover.
	silent := w.inhabit(t, "silent")
	silent.call(t, silent.environ, "setup")
	noAnswer := silent.locked(t)
	silent.service = silent.run(t)

	f := w.feed(t, hostileLoad, 100)
	for _, h := range []*hostile{rights, table, password} {
		h.commitsMore(t, h.name)
	}
	all := []struck{rights.strike(t, rights.lacksRight()), table.strike(t, table.lacksTable()),
		password.strike(t, password.wrongPassword()), late.strike(t, late.lacksSetup())}
	endure(t, all...)
	relieve(t, all...)
	all = append(all, silent.shows(t, noAnswer))
	relieve(t, all[len(all)-1])
	f.stop()
	for _, s := range all {
		s.wantAll(t, f)
	}
}

func (h *hostile) lacksRight() trouble {
	return trouble{name: "right revoked", state: "blocked", says: "SQLSTATE 42501); grant", begin: func(t *testing.T) {
		must(t, h.inside, "REVOKE INSERT ON event_chunks FROM "+h.name)
	}, end: func(t *testing.T) { must(t, h.inside, "GRANT INSERT ON event_chunks TO "+h.name) }}
}

func (h *hostile) lacksTable() trouble {
	return trouble{name: "table renamed", state: "blocked", says: "SQLSTATE 42P01); run `runmetrics setup`", begin: func(t *testing.T) {
		must(t, h.inside, "ALTER TABLE event_chunks RENAME TO mislaid")
	}, end: func(t *testing.T) { must(t, h.inside, "ALTER TABLE mislaid RENAME TO event_chunks") }}
}

func (h *hostile) wrongPassword() trouble {
	return trouble{name: "wrong password", state: "blocked", says: "SQLSTATE 28P01", begin: func(t *testing.T) {
		must(t, h.admin, "ALTER ROLE "+h.name+" PASSWORD 'another'")
		h.endSessions(t)
	}, end: func(t *testing.T) { must(t, h.admin, "ALTER ROLE "+h.name+" PASSWORD "+quoted(hostilePassword)) }}
}

func (h *hostile) lacksSetup() trouble {
	return trouble{name: "not set up", state: "blocked", says: "run `runmetrics setup`", begin: func(t *testing.T) { h.limit(t, -1) },
		end: func(t *testing.T) { h.call(t, h.environ, "setup") }}
}

// locked makes the database take connections and answer nothing, until the end of the trouble.
func (h *hostile) locked(t *testing.T) trouble {
	t.Helper()
	release := h.lockTables(t)
	return trouble{name: "no answer", state: "degraded", says: "no answer in time", end: func(*testing.T) { release() }}
}
