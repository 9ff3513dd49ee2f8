package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks/postgres"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// BenchmarkReads fills Postgres with a million runs and a campaign of ten million executions, and prints how long the API
// takes to answer: the 50th and 95th percentile and the maximum over all requests of a kind, with the plan of one. Run it
// by `make bench-more`; RUNMETRICS_BENCH_RUNS and RUNMETRICS_BENCH_EXECUTIONS make it smaller.
func BenchmarkReads(b *testing.B) {
	runs, executions := benchSize(b, "RUNMETRICS_BENCH_RUNS", 1_000_000), benchSize(b, "RUNMETRICS_BENCH_EXECUTIONS", 10_000_000)
	server := sinktest.StartPostgres(b, "shared_preload_libraries=auto_explain", "auto_explain.log_analyze=on", "fsync=off",
		"max_wal_size=4GB")
	r := newReads(b, server)
	for b.Loop() {
		began := time.Now()
		r.fill(b, runs, executions)
		fmt.Printf("\n%d runs and a campaign of %d executions were committed in %v\n", runs, executions, time.Since(began).Round(time.Second))
		r.measure(b)
		r.giant(b)
	}
	b.ReportMetric(0, "ns/op")
}

func benchSize(b *testing.B, name string, size int) int {
	if s := os.Getenv(name); s != "" {
		var err error
		if size, err = strconv.Atoi(s); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
	}
	return size
}

// reads is a filled database behind a real API.
type reads struct {
	server   *sinktest.PostgresServer
	database string
	store    *postgres.Store
	api      string
}

func newReads(b *testing.B, server *sinktest.PostgresServer) *reads {
	r := &reads{server: server, database: server.CreateDatabase(b)}
	if err := postgres.Migrate(b.Context(), r.database); err != nil {
		b.Fatal(err)
	}
	var err error
	if r.store, err = postgres.Open(b.Context(), postgres.Config{URL: r.database}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = r.store.Close() })
	handler, err := query.New(query.Config{Reader: r.store, Letters: r.store.Letters, Loopback: true, IdleTimeout: time.Hour,
		Publish:   func(context.Context, []*events.Event) []query.Receipt { panic("nothing is published") },
		Committed: func(context.Context, query.Receipt) error { panic("nothing is published") },
		State:     func() query.State { return query.State{State: query.StateActive} }})
	if err != nil {
		b.Fatal(err)
	}
	listener := httptest.NewServer(handler)
	b.Cleanup(listener.Close)
	r.api = listener.URL + "/api/metrics/campaign"
	return r
}

// benchRun is one of many: of each kind of name and status there are some that one run has, that 1 % have and that 90 % have.
func benchRun(i, n int) (events.Key, events.Outcome) {
	key := events.Key{CampaignID: "ninety", RunID: fmt.Sprint("run-", i), Phase: "ninety"}
	outcome := events.OutcomeCompleted
	switch {
	case i == n/2:
		return events.Key{CampaignID: "single", RunID: "single", Phase: "single"}, events.OutcomeCancelled
	case i%100 == 7:
		key.CampaignID, key.Phase, outcome = "one-percent", "one", events.OutcomeFailed
	case i%10 == 9:
		key.CampaignID, key.Phase, outcome = fmt.Sprint("other-", i%1000), fmt.Sprint("p", i%50), ""
	}
	return key, outcome
}

func (r *reads) fill(b *testing.B, runs, executions int) {
	w := sinktest.NewWriter(b, r.store, "RUN_EVENTS")
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(list []events.Event) {
		if err := w.Commit(b.Context(), w.Fold(list...)); err != nil {
			b.Fatal(err)
		}
		if err := w.Reload(b.Context()); err != nil { // no run comes twice: nothing need stay in memory
			b.Fatal(err)
		}
	}
	var list []events.Event
	for i := range runs {
		key, outcome := benchRun(i, runs)
		at := began.Add(time.Duration(i) * time.Second)
		list = append(list, benchExecution(key, i, 0, at))
		if outcome != "" {
			list = append(list, events.Event{Key: key, ID: "end", Type: events.RunFinished, OccurredAt: at.Add(time.Second), Outcome: outcome})
		}
		if len(list) >= 10_000 || i == runs-1 {
			write(list)
			list = list[:0]
		}
	}
	for i := range 100 {
		key := events.Key{CampaignID: "wide", RunID: fmt.Sprint("run-", i), Phase: "1"}
		write(benchAgents(key, 100, began))
	}
	write(benchAgents(events.Key{CampaignID: "tall", RunID: "tall", Phase: "1"}, 10_000, began))
	for i := range executions / 10_000 {
		key := events.Key{CampaignID: "giant", RunID: fmt.Sprint("run-", i), Phase: "1"}
		write(benchAgents(key, 10_000, began))
	}
	r.exec(b, "VACUUM ANALYZE")
}

func benchAgents(key events.Key, n int, at time.Time) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = benchExecution(key, i, i, at)
	}
	return list
}

func benchExecution(key events.Key, seed, agent int, at time.Time) events.Event {
	return events.Event{Key: key, ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", seed, agent), Type: events.AgentFinished, OccurredAt: at,
		AgentID: fmt.Sprint("agent-", agent), AgentName: "researcher", Model: "gpt-5", Attempt: 1, Status: events.Succeeded,
		LatencyMs: int64(seed * 7919 % 600_000), TokensIn: 1500, TokensOut: 300, AssetsGenerated: 1, Cost: events.USD(12_500_000)}
}

func (r *reads) exec(b *testing.B, statement string) {
	conn, err := pgx.Connect(b.Context(), r.database)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), statement); err != nil {
		b.Fatal(err)
	}
}

func (r *reads) measure(b *testing.B) {
	const times = 100
	fmt.Printf("%-44s %9s %9s %9s\n", "", "p50", "p95", "max")
	for _, kind := range []struct{ name, target string }{
		{"newest 10", ""},
		{"newest 500", "?limit=500"},
		{"run id of one run", "?runId=single"},
		{"campaign of one run", "?campaignId=single"},
		{"campaign of 1 %", "?campaignId=one-percent"},
		{"campaign of 90 %", "?campaignId=ninety"},
		{"phase of one run", "?phase=single"},
		{"phase of 1 %", "?phase=one"},
		{"phase of 90 %", "?phase=ninety"},
		{"status of one run", "?status=cancelled"},
		{"status of 1 %", "?status=failed"},
		{"status of 90 %", "?status=completed"},
		{"stalled, of 10 %", "?status=stalled"},
		{"running, of none", "?status=running"},
		{"campaign of 90 % and status of one run", "?campaignId=ninety&status=cancelled"},
		{"campaign of 90 % and phase of 1 %", "?campaignId=ninety&phase=one"},
		{"campaign of 1 % and status of 90 %", "?campaignId=one-percent&status=completed"},
		{"a minute in the past", "?since=2026-01-05T00:00:00Z&until=2026-01-05T00:01:00Z"},
		{"run of 100 agents", "/wide/runs/run-7"},
		{"run of 10,000 agents, first 1,000", "/tall/runs/tall"},
		{"summary of 10,000 executions, 100 runs", "/wide/summary"},
		{"summary of 10,000 executions, one run", "/tall/summary"},
		{"summary of 10,000 executions, 10,000 runs", "/one-percent/summary"},
	} {
		var took []time.Duration
		for range times {
			began := time.Now()
			r.get(b, kind.target)
			took = append(took, time.Since(began))
		}
		tell(kind.name, took)
		fmt.Println(r.plan(b, kind.target))
	}
	for _, filter := range []string{"campaignId=one-percent", "campaignId=ninety", "status=failed"} {
		tell("all pages of 500 of "+filter, r.walk(b, filter))
	}
}

func tell(name string, took []time.Duration) {
	slices.Sort(took)
	at := func(percent int) time.Duration {
		return took[(len(took)*percent+99)/100-1].Round(10 * time.Microsecond)
	}
	fmt.Printf("%-44s %9v %9v %9v\n", name, at(50), at(95), at(100))
}

// get asks the API and returns the answer, which must be 200.
func (r *reads) get(b *testing.B, target string) []byte {
	answer, err := http.Get(r.api + target)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d %.200s %v", target, answer.StatusCode, body, err)
	}
	return body
}

// walk asks for all pages of a listing and returns how long each took.
func (r *reads) walk(b *testing.B, filter string) []time.Duration {
	var took []time.Duration
	for cursor := ""; ; {
		began := time.Now()
		body := r.get(b, "?limit=500&"+filter+"&cursor="+url.QueryEscape(cursor))
		took = append(took, time.Since(began))
		var page struct{ NextCursor *string }
		if err := json.Unmarshal(body, &page); err != nil {
			b.Fatal(err)
		}
		if page.NextCursor == nil {
			return took
		}
		cursor = *page.NextCursor
	}
}

// plan returns how Postgres read the runs for a request: the scans of its statements, without the rest.
func (r *reads) plan(b *testing.B, target string) string {
	set := func(least string) {
		r.exec(b, "ALTER SYSTEM SET auto_explain.log_min_duration = "+least)
		r.exec(b, "SELECT pg_reload_conf()")
	}
	before := len(r.server.Log())
	set("0")
	defer set("-1")
	for { // connections that are in use read the setting after a moment
		r.get(b, target)
		var lines []string
		for line := range strings.Lines(r.server.Log()[before:]) {
			if strings.Contains(line, "Scan") && strings.Contains(line, "actual") {
				lines = append(lines, "      "+strings.TrimSpace(line))
			}
		}
		if len(lines) > 0 {
			return strings.Join(lines, "\n")
		}
	}
}

// giant sums up the greatest campaign and watches the memory of the process meanwhile.
func (r *reads) giant(b *testing.B) {
	for range 3 {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		peak, stop, stopped := before.HeapAlloc, make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					var now runtime.MemStats
					runtime.ReadMemStats(&now)
					peak = max(peak, now.HeapAlloc)
				}
			}
		}()
		began := time.Now()
		body := r.get(b, "/giant/summary")
		took := time.Since(began)
		close(stop)
		<-stopped
		var sum struct{ Executions, LatencyAgents int64 }
		if err := json.Unmarshal(body, &sum); err != nil || sum.Executions != sum.LatencyAgents {
			b.Fatalf("%s %v", body, err)
		}
		fmt.Printf("summary of %d executions: %v, heap at most %d MB more than before\n", sum.Executions, took.Round(time.Millisecond),
			(peak-before.HeapAlloc)>>20)
	}
}
