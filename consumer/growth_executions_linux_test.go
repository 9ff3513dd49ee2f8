package consumer_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkGrowthExecutions measures the whole pipeline with 1, 100, 10,000 and up to RUNMETRICS_BENCH_EXECUTIONS (100,000)
// executions in each run: what an event costs while its run is in memory, how long a single one takes to be committed to
// such a run, and what it takes to read the run back, for the first event after a restart.
func BenchmarkGrowthExecutions(b *testing.B) {
	sizes := growingTo(1, 100, fromEnvironment(b, "RUNMETRICS_BENCH_EXECUTIONS", 100_000))
	rounds := benchRounds(b)
	var streams []*tallStream
	for _, size := range sizes {
		streams = append(streams, newTallStream(b, size))
	}
	server := sinktest.StartPostgres(b)
	for _, create := range []func() grownDatabase{
		func() grownDatabase { return newPostgresDatabase(b, server, false) },
		func() grownDatabase { return newSQLiteDatabase(b, false) },
	} {
		var name string
		for range rounds {
			for _, s := range streams {
				d := create()
				name = d.name
				s.round(b, d)
			}
		}
		fmt.Printf("\n%s, median of %d rounds (least-most)\n", name, rounds)
		fmt.Printf("%12s %20s %20s %20s %20s | %18s | %22s %22s %10s\n", "executions", "passed, µs an event", "first tenth", "last tenth",
			"processors, µs", "one more event, ms", "after restart, ms", "processors, ms", "peak, MB")
		for _, s := range streams {
			s.report()
		}
	}
	b.ReportMetric(0, "ns/op")
}

// tallStream is a stream of runs that have so many executions each, 40 of them at a time.
type tallStream struct {
	*broker
	executions int    // of a run
	events     uint64 // in the stream at first
	last       uint64 // now
	rounds     int

	whole, first, end []cost
	single            []time.Duration
	restarted         []cost
	peak              []int64
}

func newTallStream(b *testing.B, executions int) *tallStream {
	s := &tallStream{broker: startBroker(b), executions: executions, events: uint64(max(executions, 200_000))}
	const part = 10_000
	for from := 0; from < int(s.events); from += part {
		list := make([]events.Event, part)
		for i := range list {
			list[i] = s.event(from + i)
		}
		s.last = s.publish(b, messagesOf(list)...)
	}
	if s.last != s.events {
		b.Fatalf("the stream holds %d events, want %d", s.last, s.events)
	}
	return s
}

// event is number i of the stream.
func (s *tallStream) event(i int) events.Event {
	atATime := min(40, int(s.events)/s.executions)
	block, within := i/(atATime*s.executions), i%(atATime*s.executions)
	return growthExecution(growthKey("tall", block*atATime+within%atATime), growthID(0, i), within/atATime)
}

// round commits the stream to an empty database, then one event after another, and then one more after a restart.
func (s *tallStream) round(b *testing.B, d grownDatabase) {
	store := d.open(b)
	defer store.Close()
	m := meter{d.server, d.sql(b, "")}
	defer m.db.Close()
	s.rounds++
	deployment := fmt.Sprint("tall-", s.rounds)
	watch, err := consumer.NewWatch(s.conn, deployment)
	if err != nil {
		b.Fatal(err)
	}
	defer watch.Close()
	run := func() *running {
		return s.startReader(b, store, func(c *consumer.Config) { c.Deployment, c.Log = deployment, nil })
	}
	wait := func(sequence uint64) error {
		ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
		defer cancel()
		return watch.Wait(ctx, streamName, sequence)
	}
	r := run()
	s.readAll(b, m, wait)
	for range 20 {
		s.single = append(s.single, s.one(b, wait))
	}
	if err := r.stop(); err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory()
	before := resident(b, "VmRSS:")
	forgetPeak(b)
	r = run()
	s.restarted = append(s.restarted, m.measure(b, 1, func(timed func(func() error)) {
		timed(func() error {
			s.one(b, wait)
			return nil
		})
	}))
	s.peak = append(s.peak, resident(b, "VmHWM:")-before)
	if err := r.stop(); err != nil {
		b.Fatal(err)
	}
	s.check(b, store)
}

// readAll waits until the stream of the beginning is committed, tenth by tenth. Events of earlier rounds follow it.
func (s *tallStream) readAll(b *testing.B, m meter, wait func(uint64) error) {
	var tenths []cost
	for i := range uint64(10) {
		tenths = append(tenths, m.measure(b, int(s.events/10), func(timed func(func() error)) {
			timed(func() error { return wait((i + 1) * s.events / 10) })
		}))
	}
	whole := cost{}
	for _, c := range tenths {
		whole = whole.plus(c)
	}
	s.whole, s.first, s.end = append(s.whole, whole), append(s.first, tenths[0]), append(s.end, tenths[9])
	if err := wait(s.last); err != nil {
		b.Fatal(err)
	}
}

// one publishes one event more to the first run, and tells how long it took to be committed.
func (s *tallStream) one(b *testing.B, wait func(uint64) error) time.Duration {
	e := growthExecution(growthKey("tall", 0), growthID(1, int(s.last)), int(s.last))
	began := time.Now()
	s.last = s.publish(b, messageOf(&e))
	if err := wait(s.last); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

// check looks whether all of the stream was applied, and the first run has what belongs to it.
func (s *tallStream) check(b *testing.B, store sinks.Store) {
	p, err := store.Position(b.Context(), streamName)
	if err != nil || p.Applied != int64(s.last) {
		b.Fatalf("%d events applied, want %d: %v", p.Applied, s.last, err)
	}
	m, ok, err := store.Get(b.Context(), growthKey("tall", 0).UUID())
	want := int64(s.executions) + int64(s.last-s.events)
	if err != nil || !ok || *m.Executions != want {
		b.Fatalf("the first run: %v, %+v, want %d executions: %v", ok, m, want, err)
	}
}

func (s *tallStream) report() {
	wall := func(c cost) float64 { return c.each(c.wall) }
	fmt.Printf("%12d %20v %20v %20v %20v | %18v | %22v %22v %10.0f\n", s.executions, spreadOf(s.whole, wall), spreadOf(s.first, wall),
		spreadOf(s.end, wall), spreadOf(s.whole, func(c cost) float64 { return c.each(c.process + c.server) }),
		spreadOf(s.single, ms),
		spreadOf(s.restarted, func(c cost) float64 { return ms(c.wall) }),
		spreadOf(s.restarted, func(c cost) float64 { return ms(c.process + c.server) }),
		spreadOf(s.peak, func(n int64) float64 { return float64(n) / 1e6 }).median)
	s.whole, s.first, s.end, s.single, s.restarted, s.peak = nil, nil, nil, nil, nil, nil
}

// resident is a figure of this process's memory, in bytes.
func resident(b *testing.B, name string) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Fatalf("/proc/self/status has no %s", name)
	return 0
}

// forgetPeak makes the greatest resident memory count from now on.
func forgetPeak(b *testing.B) {
	b.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
}
