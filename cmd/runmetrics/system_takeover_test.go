package main

import (
	"database/sql"
	"slices"
	"syscall"
	"testing"
	"time"
)

// takeoverLimit is what the README promises for the time until another replica commits.
const takeoverLimit = 10 * time.Second

// testTakeover kills the replica that reads, under a light load, and measures how long nothing is committed. It does so
// twice, or as often as RUNMETRICS_TEST_KILLS says.
func testTakeover(t *testing.T, s *system) {
	w := s.onPostgres(t)
	db := openDatabase(t, w.environ)
	t.Cleanup(func() { db.Close() })
	kills := int(setting(t, "RUNMETRICS_TEST_KILLS", 2))
	const rate = 200
	most := rate * 60 * (kills + 1) // more than can come until the publisher is told to stop
	l := load{Seed: 20260306, Runs: 10, Agents: 20}
	publisher := w.publish(t, l, most, rate)
	reader, standby := w.run(t), w.run(t)
	var took []time.Duration
	for range kills {
		until(t, patience, "one replica reads, the other stands by", func() bool {
			if reader.ready(t).State == "standby" {
				reader, standby = standby, reader
			}
			return reader.ready(t).State == "active" && standby.ready(t).State == "standby"
		})
		_, before := w.stands(t, db)
		until(t, patience, "it commits", func() bool {
			_, now := w.stands(t, db)
			return now.sequence > before.sequence
		})
		began := time.Now()
		reader.kill(t)
		took = append(took, w.nextCommit(t, db, began))
		reader, standby = standby, w.run(t)
	}
	if publisher.over() {
		t.Fatal("the load was over before the kills were")
	}
	// What it has sent by then are the first events of the load.
	if err := publisher.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	publisher.want(t, exitLeftovers, patience)
	stream, err := testJetStream(t, w.broker).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	n := int(messages(t, stream))
	w.committed(t, int64(n))
	reader.wantOracle(t, l, n)
	wantConserved(t, reader)
	slices.Sort(took)
	t.Logf("%d kills under %d events/s: another replica committed %s later (median), %s at most: %v",
		kills, rate, took[kills/2].Round(time.Millisecond), took[kills-1].Round(time.Millisecond), took)
	if took[kills-1] > takeoverLimit {
		t.Errorf("nothing was committed for %s", took[kills-1])
	}
}

// nextCommit waits until another replica commits than the one that was killed, and returns how long that took.
func (w *world) nextCommit(t *testing.T, db *sql.DB, killed time.Time) time.Duration {
	t.Helper()
	// The database may still be at work for the dead; the living need longer than this to take over.
	const lastWords = time.Second
	var last int64
	until(t, patience, "another replica commits", func() bool {
		_, now := w.stands(t, db)
		if time.Since(killed) < lastWords {
			last = now.sequence
		}
		return now.sequence > last
	})
	return time.Since(killed)
}
