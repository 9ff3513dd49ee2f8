package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"strconv"
	"testing"
)

const benchmarkDir = "../../testdata/agent-benchmark/"

// printed is published.json: what the authors of the benchmark printed. Numbers stay text.
type printed struct {
	Cases, Successes, PromptTokens, ResponseTokens, TotalDurationMs int64
	AvgDurationMs, TotalCostUSD                                     json.Number
	PerModel                                                        []struct {
		Model                                  string
		AvgLatencySeconds, TotalLatencySeconds json.Number
		CostUSD                                string
		PromptTokens, ResponseTokens           int64
	}
}

// benchmarkRecord is a record of the API with its numbers as text.
type benchmarkRecord struct {
	RunID, Phase, Status           string
	Executions, AgentsTotal        int64
	AgentsSuccessful, AgentsFailed int64
	TokensIn, TokensOut            int64
	CostUSD, LatencyAvgMs          json.Number
	CostComplete                   bool
}

// testBenchmark publishes real runs and compares what the API answers with what others computed from them.
func testBenchmark(t *testing.T, s *system) {
	t.Run("dev", func(t *testing.T) {
		t.Parallel()
		p := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0"},
			"dev", "--no-agents")
		s.publishBenchmark(t, p, map[string]string{"NATS_URL": p.nats})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		w := s.onPostgres(t)
		s.publishBenchmark(t, w.run(t), w.environ)
	})
}

// publishBenchmark publishes the file twice, of which the second time changes nothing, and judges what comes out.
func (s *system) publishBenchmark(t *testing.T, p *program, environ map[string]string) {
	t.Helper()
	for range 2 {
		s.call(t, environ, "publish", benchmarkDir+"events.ndjson")
	}
	text, err := os.ReadFile(benchmarkDir + "published.json")
	if err != nil {
		t.Fatal(err)
	}
	var want printed
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	p.reaches(t, uint64(want.Cases), patience)
	var answer struct{ Metrics []benchmarkRecord }
	p.read(t, "/api/metrics/campaign?campaignId=fs-agent-benchmark&limit=20", &answer)
	records := make(map[string]benchmarkRecord)
	for _, r := range answer.Metrics {
		records[r.RunID] = r
	}
	if len(answer.Metrics) != len(want.PerModel) || len(records) != len(want.PerModel) {
		t.Fatalf("%d records, want one for each of %d models: %+v", len(answer.Metrics), len(want.PerModel), answer.Metrics)
	}
	want.judgeModels(t, p, records)
	want.judgeTotal(t, p, records)
	t.Logf("%d models and their total agree: %d executions, %d successes, $%s", len(records), want.Cases, want.Successes, want.TotalCostUSD)
}

// judgeModels compares each record to the last digit that was printed for its model.
func (want *printed) judgeModels(t *testing.T, p *program, records map[string]benchmarkRecord) {
	t.Helper()
	for _, w := range want.PerModel {
		r := records[w.Model]
		same(t, w.Model+" cost", rat(t, r.CostUSD.String()).FloatString(6), w.CostUSD)
		same(t, w.Model+" prompt tokens", r.TokensIn, w.PromptTokens)
		same(t, w.Model+" response tokens", r.TokensOut, w.ResponseTokens)
		same(t, w.Model+" average latency", seconds(rat(t, r.LatencyAvgMs.String())), twoDigits(t, w.AvgLatencySeconds))
		same(t, w.Model+" total latency", seconds(new(big.Rat).SetInt64(p.latencies(t, w.Model))), twoDigits(t, w.TotalLatencySeconds))
		same(t, w.Model+" agents", r.AgentsTotal, r.AgentsSuccessful+r.AgentsFailed)
		same(t, w.Model+" executions", r.Executions, want.Cases/int64(len(want.PerModel)))
		same(t, w.Model+" has all costs", r.CostComplete, true)
	}
}

// judgeTotal compares the sums over all records with the totals, which were printed in full.
func (want *printed) judgeTotal(t *testing.T, p *program, records map[string]benchmarkRecord) {
	t.Helper()
	cost := new(big.Rat)
	var executions, successes, in, out, latency int64
	for model, r := range records {
		cost.Add(cost, rat(t, r.CostUSD.String()))
		executions += r.Executions
		successes += r.AgentsSuccessful
		in += r.TokensIn
		out += r.TokensOut
		latency += p.latencies(t, model)
	}
	if cost.Cmp(rat(t, want.TotalCostUSD.String())) != 0 {
		t.Errorf("cost is %s, want %s", cost.FloatString(9), want.TotalCostUSD)
	}
	same(t, "executions", executions, want.Cases)
	same(t, "successes", successes, want.Successes)
	same(t, "prompt tokens", in, want.PromptTokens)
	same(t, "response tokens", out, want.ResponseTokens)
	same(t, "total duration", latency, want.TotalDurationMs)
	// What was printed is the float next to the exact average, so the comparison is one of floats.
	average, _ := big.NewRat(latency, executions).Float64()
	same(t, "average duration", strconv.FormatFloat(average, 'f', -1, 64), want.AvgDurationMs.String())
}

// latencies adds up what the agents of a run took.
func (p *program) latencies(t *testing.T, run string) int64 {
	t.Helper()
	var detail struct{ Agents []struct{ LatencyMs int64 } }
	p.read(t, fmt.Sprintf("/api/metrics/campaign/fs-agent-benchmark/runs/%s", url.PathEscape(run)), &detail)
	var sum int64
	for _, a := range detail.Agents {
		sum += a.LatencyMs
	}
	return sum
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func rat(t *testing.T, text string) *big.Rat {
	t.Helper()
	x, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return x
}

// seconds prints milliseconds as the benchmark did.
func seconds(ms *big.Rat) string { return new(big.Rat).Quo(ms, big.NewRat(1000, 1)).FloatString(2) }

// twoDigits is a printed number with the zeros that JSON left out.
func twoDigits(t *testing.T, n json.Number) string {
	t.Helper()
	return rat(t, n.String()).FloatString(2)
}
