package consumer_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkPipeline measures how fast the pipeline commits events, beside how fast they can be read at all and how fast
// two programs store them that one would write without runmetrics. Broker, pipeline and database share the machine, whose
// mood changes within minutes: so all lines of the table are measured by turns in one process, and ratios are of the same
// round. Run it by `make bench`; it takes RUNMETRICS_BENCH_EVENTS (1,000,000) and RUNMETRICS_BENCH_ROUNDS (5).
func BenchmarkPipeline(b *testing.B) {
	began := time.Now()
	t := newTable(b)
	fmt.Fprintf(os.Stderr, "streams filled after %.0f s\n", time.Since(began).Seconds())
	rounds := benchRounds(b)
	for round := range rounds {
		t.measure(b, round)
		fmt.Fprintf(os.Stderr, "round %d of %d done after %.0f s: %s\n", round+1, rounds, time.Since(began).Seconds(), t.newest())
	}
	t.print()
	t.report(b)
}

// benchEvents is how many events the throughput is measured with; RUNMETRICS_BENCH_EVENTS overrides it.
func benchEvents(b *testing.B) int { return fromEnvironment(b, "RUNMETRICS_BENCH_EVENTS", 1_000_000) }

// benchRounds is how often each line of the table is measured; RUNMETRICS_BENCH_ROUNDS overrides it.
func benchRounds(b *testing.B) int { return fromEnvironment(b, "RUNMETRICS_BENCH_ROUNDS", 5) }

func fromEnvironment(b *testing.B, name string, otherwise int) int {
	b.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		b.Fatalf("%s=%s: want a number above 0", name, s)
	}
	return n
}

// scope ends what one measurement began, as a test of its own would: what stays would be in the way of the next one.
type scope struct {
	testing.TB
	ends []func()
}

// scoped calls f with a TB whose cleanups run when it is over.
func scoped(tb testing.TB, f func(tb testing.TB)) {
	s := &scope{TB: tb}
	defer func() {
		for _, end := range slices.Backward(s.ends) {
			end()
		}
	}()
	f(s)
}

func (s *scope) Cleanup(f func()) { s.ends = append(s.ends, f) }

func (s *scope) TempDir() string {
	s.Helper()
	dir, err := os.MkdirTemp(s.TB.TempDir(), "")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) }) // what stays goes with the benchmark
	return dir
}

// sample is one measurement.
type sample struct {
	rate          float64 // events/s
	own, postgres float64 // seconds of the processors for a million events: of this process and of the database server
	p50, p99      time.Duration
}

// stopwatch measures how long something takes and what it costs.
type stopwatch struct {
	server        *sinktest.PostgresServer // nil without one
	own, postgres time.Duration
	began         time.Time
}

func startStopwatch(tb testing.TB, server *sinktest.PostgresServer) stopwatch {
	tb.Helper()
	runtime.GC() // what others left behind is not of this measurement
	m := stopwatch{server: server, own: sinktest.OwnTime(tb)}
	m.postgres, m.began = m.serverTime(tb), time.Now()
	return m
}

func (m stopwatch) serverTime(tb testing.TB) time.Duration {
	if m.server == nil {
		return 0
	}
	return m.server.ProcessorTime(tb)
}

// stop returns the sample of n events.
func (m stopwatch) stop(tb testing.TB, n int) sample {
	tb.Helper()
	took := time.Since(m.began)
	perMillion := func(used time.Duration) float64 { return used.Seconds() * 1e6 / float64(n) }
	return sample{rate: float64(n) / took.Seconds(),
		own: perMillion(sinktest.OwnTime(tb) - m.own), postgres: perMillion(m.serverTime(tb) - m.postgres)}
}

// rates holds what sub-benchmarks measured, in events a second.
var rates = map[string][]float64{}

func reportRate(b *testing.B, n int, took time.Duration, unit string) {
	rate := float64(n) / took.Seconds()
	rates[b.Name()] = append(rates[b.Name()], rate)
	b.ReportMetric(rate, unit)
	b.ReportMetric(0, "ns/op")
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// openPostgres opens an empty store in a database of its own.
func openPostgres(tb testing.TB, server *sinktest.PostgresServer) sinks.Store {
	tb.Helper()
	dsn := server.CreateDatabase(tb)
	return openPostgresBy(tb, dsn, dsn)
}

// openPostgresBy opens an empty store in the database dsn, which is then reached by another way to it.
func openPostgresBy(tb testing.TB, dsn, way string) sinks.Store {
	tb.Helper()
	if err := postgres.Migrate(tb.Context(), dsn); err != nil {
		tb.Fatal(err)
	}
	store, err := postgres.Open(tb.Context(), postgres.Config{URL: way})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	return store
}
