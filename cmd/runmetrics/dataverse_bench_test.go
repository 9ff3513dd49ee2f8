package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// BenchmarkDataverseDelay measures the time from before an event is published until its record stands in Dataverse, at 100
// events/s, where each request takes 20 ms and the service's limits are in force: for events that begin a run and for
// those that close one. Broker, store and organization share the machine. Run it by `make bench-more`.
func BenchmarkDataverseDelay(b *testing.B) {
	for b.Loop() {
		first, closing := measureCopies(b, 30*time.Second)
		fmt.Printf("\n%d runs of 3 events, 100 events/s, 20 ms a request\n", len(first))
		report := func(what string, list []time.Duration) {
			slices.Sort(list)
			at := func(p int) float64 { return list[(p*len(list)+99)/100-1].Seconds() * 1000 }
			fmt.Printf("%-8s record in Dataverse after p50 %4.0f ms, p99 %4.0f ms, at most %4.0f ms\n", what, at(50), at(99), at(100))
			b.ReportMetric(at(50), what+"-p50-ms")
			b.ReportMetric(at(99), what+"-p99-ms")
		}
		report("first", first)
		report("closing", closing)
		b.ReportMetric(0, "ns/op")
	}
}

// measureCopies publishes for so long and returns the delays of records that begin and that close a run.
func measureCopies(b *testing.B, duration time.Duration) (first, closing []time.Duration) {
	b.Helper()
	organization, err := emulator.New(emulator.Config{Limits: emulator.DefaultLimits(), Latency: 20 * time.Millisecond})
	if err != nil {
		b.Fatal(err)
	}
	seen := &sightings{at: make(map[sighting]time.Time)}
	server := httptest.NewServer(seen.watch(organization))
	defer server.Close()
	cfg, err := loadConfig(map[string]string{"DATA_DIR": b.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0",
		"USE_DATAVERSE": "true", "DATAVERSE_URL": server.URL, "DATAVERSE_AUTHORITY": server.URL, "DATAVERSE_TENANT_ID": "contoso",
		"DATAVERSE_CLIENT_ID": emulatorClient, "DATAVERSE_CLIENT_SECRET": emulatorSecret}, "")
	if err != nil {
		b.Fatal(err)
	}
	s, err := openService(b.Context(), cfg, serving{sync: devSync}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	sent := publishRuns(b, s, duration)
	deadline := time.Now().Add(30 * time.Second)
	for want := range sent {
		for !seen.saw(want) && time.Now().Before(deadline) {
			<-time.After(10 * time.Millisecond)
		}
	}
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	for want, began := range sent {
		delay := seen.at[want].Sub(began)
		if delay < 0 {
			b.Fatalf("a record of %s did not arrive, closing: %t", want.run, want.closing)
		}
		if want.closing {
			closing = append(closing, delay)
		} else {
			first = append(first, delay)
		}
	}
	return first, closing
}

// sighting is that a run stands in Dataverse, or that it stands there with all of its agents.
type sighting struct {
	run     string
	closing bool
}

// publishRuns publishes runs of three events, of which ten alternate, 100 events a second. It returns when each record was
// caused that is due at once: a run's first, and with both of its agents the one that closes it.
func publishRuns(b *testing.B, s *service, duration time.Duration) map[sighting]time.Time {
	b.Helper()
	const rate, alternating, perRun = 100, 10, 3
	sent := make(map[sighting]time.Time)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	total := int(duration/time.Second) * rate / (alternating * perRun) * (alternating * perRun)
	for i := range total {
		<-tick.C
		run := fmt.Sprintf("run-%05d", i/(alternating*perRun)*alternating+i%alternating)
		place := i / alternating % perRun
		e := events.Event{Key: events.Key{CampaignID: "delay", RunID: run, Phase: "1"}, ID: fmt.Sprint(place), OccurredAt: time.Now().UTC()}
		if place == 0 {
			e.Type, e.AgentsExpected = events.RunStarted, 2
		} else {
			e.Type, e.AgentID, e.Attempt, e.Status, e.LatencyMs = events.AgentFinished, fmt.Sprint(place), 1, events.Succeeded, 1000
		}
		if place != 1 {
			sent[sighting{run, place == perRun-1}] = time.Now()
		}
		if _, err := s.js.PublishMsgAsync(eventMessage(&e, events.Encode(&e), events.MessageID(&e))); err != nil {
			b.Fatal(err)
		}
	}
	return sent
}

// sightings notes when records were first answered for.
type sightings struct {
	mu sync.Mutex
	at map[sighting]time.Time
}

func (s *sightings) saw(want sighting) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.at[want].IsZero()
}

// watch looks into requests with rows, on their way to the organization.
func (s *sightings) watch(organization http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "UpsertMultiple") {
			organization.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		organization.ServeHTTP(answer, r)
		if answer.Code < 300 {
			s.note(body)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (s *sightings) note(body []byte) {
	var request struct {
		Targets []struct {
			Run    string `json:"apex_runid"`
			Agents int    `json:"apex_agentstotal"`
		}
	}
	if json.Unmarshal(body, &request) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range request.Targets {
		s.see(sighting{target.Run, false})
		if target.Agents == 2 {
			s.see(sighting{target.Run, true})
		}
	}
}

// see notes the first time. The caller holds the lock.
func (s *sightings) see(what sighting) {
	if s.at[what].IsZero() {
		s.at[what] = time.Now()
	}
}
