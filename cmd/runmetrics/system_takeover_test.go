package main

import (
	"database/sql"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testTakeover kills a replica that reads, under a light load, and measures how long nothing is committed of what it read.
// It does so twice, or as often as RUNMETRICS_TEST_KILLS says.
func testTakeover(t *testing.T, s *system) {
	t.Run("one-stream", func(t *testing.T) {
		t.Parallel()
		s.onPostgres(t).takeovers(t)
	})
	t.Run("four-streams", func(t *testing.T) {
		t.Parallel()
		w := s.onPostgres(t)
		w.share(t, 4)
		w.takeovers(t)
	})
}

func (w *world) takeovers(t *testing.T) {
	t.Helper()
	db := openDatabase(t, w.environ)
	t.Cleanup(func() { db.Close() })
	kills := int(setting(t, "RUNMETRICS_TEST_KILLS", 2))
	const rate = 200
	most := rate * 60 * (kills + 1) // more than can come until the publisher is told to stop
	l := load{Seed: 20260306, Runs: 40, Agents: 20}
	publisher := w.publish(t, l, most, rate)
	reader, other := w.run(t), w.run(t)
	took := make([]time.Duration, kills)
	for i := range took {
		reads := w.divided(t, db, &reader, &other)
		killed := time.Now()
		reader.kill(t)
		took[i] = w.nextCommits(t, db, reads, killed)
		reader, other = other, w.run(t)
	}
	if publisher.over() {
		t.Fatal("the load was over before the kills were")
	}
	// What it has sent by then are the first events of the load.
	if err := publisher.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	publisher.want(t, exitLeftovers, patience)
	n := w.published(t)
	w.committed(t, int64(n))
	reader.wantOracle(t, l, n)
	wantConserved(t, reader)
	slices.Sort(took)
	t.Logf("%d kills under %d events/s: others committed all that the dead read %s later (median), %s at most: %v",
		kills, rate, took[kills/2].Round(time.Millisecond), took[kills-1].Round(time.Millisecond), took)
	if took[kills-1] > pinLife { // ten seconds, and then some for what else the machine does
		t.Errorf("something was not committed for %s", took[kills-1])
	}
}

// divided waits until each stream is read by one of two replicas, and gets on. It returns what the first of them reads;
// one that reads something becomes the first.
func (w *world) divided(t *testing.T, db *sql.DB, first, second **program) (reads []string) {
	t.Helper()
	before := w.sequences(t, db)
	until(t, patience, "each stream is read by one replica", func() bool {
		if (*first).ready(t).State == "starting" || (*second).ready(t).State == "starting" {
			return false // while it starts, it takes over at once from one that is dead
		}
		if len((*first).reads(t)) == 0 {
			*first, *second = *second, *first
		}
		reads = (*first).reads(t)
		all := slices.Concat(reads, (*second).reads(t))
		slices.Sort(all)
		return len(reads) > 0 && strings.Join(all, ",") == w.streams() && w.beyond(t, db, all, before)
	})
	return reads
}

// reads are the streams that a replica reads.
func (p *program) reads(t *testing.T) (streams []string) {
	t.Helper()
	for _, stream := range p.ready(t).Streams {
		if stream.State == "active" {
			streams = append(streams, stream.Stream)
		}
	}
	return streams
}

// nextCommits waits until others than the one that was killed commit what it read, and returns how long that took.
func (w *world) nextCommits(t *testing.T, db *sql.DB, streams []string, killed time.Time) time.Duration {
	t.Helper()
	// The database may still be at work for the dead; the living need longer than this to take over.
	const lastWords = time.Second
	var last map[string]int64
	until(t, patience, "other replicas commit", func() bool {
		if time.Since(killed) < lastWords {
			last = w.sequences(t, db)
			return false
		}
		return w.beyond(t, db, streams, last)
	})
	return time.Since(killed)
}

// sequences is how far each stream is read.
func (w *world) sequences(t *testing.T, db *sql.DB) map[string]int64 {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT stream, sequence FROM stream_positions")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := make(map[string]int64)
	for rows.Next() {
		var stream string
		var sequence int64
		if err := rows.Scan(&stream, &sequence); err != nil {
			t.Fatal(err)
		}
		found[stream] = sequence
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// beyond tells whether all of these streams were read further than before.
func (w *world) beyond(t *testing.T, db *sql.DB, streams []string, before map[string]int64) bool {
	t.Helper()
	now := w.sequences(t, db)
	return !slices.ContainsFunc(streams, func(name string) bool { return now[name] <= before[name] })
}

// published is how many messages the streams hold.
func (w *world) published(t *testing.T) int {
	t.Helper()
	js, n := testJetStream(t, w.broker), 0
	for name := range strings.SplitSeq(w.streams(), ",") {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		n += int(messages(t, stream))
	}
	return n
}
