package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
)

const (
	// floodAhead is how many messages lie in the stream at most that are not committed: the flood comes as fast as the
	// service takes it, and what a good event waits for is the service, not a backlog that grows.
	floodAhead = 20_000
	// floodRare is the share of messages that are far too large: one in so many.
	floodRare = 1_000
	// floodDelay is what a good event may wait until it is committed, behind floodAhead others on a busy machine.
	floodDelay = 15 * time.Second
	// floodMemory is what the service may need of memory meanwhile, in bytes.
	floodMemory = 200 << 20
	// floodRow is what one dead letter may need of the database on average, in bytes.
	floodRow = 4 << 10
)

// testFlood sends nothing but bad events of every kind, as a broken deploy does, with a good run's event now and then. The
// good ones are committed all the same, and what is kept of the bad ones is bounded: in the database, in memory and in
// the log. An hour of 1,000 a second, with as many rows kept as by default, takes RUNMETRICS_TEST_FLOOD=3600000.
func testFlood(t *testing.T, s *system) {
	n := sizeOf(t, "RUNMETRICS_TEST_FLOOD", 50_000)
	limit := n / 36 // an hour at 1,000/s has room for as many as by default
	s.onEachStore(t, func(t *testing.T, w *world) {
		w.environ["DEADLETTER_LIMIT"] = strconv.Itoa(limit)
		empty := w.databaseSize(t)
		p := w.run(t)
		f := newFlood(t, w)
		began := time.Now()
		stop := f.publishGood(t)
		f.publishBad(t, p, n)
		p.reaches(t, uint64(n), patience)
		took := time.Since(began)
		delays := stop()
		p.wantGood(t, delays)
		total := int64(n + len(delays) + 1)
		p.reaches(t, uint64(total), patience)
		wantConserved(t, p)
		peak := p.peakMemory(t)
		if peak > floodMemory {
			t.Errorf("the service needed %d MB of memory", peak>>20)
		}
		p.terminate(t)
		w.wantStanding(t, standing{sequence: total, applied: int64(len(delays)) + 1, deadLetters: int64(n)})
		rows := f.wantKept(t, limit)
		grown := w.databaseSize(t) - empty
		if grown > rows*floodRow+32<<20 {
			t.Errorf("%d dead letters made the database grow by %d MB", rows, grown>>20)
		}
		lines := p.wantToldOfDeadLetters(t, int64(n), took)
		t.Logf("%d bad events in %s, %.0f/s; peak %d MB of memory, %d rows, a database of %d MB more, %d lines of log", n,
			took.Round(time.Millisecond), float64(n)/took.Seconds(), peak>>20, rows, grown>>20, lines)
	})
}

// wantGood fails the test unless the good events are counted and each was committed in time.
func (p *program) wantGood(t *testing.T, delays []time.Duration) {
	t.Helper()
	n := len(delays)
	if n == 0 {
		t.Fatal("no good event was committed")
	}
	slices.Sort(delays)
	if delays[n-1] > floodDelay {
		t.Errorf("a good event was committed %s after it was published", delays[n-1])
	}
	if record := p.list(t, goodCampaign); len(record) != 1 || *record[0].Executions != int64(n) {
		t.Errorf("%d good events are counted as %+v", n, record)
	}
	t.Logf("%d good events between the bad ones, committed after p50 %s, p99 %s, at most %s", n,
		delays[n/2].Round(time.Millisecond), delays[n*99/100].Round(time.Millisecond), delays[n-1].Round(time.Millisecond))
}

// flood publishes events and remembers which bad ones lie where in the stream.
type flood struct {
	*world
	js        jetstream.JetStream
	watch     *consumer.Watch
	kinds     []odd
	sequences map[events.Reason][]uint64
}

// newFlood prepares the bad messages, which are the odd ones that nobody can take and text of some KB, and publishes the
// good event with which one of them collides.
func newFlood(t *testing.T, w *world) *flood {
	t.Helper()
	conn, err := nats.Connect(w.broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	f := &flood{world: w, sequences: make(map[events.Reason][]uint64)}
	if f.js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	if f.watch, err = consumer.NewWatch(conn, "main"); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 3<<10)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	f.kinds = []odd{{what: "text", whole: true, new: base64.StdEncoding.EncodeToString(text), reason: events.Malformed}}
	for _, o := range oddities {
		if o.reason != "" && o.reason != events.TooLarge {
			f.kinds = append(f.kinds, o)
		}
	}
	plain := odd{what: "plain"}
	if _, err := f.js.PublishMsg(t.Context(), plain.message()); err != nil {
		t.Fatal(err)
	}
	return f
}

// publishBad stores n bad messages, every kind in turn, as far ahead of the service as they may be.
func (f *flood) publishBad(t *testing.T, p *program, n int) {
	t.Helper()
	large := odd{what: "256 KiB", size: 4 * events.MaxSize, reason: events.TooLarge}
	kind := func(i int) *odd {
		if i%floodRare == 0 {
			return &large
		}
		return &f.kinds[i%len(f.kinds)]
	}
	bad := func(yield func(*nats.Msg) bool) {
		for i := range n {
			if !yield(kind(i).message()) {
				return
			}
		}
	}
	publishEach(t, f.js, bad, func(i int, sequence uint64) {
		reason := kind(i).reason
		f.sequences[reason] = append(f.sequences[reason], sequence)
		if i%publishWindow == 0 && sequence > floodAhead {
			f.waitCommitted(t, sequence-floodAhead)
			wantConserved(t, p)
		}
	})
}

func (f *flood) waitCommitted(t *testing.T, sequence uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.watch.Wait(ctx, streamOfTests, sequence); err != nil {
		t.Fatalf("sequence %d is not committed: %v", sequence, err)
	}
}

const (
	goodCampaign  = "good"
	streamOfTests = "RUN_EVENTS"
)

// publishGood publishes good events of one run, each when the one before is committed, until stop is called, which
// returns how long each took.
func (f *flood) publishGood(t *testing.T) (stop func() []time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []time.Duration, 1)
	go func() {
		var delays []time.Duration
		for ctx.Err() == nil {
			o := odd{campaign: goodCampaign, run: "run", old: `"id":"1"`, new: fmt.Sprintf(`"id":"%d"`, len(delays))}
			began := time.Now()
			ack, err := f.js.PublishMsg(t.Context(), o.message())
			if err == nil {
				err = f.watch.Wait(t.Context(), streamOfTests, ack.Sequence)
			}
			if err != nil {
				t.Errorf("good event %d: %v", len(delays), err)
				break
			}
			delays = append(delays, time.Since(began))
		}
		done <- delays
	}()
	return func() []time.Duration {
		cancel()
		return <-done
	}
}

// wantKept fails the test unless the dead letters of each reason have rows up to the limit, and beyond it are counted
// with their sequences. It returns how many rows there are.
func (f *flood) wantKept(t *testing.T, limit int) (rows int64) {
	t.Helper()
	db := openDatabase(t, f.environ)
	defer db.Close()
	for reason, sent := range f.sequences {
		kept := sent[:min(len(sent), limit)]
		dropped := sent[len(kept):]
		var got, first, last int64
		row := db.QueryRowContext(t.Context(), "SELECT count(*), min(sequence), max(sequence) FROM dead_letters WHERE reason = '"+string(reason)+"'")
		if err := row.Scan(&got, &first, &last); err != nil {
			t.Fatal(err)
		}
		if want := int64(len(kept)); got != want || first != int64(kept[0]) || last != int64(kept[want-1]) {
			t.Errorf("%s: %d rows from %d to %d, want %d from %d to %d", reason, got, first, last, want, kept[0], kept[want-1])
		}
		rows += got
		var counted [2]int64
		var between [2]sql.NullInt64
		row = db.QueryRowContext(t.Context(), "SELECT kept, dropped, first_dropped, last_dropped FROM dead_letter_counts WHERE reason = '"+string(reason)+"'")
		if err := row.Scan(&counted[0], &counted[1], &between[0], &between[1]); err != nil {
			t.Fatal(err)
		}
		var want [2]sql.NullInt64
		if len(dropped) > 0 {
			want = [2]sql.NullInt64{{Int64: int64(dropped[0]), Valid: true}, {Int64: int64(dropped[len(dropped)-1]), Valid: true}}
		}
		if counted != [2]int64{int64(len(kept)), int64(len(dropped))} || between != want {
			t.Errorf("%s: counted %v between %v, want %d and %d between %v", reason, counted, between, len(kept), len(dropped), want)
		}
	}
	return rows
}

// databaseSize is what the database takes on disk, in bytes.
func (w *world) databaseSize(t *testing.T) (size int64) {
	t.Helper()
	if w.postgres == nil {
		files, err := filepath.Glob(filepath.Join(w.environ["DATA_DIR"], "runmetrics.db*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			size += info.Size()
		}
		return size
	}
	db := openDatabase(t, w.environ)
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT pg_database_size(current_database())").Scan(&size); err != nil {
		t.Fatal(err)
	}
	return size
}

// wantToldOfDeadLetters fails the test unless the log says of all dead letters that there are some, and why the first
// one is, in a line a minute. It returns how many lines the whole log has.
func (p *program) wantToldOfDeadLetters(t *testing.T, n int64, took time.Duration) (lines int) {
	t.Helper()
	var told, times int64
	for line := range strings.Lines(p.stderr.String()) {
		lines++
		var said struct {
			Level, Msg, Reason string
			DeadLetters        int64 `json:"dead_letters"`
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if said.DeadLetters == 0 {
			continue
		}
		times++
		told += said.DeadLetters
		if said.Level != "WARN" || said.Reason == "" {
			t.Errorf("the log says %s", line)
		}
	}
	// At once, then once a minute, and what is left at the end.
	if most := int64(took/time.Minute) + 2; told != n || times > most {
		t.Errorf("the log tells of %d dead letters in %d lines, want %d in at most %d", told, times, n, most)
	}
	return lines
}
