package aggregate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

const benchmarkData = "../testdata/agent-benchmark/"

// result is one line of results.jsonl. Numbers stay as they were written.
type result struct {
	Model, Task, LastActionAt                string
	Repetition                               int
	Success                                  bool
	DurationMs, PromptTokens, ResponseTokens json.RawMessage
	FilesWritten                             json.RawMessage
	CostUSD                                  json.RawMessage
}

// wire writes the result as an event, as the README of the data says.
func (r result) wire() ([]byte, error) {
	status := events.Failed
	if r.Success {
		status = events.Succeeded
	}
	agent := r.Task + "/" + strconv.Itoa(r.Repetition)
	return json.Marshal(struct {
		ID              string          `json:"id"`
		CampaignID      string          `json:"campaignId"`
		RunID           string          `json:"runId"`
		Phase           string          `json:"phase"`
		OccurredAt      string          `json:"occurredAt"`
		AgentID         string          `json:"agentId"`
		Status          events.Status   `json:"status"`
		LatencyMs       json.RawMessage `json:"latencyMs"`
		TokensIn        json.RawMessage `json:"tokensIn"`
		TokensOut       json.RawMessage `json:"tokensOut"`
		AssetsGenerated json.RawMessage `json:"assetsGenerated"`
		CostUSD         json.RawMessage `json:"costUSD"`
		Model           string          `json:"model"`
	}{r.Model + "/" + agent, "fs-agent-benchmark", r.Model, "bench", r.LastActionAt, agent, status, r.DurationMs,
		r.PromptTokens, r.ResponseTokens, r.FilesWritten, r.CostUSD, r.Model})
}

// benchmarkLines makes the events of results.jsonl, one a line.
func benchmarkLines(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(benchmarkData + "results.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for line := range bytes.Lines(raw) {
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		event, err := r.wire()
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, event...), '\n')
	}
	return out
}

func TestBenchmarkDataIsCurrent(t *testing.T) {
	want := benchmarkLines(t)
	if *update {
		if err := os.WriteFile(benchmarkData+"events.ndjson", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(benchmarkData + "events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("events.ndjson is not what results.jsonl gives; run the test with -update")
	}
}

// published is published.json. The totals come as numbers with more digits than a float has.
type published struct {
	Cases, Successes, TotalDurationMs, PromptTokens, ResponseTokens int64
	AvgDurationMs, TotalCostUSD                                     json.Number
	PerModel                                                        []struct {
		Model                                  string
		AvgLatencySeconds, TotalLatencySeconds json.Number
		CostUSD                                string
		PromptTokens, ResponseTokens           int64
	}
}

func TestBenchmarkDataAgreesWithWhatItsAuthorsPublished(t *testing.T) {
	raw, err := os.ReadFile(benchmarkData + "published.json")
	if err != nil {
		t.Fatal(err)
	}
	var want published
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	perModel := map[string][]events.Event{}
	var all []events.Event
	for line := range bytes.Lines(benchmarkLines(t)) {
		e, rejected := events.Decode(events.Message{Data: line})
		if rejected != nil {
			t.Fatalf("%s: %v", line, rejected)
		}
		perModel[e.RunID] = append(perModel[e.RunID], e)
		// Over all models an agent of the same name is another one.
		e.RunID, e.AgentID = "all", e.ID
		all = append(all, e)
	}
	if len(perModel) != len(want.PerModel) {
		t.Errorf("%d models, want %d", len(perModel), len(want.PerModel))
	}
	for _, w := range want.PerModel {
		m := foldRun(t, perModel[w.Model])
		equal(t, w.Model+" cost", rounded(m.CostUSD, 6), w.CostUSD)
		equal(t, w.Model+" prompt tokens", m.TokensIn, w.PromptTokens)
		equal(t, w.Model+" response tokens", m.TokensOut, w.ResponseTokens)
		equal(t, w.Model+" average latency", seconds(*m.LatencyAvgMs), printed(t, w.AvgLatencySeconds, 2))
		equal(t, w.Model+" total latency", seconds(total(perModel[w.Model])), printed(t, w.TotalLatencySeconds, 2))
	}
	m := foldRun(t, all)
	equal(t, "cases", *m.Executions, want.Cases)
	equal(t, "successes", m.AgentsSuccessful, want.Successes)
	equal(t, "failures", m.AgentsFailed, want.Cases-want.Successes)
	equal(t, "cost", m.CostUSD.String(), want.TotalCostUSD.String())
	equal(t, "prompt tokens", m.TokensIn, want.PromptTokens)
	equal(t, "response tokens", m.TokensOut, want.ResponseTokens)
	equal(t, "total duration", total(all), want.TotalDurationMs)
	equal(t, "average duration", fmt.Sprint(*m.LatencyAvgMs), printed(t, want.AvgDurationMs, 0))
}

// foldRun folds the events of one run, and has the oracle check the record.
func foldRun(t *testing.T, list []events.Event) aggregate.Metrics {
	t.Helper()
	r := aggregate.NewRun(list[0].Key)
	for i := range list {
		r.Apply(&list[i])
	}
	checkRecord(t, r.Metrics(), list)
	slices.Reverse(list)
	checkRecord(t, r.Metrics(), list)
	return r.Metrics()
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func total(list []events.Event) int64 {
	var ms int64
	for _, e := range list {
		ms += e.LatencyMs
	}
	return ms
}

// rounded prints an exact amount with so many fraction digits, half away from zero.
func rounded(m aggregate.Money, digits int) string {
	return new(big.Rat).SetFrac(m.Nanos(), big.NewInt(int64(events.NanosPerUSD))).FloatString(digits)
}

func seconds(ms int64) string { return big.NewRat(ms, 1000).FloatString(2) }

// printed is a published number with so many fraction digits: JSON left zeros at the end out.
func printed(t *testing.T, n json.Number, digits int) string {
	t.Helper()
	x, ok := new(big.Rat).SetString(n.String())
	if !ok {
		t.Fatalf("%s is no number", n)
	}
	return x.FloatString(digits)
}
