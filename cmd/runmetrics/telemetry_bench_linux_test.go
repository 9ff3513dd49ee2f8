package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkTelemetry measures what telemetry costs the pipeline at full speed: nobody asks and nothing is sent, against
// Prometheus that scrapes every second and a collector that is sent metrics every second, log records, and spans of commits
// and of one event in a hundred. It is by turns, in one process with the broker; the collector throws away what it gets.
// Time on a shared machine is noisy, so there are many short rounds, and the processor's time beside. Run it by `make bench-more`.
func BenchmarkTelemetry(b *testing.B) {
	const total, rounds = 200_000, 20
	broker := tracedBroker(b, total)
	server := sinktest.StartPostgres(b)
	received := 0
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received += int(n)
	}))
	defer collector.Close()
	var took, worked [2][]float64 // seconds of each round, off and on
	for b.Loop() {
		for round := range rounds {
			for _, on := range [][]int{{0, 1}, {1, 0}}[round%2] { // each goes first as often
				environ := map[string]string{"NATS_URL": broker.URL(), "DATA_DIR": b.TempDir(), "HTTP_ADDR": "127.0.0.1:0",
					"DATABASE_URL": server.CreateDatabase(b), "DEPLOYMENT": fmt.Sprintf("bench-%d-%d", round, on)}
				beside := func(context.Context, *service) {}
				if on == 1 {
					environ["OTEL_EXPORTER_OTLP_ENDPOINT"], environ["OTEL_METRIC_EXPORT_INTERVAL"] = collector.URL, "1000"
					beside = scrapeEachSecond
				}
				before := sinktest.OwnTime(b)
				took[on] = append(took[on], commitStream(b, environ, total, beside).Seconds())
				worked[on] = append(worked[on], (sinktest.OwnTime(b) - before).Seconds())
			}
		}
	}
	speed, work := ratios(took[0], took[1]), ratios(worked[1], worked[0])
	n := len(speed)
	fmt.Printf("\ntelemetry on against off, %d events to Postgres, medians of %d rounds by turns (and quartiles)\n", total, n)
	fmt.Printf("throughput      %.3f (%.3f to %.3f), %.0f events/s without\n", middle(speed), speed[n/4], speed[3*n/4],
		total/middle(slices.Sorted(slices.Values(took[0]))))
	fmt.Printf("processor time  %.3f (%.3f to %.3f), %.1f s for a million events without, broker included\n", middle(work), work[n/4],
		work[3*n/4], middle(slices.Sorted(slices.Values(worked[0])))*1e6/total)
	fmt.Printf("the collector got %d bytes a round\n", received/n)
	b.ReportMetric(0, "ns/op")
}

// ratios are those of each round, sorted.
func ratios(of, to []float64) []float64 {
	list := make([]float64, len(of))
	for i := range of {
		list[i] = of[i] / to[i]
	}
	slices.Sort(list)
	return list
}

// tracedBroker runs a NATS server whose stream holds so many events, one in a hundred from a sampled trace.
func tracedBroker(b *testing.B, total int) *broker {
	b.Helper()
	broker, js := benchBroker(b)
	if _, err := js.CreateStream(b.Context(), consumer.StreamConfig("RUN_EVENTS", 4<<30)); err != nil {
		b.Fatal(err)
	}
	l := load{Seed: 1, Runs: 40, Agents: 10}
	for i := range total {
		e := l.At(i)
		m := eventMessage(&e, events.Encode(&e), "")
		if i%100 == 0 {
			m.Header.Set("traceparent", agentIn(i))
		}
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	return broker
}

func scrapeEachSecond(ctx context.Context, s *service) {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.apiURL()+"/metrics", nil)
		if err != nil {
			return
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}
