package main

import (
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// hostileLoad is small: the faults take the time, and what is repeated comes soon.
var hostileLoad = load{Seed: 20260301, Runs: 10, Agents: 40, Duplicates: 5}

// testHostilePostgres sends one service through all that passes by itself or is passed by somebody else: a database
// that restarts, crashes, throws everybody out, is read-only after a fail-over, is full, or holds rivals.
func testHostilePostgres(t *testing.T, s *system) {
	w := s.onHostilePostgres(t)
	h := w.inhabit(t, sinktest.PasswordRole)
	h.call(t, h.environ, "setup")
	disk := h.fullDisk(t)
	h.service = h.run(t)
	f := w.feed(t, hostileLoad, 500)
	for _, trouble := range []trouble{h.readOnly(), disk, h.tooMany(), h.deadlock(), h.restart(), h.crash(), h.lostBackend(),
		h.thrownOut()} {
		h.suffers(t, trouble)
	}
	f.stop()
	h.wantAll(t, f)
}

func (h *hostile) restart() trouble {
	return trouble{name: "restart", state: "degraded", says: "store unavailable", begin: func(t *testing.T) { h.postgres.Stop(t) },
		end: func(t *testing.T) { h.postgres.Start(t) }}
}

func (h *hostile) crash() trouble {
	return trouble{name: "crash", state: "degraded", says: "store unavailable", begin: func(t *testing.T) { h.postgres.Crash(t) },
		end: func(t *testing.T) { h.postgres.Start(t) }}
}

// lostBackend kills the process behind one connection, as the kernel does where memory is short: the server then throws
// everybody out and recovers.
func (h *hostile) lostBackend() trouble {
	return trouble{name: "backend killed", state: "degraded", says: "store unavailable", leaky: true, again: true, begin: func(t *testing.T) {
		var pid int
		row := h.admin.QueryRowContext(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'runmetrics' LIMIT 1")
		if err := row.Scan(&pid); err != nil {
			return // it recovers from the last time
		}
		backend, err := os.FindProcess(pid)
		if err == nil {
			err = backend.Kill()
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	}}
}

// thrownOut ends all connections again and again for a while.
func (h *hostile) thrownOut() trouble {
	over := make(chan error, 1)
	return trouble{name: "57P01 again and again", state: "degraded", says: "store unavailable", leaky: true, begin: func(t *testing.T) {
		go func() {
			var err error
			for range 20 {
				_, err = h.admin.ExecContext(t.Context(), h.allSessions())
				<-time.After(100 * time.Millisecond) // the next connections are at work
			}
			over <- err
		}()
	}, end: func(t *testing.T) {
		if err := <-over; err != nil {
			t.Fatal(err)
		}
	}}
}

// readOnly is what is left of a primary after a fail-over. Its sessions stay read-only when the database is writable
// again.
func (h *hostile) readOnly() trouble {
	return trouble{name: "read-only", state: "degraded", says: "SQLSTATE 25006", begin: func(t *testing.T) {
		h.alter(t, "SET default_transaction_read_only = on")
		h.endSessions(t)
	}, end: func(t *testing.T) { h.alter(t, "RESET default_transaction_read_only") }}
}

func (h *hostile) tooMany() trouble {
	return trouble{name: "too many connections", state: "degraded", says: "SQLSTATE 53300", begin: func(t *testing.T) {
		h.limit(t, 0)
		h.endSessions(t)
	}, end: func(t *testing.T) { h.limit(t, -1) }}
}

// deadlock has a rival that locks runs first and then the position, and is not the one that the server picks.
func (h *hostile) deadlock() trouble {
	var rival *sql.Tx
	return trouble{name: "deadlock", state: "degraded", says: "SQLSTATE 40P01", begin: func(t *testing.T) {
		var err error
		if rival, err = h.inside.BeginTx(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		exec := func(statement string) {
			if _, err := rival.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		exec("SET LOCAL deadlock_timeout = '1min'")
		var locked time.Time
		until(t, patience, "a commit waits for the rival", func() bool {
			if time.Since(locked) > time.Second { // those that ran a second ago may have ended all at once
				exec("SELECT FROM campaign_metrics WHERE status = 'running' ORDER BY run_key FOR UPDATE")
				locked = time.Now()
			}
			return waits(t, h.admin, "INSERT")
		})
		exec("SELECT FROM stream_positions FOR UPDATE") // returns when the service was picked
	}, end: func(t *testing.T) {
		if err := rival.Rollback(); err != nil {
			t.Fatal(err)
		}
	}}
}

// fullDisk puts the table that grows on a disk that is then filled, where the machine lets the test mount one. Elsewhere
// a trigger raises the error that a full disk gives.
func (h *hostile) fullDisk(t *testing.T) trouble {
	t.Helper()
	const says = "SQLSTATE 53100"
	dir, err := sinktest.SmallDisk(t, 16<<20)
	if err != nil {
		t.Logf("disk full: raised by a trigger, because of: %v", err)
		begin, end := h.feignedFull()
		return trouble{name: "disk full", state: "degraded", says: says, begin: begin, end: end}
	}
	must(t, h.inside, "CREATE TABLESPACE small LOCATION "+quoted(dir))
	must(t, h.inside, "ALTER TABLE event_chunks SET TABLESPACE small")
	return diskFull(dir, says)
}

func (h *hostile) feignedFull() (begin, end func(t *testing.T)) {
	const function = `CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`
	begin = func(t *testing.T) {
		must(t, h.inside, function)
		must(t, h.inside, "CREATE TRIGGER disk_full BEFORE INSERT ON event_chunks EXECUTE FUNCTION disk_full()")
	}
	return begin, func(t *testing.T) { must(t, h.inside, "DROP FUNCTION disk_full CASCADE") }
}
