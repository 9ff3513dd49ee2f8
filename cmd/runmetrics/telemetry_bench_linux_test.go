package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkTelemetry measures what telemetry costs the pipeline at full speed: nobody asks; Prometheus scrapes every
// second; and a collector besides is sent metrics every second, log records, spans of each commit and of one event in a
// hundred. It is by turns, in one process with the broker; the collector throws away what it gets. Time on a shared machine
// is noisy, so the processor's time stands beside it. Run it by `make bench`.
func BenchmarkTelemetry(b *testing.B) {
	const total, rounds = 400_000, 7
	broker := tracedBroker(b, total)
	server := sinktest.StartPostgres(b)
	received := 0
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received += int(n)
	}))
	defer collector.Close()
	sent := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
	variants := []struct {
		name    string
		environ map[string]string
		beside  func(context.Context, *service)
	}{{"off", nil, func(context.Context, *service) {}}, {"scraped each second", nil, scrapeEachSecond},
		{"and sent to a collector", sent, scrapeEachSecond}}
	took, worked := make([][]float64, len(variants)), make([][]float64, len(variants))
	for b.Loop() {
		for round := range rounds {
			for i, v := range variants {
				environ := map[string]string{"NATS_URL": broker.URL(), "DATA_DIR": b.TempDir(), "HTTP_ADDR": "127.0.0.1:0",
					"DATABASE_URL": server.CreateDatabase(b), "DEPLOYMENT": fmt.Sprintf("bench-%d-%d", round, i)}
				maps.Copy(environ, v.environ)
				before := processorTime(b)
				took[i] = append(took[i], commitStream(b, environ, total, v.beside).Seconds())
				worked[i] = append(worked[i], (processorTime(b) - before).Seconds())
			}
		}
	}
	fmt.Printf("\ntelemetry, %d events to Postgres, medians of %d rounds by turns; process with broker: CPU time a million events\n",
		total, rounds)
	for i, v := range variants {
		speed, work := ratios(took[0], took[i]), ratios(worked[i], worked[0])
		fmt.Printf("%-25s %7.0f events/s, ratio %.3f (%.3f to %.3f); CPU %.2f s, ratio %.3f (%.3f to %.3f)\n", v.name,
			total/middle(slices.Sorted(slices.Values(took[i]))), middle(speed), speed[0], speed[rounds-1],
			middle(slices.Sorted(slices.Values(worked[i])))*1e6/total, middle(work), work[0], work[rounds-1])
	}
	fmt.Printf("the collector got %d bytes\n", received)
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

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
