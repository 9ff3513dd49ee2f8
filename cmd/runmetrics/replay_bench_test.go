package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkReplay measures, by turns and in one run, how fast the service commits a stream to an empty Postgres, and how
// fast a dry run of replay compares the same stream with what was committed. Broker, database and program share the machine.
// Run it by `make bench-more`.
func BenchmarkReplay(b *testing.B) {
	const rounds = 3
	total := 1_000_000
	if s := os.Getenv("RUNMETRICS_BENCH_EVENTS"); s != "" {
		var err error
		if total, err = strconv.Atoi(s); err != nil {
			b.Fatalf("RUNMETRICS_BENCH_EVENTS: %v", err)
		}
	}
	broker := filledBroker(b, total)
	server := sinktest.StartPostgres(b)
	var live, dry []float64
	for b.Loop() {
		for round := range rounds {
			environ := map[string]string{"NATS_URL": broker.URL(), "DATA_DIR": b.TempDir(), "HTTP_ADDR": "127.0.0.1:0",
				"DATABASE_URL": server.CreateDatabase(b), "DEPLOYMENT": fmt.Sprintf("bench-%d", round)}
			live = append(live, float64(total)/commitAll(b, environ, false, false, uint64(total)).Seconds())
			began := time.Now()
			equal := replayEqual(b, environ)
			dry = append(dry, float64(total)/time.Since(began).Seconds())
			if equal == 0 {
				b.Fatal("nothing was compared")
			}
		}
	}
	slices.Sort(live)
	slices.Sort(dry)
	l, d := live[len(live)/2], dry[len(dry)/2]
	fmt.Printf("\n%d events of runs of 10 agents, Postgres, medians of %d rounds\n", total, len(live))
	fmt.Printf("committed by the service  %9.0f events/s\ncompared by replay        %9.0f events/s, ratio %.2f\n", l, d, d/l)
	b.ReportMetric(0, "ns/op")
}

// replayEqual runs replay, which must find all runs equal, and returns how many there are.
func replayEqual(tb testing.TB, environ map[string]string) int64 {
	tb.Helper()
	var out, faults bytes.Buffer
	if code := run(tb.Context(), []string{"replay", "--output", "json"}, environ, nil, &out, &faults); code != exitOK {
		tb.Fatalf("replay ends with %d: %s%s", code, out.String(), faults.String())
	}
	var report compareReport
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		tb.Fatal(err)
	}
	if report.Counts.Runs != report.Counts.Equal {
		tb.Fatalf("%+v", report.Counts)
	}
	return report.Counts.Equal
}
