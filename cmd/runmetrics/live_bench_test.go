package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

const (
	liveClients   = 200
	liveCampaigns = 20
)

// BenchmarkLiveThroughput measures what live clients cost the pipeline: how fast a stream of 20 campaigns is committed to
// Postgres without any, and with 200 of which each follows one campaign, by turns. Everything shares the machine, the
// clients too. Run it by `make bench-more`.
func BenchmarkLiveThroughput(b *testing.B) {
	const total, rounds = 400_000, 5
	broker := liveBroker(b, total)
	server := sinktest.StartPostgres(b)
	variants := []int{0, liveClients}
	rates := make(map[int][]float64)
	for b.Loop() {
		for round := range rounds {
			for i, clients := range variants {
				s := openBenchService(b, broker, server, fmt.Sprintf("bench-%d-%d", round, i))
				rates[clients] = append(rates[clients], s.commitWith(b, clients, total))
			}
		}
	}
	fmt.Printf("\n%d events of %d campaigns, runs of 10 agents, to Postgres, medians of %d rounds\n", total, liveCampaigns, rounds)
	for _, clients := range variants {
		slices.Sort(rates[clients])
		fmt.Printf("%4d live clients %9.0f events/s, ratio %.3f\n", clients, middle(rates[clients]), middle(rates[clients])/middle(rates[0]))
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLiveDelay measures how long it takes from before an event is published until clients have its run's record, at
// 1,000 events/s with 200 clients of which each follows one of 20 campaigns. Every event is the first of a run, so its
// record is there when it is.
func BenchmarkLiveDelay(b *testing.B) {
	server := sinktest.StartPostgres(b)
	for b.Loop() {
		broker := liveBroker(b, 0)
		s := openBenchService(b, broker, server, "bench")
		delays := s.delays(b)
		slices.Sort(delays)
		fmt.Printf("\n%d live clients, 1,000 events/s: %d records, delay from publish p50 %.0f ms, p99 %.0f ms, max %.0f ms\n", liveClients,
			len(delays), milliseconds(delays[len(delays)/2]), milliseconds(delays[len(delays)*99/100]), milliseconds(delays[len(delays)-1]))
	}
	b.ReportMetric(0, "ns/op")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func middle(sorted []float64) float64 { return sorted[len(sorted)/2] }

// liveBroker runs a NATS server whose stream holds so many events, of all campaigns in turn.
func liveBroker(b *testing.B, total int) *broker {
	b.Helper()
	broker, js := benchBroker(b)
	if _, err := js.CreateStream(b.Context(), consumer.StreamConfig("RUN_EVENTS", 4<<30)); err != nil {
		b.Fatal(err)
	}
	for i := range total {
		l := load{Seed: uint64(i % liveCampaigns), Runs: 2, Agents: 10}
		e := l.At(i / liveCampaigns)
		if _, err := js.PublishMsgAsync(eventMessage(&e, events.Encode(&e), "")); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	return broker
}

// benchService is a service that runs, and its clients.
type benchService struct {
	*service
	stop  context.CancelFunc
	ended chan error
	bytes atomic.Int64 // that clients got
	wait  sync.WaitGroup
}

func openBenchService(b *testing.B, broker *broker, server *sinktest.PostgresServer, deployment string) *benchService {
	b.Helper()
	environ := map[string]string{"NATS_URL": broker.URL(), "DATA_DIR": b.TempDir(), "HTTP_ADDR": "127.0.0.1:0",
		"DATABASE_URL": server.CreateDatabase(b), "DEPLOYMENT": deployment}
	if err := postgres.Migrate(b.Context(), environ["DATABASE_URL"]); err != nil {
		b.Fatal(err)
	}
	cfg, err := loadConfig(environ, "")
	if err != nil {
		b.Fatal(err)
	}
	opened, err := openService(b.Context(), cfg, serving{sync: devSync}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	s := &benchService{service: opened, ended: make(chan error, 1)}
	var ctx context.Context
	ctx, s.stop = context.WithTimeout(b.Context(), 5*time.Minute)
	go func() { s.ended <- s.run(ctx) }()
	return s
}

// end stops the service, which ends its clients.
func (s *benchService) end(b *testing.B) {
	b.Helper()
	s.stop()
	if err := <-s.ended; err != nil {
		b.Fatal(err)
	}
	s.wait.Wait()
	s.close()
}

// follow connects a client to the stream of a campaign. Its reader is asked to read until it ends.
func (s *benchService) follow(b *testing.B, campaign string, read func(io.Reader)) {
	b.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /api/metrics/campaign/stream?limit=0&campaignId=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", campaign)
	r := bufio.NewReaderSize(conn, 64<<10)
	for { // until the stream has begun
		line, err := r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if strings.HasPrefix(line, "event: ready") {
			break
		}
	}
	s.wait.Go(func() {
		defer conn.Close()
		read(r)
	})
}

// commitWith returns how many events are committed in a second while so many clients listen, behind the first fifth.
func (s *benchService) commitWith(b *testing.B, clients, total int) float64 {
	b.Helper()
	for i := range clients {
		s.follow(b, fmt.Sprintf("load-%d", i%liveCampaigns), func(r io.Reader) {
			n, _ := io.Copy(io.Discard, r)
			s.bytes.Add(n)
		})
	}
	wait := func(sequence int) time.Time {
		if err := s.watch.Wait(b.Context(), "RUN_EVENTS", uint64(sequence)); err != nil {
			b.Fatal(err)
		}
		return time.Now()
	}
	began := wait(total / 5)
	took := wait(total).Sub(began)
	counts := s.feed.Counts()
	s.end(b)
	b.Logf("%d clients: %.0f events/s; %d records sent, %d skipped, %.1f MB", clients, float64(total-total/5)/took.Seconds(),
		counts.Sent, counts.Skipped, float64(s.bytes.Load())/1e6)
	return float64(total-total/5) / took.Seconds()
}

// delays publishes 1,000 runs a second for ten seconds and returns the delays of all records at all clients.
func (s *benchService) delays(b *testing.B) []time.Duration {
	b.Helper()
	const rate, total = 1000, 10_000
	sent := make([]atomic.Int64, total)
	var mu sync.Mutex
	var all []time.Duration
	for i := range liveClients {
		s.follow(b, fmt.Sprintf("campaign-%d", i%liveCampaigns), func(r io.Reader) {
			list := readDelays(r, sent)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, list...)
		})
	}
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := range total {
		<-tick.C
		e := events.Event{Key: events.Key{CampaignID: fmt.Sprintf("campaign-%d", i%liveCampaigns), RunID: fmt.Sprint(i), Phase: "p"},
			ID: "1", Type: events.AgentFinished, AgentID: "a", Attempt: 1, Status: events.Succeeded, OccurredAt: time.Now()}
		sent[i].Store(time.Now().UnixNano())
		if _, err := s.js.PublishMsgAsync(eventMessage(&e, events.Encode(&e), "")); err != nil {
			b.Fatal(err)
		}
	}
	until(b, patience, "all records are sent", func() bool { return s.feed.Counts().Sent >= total*liveClients/liveCampaigns })
	s.end(b)
	if len(all) != total*liveClients/liveCampaigns {
		b.Fatalf("%d records came", len(all))
	}
	return all
}

// readDelays reads a stream to its end, and returns how long ago the run of each record was published.
func readDelays(r io.Reader, sent []atomic.Int64) []time.Duration {
	var list []time.Duration
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return list
		}
		record, ok := bytes.CutPrefix(line, []byte("data: "))
		at := bytes.Index(record, []byte(`"runId":"`))
		if !ok || at < 0 {
			continue
		}
		var n int
		rest := record[at+len(`"runId":`):]
		if json.Unmarshal([]byte(strings.Trim(string(rest[:bytes.IndexByte(rest, ',')]), `"`)), &n) == nil {
			list = append(list, time.Duration(time.Now().UnixNano()-sent[n].Load()))
		}
	}
}
