package main

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkDataversePipeline measures what a copy costs the pipeline: how fast a stream is committed to Postgres without
// one, with one, and with one while Dataverse is away, by turns. Everything shares the machine, the organization too, so
// the work of sending is part of what it costs. Run it by `make bench-more`.
func BenchmarkDataversePipeline(b *testing.B) {
	const total, rounds = 400_000, 3
	broker := filledBroker(b, total)
	server := sinktest.StartPostgres(b)
	variants := []string{"without a copy", "with a copy", "with Dataverse away"}
	rates := make(map[string][]float64)
	for b.Loop() {
		for round := range rounds {
			for i, variant := range variants {
				environ := map[string]string{"NATS_URL": broker.URL(), "DATA_DIR": b.TempDir(), "HTTP_ADDR": "127.0.0.1:0",
					"DATABASE_URL": server.CreateDatabase(b), "DEPLOYMENT": fmt.Sprintf("bench-%d-%d", round, i)}
				rates[variant] = append(rates[variant], total/commitAll(b, environ, i > 0, i == 2, total).Seconds())
			}
		}
	}
	fmt.Printf("\n%d events of runs of 10 agents to Postgres, medians of %d rounds\n", total, rounds)
	for _, variant := range variants {
		slices.Sort(rates[variant])
		rate := rates[variant][len(rates[variant])/2]
		fmt.Printf("%-20s %9.0f events/s, ratio %.2f\n", variant, rate, rate/rates[variants[0]][len(rates[variants[0]])/2])
	}
	b.ReportMetric(0, "ns/op")
}

// benchBroker runs a NATS server, with a connection that fills its streams.
func benchBroker(b *testing.B) (*broker, jetstream.JetStream) {
	b.Helper()
	cfg := &Config{DataDir: b.TempDir(), NATSListen: "127.0.0.1:0", Deployment: "bench"}
	broker, err := startBroker(cfg, devSync, quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(broker.Stop)
	conn, err := connectNATS(cfg, connection{Embedded: broker, Role: "bench"}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	return broker, js
}

// filledBroker runs a NATS server whose stream holds so many events of runs of ten agents.
func filledBroker(b *testing.B, total int) *broker {
	b.Helper()
	broker, js := benchBroker(b)
	fillStream(b, js, load{Seed: 1, Runs: 40, Agents: 10}, total)
	return broker
}

func fillStream(b *testing.B, js jetstream.JetStream, l load, total int) {
	b.Helper()
	if _, err := js.CreateStream(b.Context(), consumer.StreamConfig("RUN_EVENTS", 4<<30)); err != nil {
		b.Fatal(err)
	}
	for i := range total {
		e := l.At(i)
		if _, err := js.PublishMsgAsync(eventMessage(&e, events.Encode(&e), "")); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
}

// commitAll runs a service, with a copy or not, until it has committed the whole stream, and returns how long that took.
func commitAll(b *testing.B, environ map[string]string, copied, away bool, total uint64) time.Duration {
	b.Helper()
	if copied {
		organization, err := emulator.New(emulator.Config{Limits: emulator.DefaultLimits(), Latency: 20 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		if away {
			organization.Inject(emulator.Fault{Kind: "error", Status: 503})
		}
		server := httptest.NewServer(organization)
		defer server.Close()
		maps.Copy(environ, emulatorEnviron(server.URL))
	}
	return commitStream(b, environ, total, func(context.Context, *service) {})
}

// commitStream runs a service until it has committed the whole stream, with something beside it, and returns how long that
// took.
func commitStream(b *testing.B, environ map[string]string, total uint64, beside func(context.Context, *service)) time.Duration {
	b.Helper()
	if err := postgres.Migrate(b.Context(), environ["DATABASE_URL"]); err != nil {
		b.Fatal(err)
	}
	cfg, err := loadConfig(environ, "")
	if err != nil {
		b.Fatal(err)
	}
	s, err := openService(b.Context(), cfg, serving{sync: devSync}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	ctx, stop := context.WithTimeout(b.Context(), 5*time.Minute)
	defer stop()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- s.run(ctx) }()
	go beside(ctx, s)
	if err := s.watch.Wait(ctx, "RUN_EVENTS", total); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	return took
}
