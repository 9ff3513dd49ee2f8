package main

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

// scraped answers one scrape.
func scraped(t testing.TB, metrics http.Handler) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	metrics.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

// measuring makes the handler of /metrics that shows m.
func measuring(t testing.TB, m measured) http.Handler {
	t.Helper()
	told, err := openTelemetry(t.Context(), &Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(told.close)
	m.deployment, m.checks = "main", sampleChecks
	m.nats = func() natsCounts { return natsCounts{connected: true, reconnects: 2} }
	if err := told.show(m); err != nil {
		t.Fatal(err)
	}
	return told.scrape
}

// sampleStreams are one stream that this process reads and one that it stands by for.
func sampleStreams() []consumer.Status {
	hours := 26.5
	return []consumer.Status{
		{Stream: "RUN_EVENTS_0", State: consumer.Active, Reached: 3_000_000_123, LastSequence: 3_000_000_200, OutageHours: &hours,
			Position: sinks.Position{Epoch: 2, Sequence: 3_000_000_123, Applied: 2_999_999_000, Duplicates: 1_000, DeadLetters: 100, Gone: 23},
			Read:     1_234_567, Applied: 1_200_000, Duplicates: 30_000, DeadLetters: 4_000, Discarded: 500, InFlight: 67, Gone: 8,
			ByReason: map[events.Reason]int64{events.Invalid: 3_990, events.Sealed: 10},
			Sums: consumer.Sums{Succeeded: 1_190_000, Failed: 9_000, Cancelled: 1_000, TokensIn: 5_000_000_000, TokensOut: 700_000_000,
				Cost: aggregate.Money{}.Add(1_234_500_000_000), NewRuns: 24_000},
			Delays: consumer.Delays{Counts: [19]uint64{0: 3, 2: 1_200_000, 18: 1}, Seconds: 93_600.5}},
		{Stream: "RUN_EVENTS_1", State: consumer.Standby, Reached: 77, LastSequence: 80,
			Position: sinks.Position{Epoch: 1, Sequence: 50, Applied: 50}},
	}
}

func sampleLive() query.FeedCounts { return query.FeedCounts{Clients: 3, Sent: 12_000, Skipped: 40} }

// TestMetricsAreNamedAsPinned pins what dashboards and alerts rest on: names, types, help, labels and values. The metrics
// of Go and of the process are as their library names them.
func TestMetricsAreNamedAsPinned(t *testing.T) {
	t.Parallel()
	metrics := measuring(t, measured{streams: sampleStreams, live: sampleLive, copied: func() dataverse.Status {
		return dataverse.Status{State: dataverse.StateThrottled, Requests: 12, Throttles: 3, Delivered: 1_150, Parked: 2, TargetsToday: 24_000}
	}, uses: func() []query.Use {
		return []query.Use{{Status: 401, Requests: 5}, {KeyID: "studio", Status: 200, Requests: 70}, {KeyID: "studio", Status: 429, Requests: 2}}
	}})
	var own strings.Builder
	others := make(map[string]bool)
	for line := range strings.Lines(scraped(t, metrics)) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if strings.HasPrefix(name, "runmetrics_") {
			own.WriteString(line)
			continue
		}
		others[name[:strings.IndexAny(name, " {")]] = true
	}
	got := strings.Replace(own.String(), fmt.Sprintf(`go_version=%q,revision=%q,version=%q}`, runtime.Version(), buildInfo().Revision, version()),
		`go_version="go1",revision="unknown",version="devel"}`, 1)
	if *update {
		if err := os.WriteFile("testdata/metrics.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("/metrics has changed; where that is meant, run the test with -update and mind dashboards and alerts:\n%s", got)
	}
	for name := range others {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s belongs to nobody", name)
		}
	}
	for _, name := range []string{"go_goroutines", "go_memstats_heap_inuse_bytes"} {
		if !others[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestMetricsSayForHowLongTheCopyIsBehind(t *testing.T) {
	t.Parallel()
	metrics := measuring(t, measured{streams: sampleStreams, live: sampleLive, copied: func() dataverse.Status {
		return dataverse.Status{State: dataverse.StateDegraded, BehindSince: time.Now().Add(-time.Hour)}
	}})
	_, rest, _ := strings.Cut(scraped(t, metrics), "\nrunmetrics_dataverse_behind_seconds ")
	text, _, _ := strings.Cut(rest, "\n")
	if seconds, err := strconv.ParseFloat(text, 64); err != nil || seconds < 3600 || seconds > 3660 {
		t.Errorf("behind for %q", text)
	}
}

func TestMetricsWithoutACopyNameNoDataverse(t *testing.T) {
	t.Parallel()
	metrics := measuring(t, measured{streams: sampleStreams, live: sampleLive})
	if got := scraped(t, metrics); strings.Contains(got, "dataverse") || !strings.Contains(got, "runmetrics_messages_read_total") {
		t.Errorf("/metrics says %s", got)
	}
}

// TestAScrapeShowsOneMomentOfAStream though others scrape at the same time: each status has one number in all its fields.
func TestAScrapeShowsOneMomentOfAStream(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	metrics := measuring(t, measured{live: sampleLive, streams: func() []consumer.Status {
		n := asked.Add(1)
		return []consumer.Status{{Stream: "S", Read: n, Applied: n, Duplicates: n, DeadLetters: n, Discarded: n, InFlight: n,
			ByReason: map[events.Reason]int64{events.Invalid: n}}}
	}})
	const scrapers, scrapes = 4, 25
	var group errgroup.Group
	for range scrapers {
		group.Go(func() error {
			for range scrapes {
				var values []string
				for line := range strings.Lines(scraped(t, metrics)) {
					if name, value, _ := strings.Cut(line, `{stream="S"} `); strings.HasPrefix(name, "runmetrics_events_") ||
						strings.HasPrefix(name, "runmetrics_messages_") && name != "runmetrics_messages_gone_total" {
						values = append(values, value)
					}
					if value, is := strings.CutPrefix(line, `runmetrics_dead_letters_total{reason="invalid",stream="S"} `); is {
						values = append(values, value)
					}
				}
				slices.Sort(values)
				if values = slices.Compact(values); len(values) != 1 {
					return fmt.Errorf("one scrape shows several moments: %q", values)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	// Once for all that is counted, and once for the delays.
	if n := asked.Load(); n != 2*scrapers*scrapes {
		t.Errorf("%d scrapes asked %d times", scrapers*scrapes, n)
	}
}

// BenchmarkScrape measures what one scrape costs.
func BenchmarkScrape(b *testing.B) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			list := slices.Repeat(sampleStreams()[:1], streams)
			for i := range list {
				list[i].Stream = fmt.Sprintf("RUN_EVENTS_%d", i)
			}
			metrics := measuring(b, measured{live: sampleLive, streams: func() []consumer.Status { return list }})
			for b.Loop() {
				scraped(b, metrics)
			}
		})
	}
}
