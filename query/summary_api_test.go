package query_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

// The summary of a campaign is what one counts by hand over all its agents, and no average of averages.
func TestSummaryOfACampaignIsExactOverAllItsRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.IdleTimeout = time.Minute })
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var (
		list      []events.Event
		latencies []int
		succeeded int
		cost      aggregate.Money
	)
	for r := range 7 {
		key := events.Key{CampaignID: "spring", RunID: fmt.Sprint("run", r), Phase: fmt.Sprint(r % 2)}
		for i := range 1 + random.IntN(40) {
			e := execution(key, fmt.Sprint("e", i), fmt.Sprint("agent", i), start, int64(random.IntN(100_000)))
			if i%5 == 0 { // retried: the first attempt costs, and its latency counts nowhere
				first := e
				first.ID, first.Status, first.LatencyMs = fmt.Sprint("first", i), events.Failed, 99_999_999
				cost = cost.Add(first.Cost.Nanos)
				e.Attempt = 2
				list = append(list, first)
			}
			if i%7 == 3 {
				e.Status = events.Failed
			} else {
				succeeded++
			}
			cost = cost.Add(e.Cost.Nanos)
			latencies = append(latencies, int(e.LatencyMs))
			list = append(list, e)
		}
	}
	other := events.Key{CampaignID: "autumn", RunID: "run0", Phase: "1"}
	w.apply(append(list, execution(other, "e", "a", start, 5))...)

	slices.Sort(latencies)
	n := len(latencies)
	sum := 0
	for _, ms := range latencies {
		sum += ms
	}
	rank := func(percent int) int { return latencies[(percent*n+99)/100-1] }
	want := map[string]any{
		"campaignId": "spring", "runs": 7, "runsRunning": 7, "runsStalled": 0, "agentsTotal": n, "agentsSuccessful": succeeded,
		"agentsFailed": n - succeeded, "executions": len(list), "costUSD": cost, "costComplete": true,
		"latencyAvgMs": (2*sum + n) / (2 * n), "latencyP50Ms": rank(50), "latencyP95Ms": rank(95), "latencyP99Ms": rank(99),
		"latencyMaxMs": latencies[n-1], "latencyAgents": n, "latencyUnknownRuns": 0,
		"successRate": aggregate.PercentOf(int64(succeeded), int64(n)), "createdAt": "2026-02-14T12:00:00Z",
	}
	t.Logf("seed %d", seed)
	w.get(campaign+"/spring/summary").has(t, want)
	w.get(campaign+"/summary?campaignId=spring").has(t, want)
	w.get(campaign+"/summary").has(t, map[string]any{"campaignId": nil, "runs": 8, "agentsTotal": n + 1})
	w.get(campaign+"/summary?campaignId=spring&phase=1").has(t, map[string]any{"runs": 3})
	w.now = start.Add(time.Hour)
	w.get(campaign+"/spring/summary").has(t, map[string]any{"runsRunning": 0, "runsStalled": 7, "agentsRunning": 0})
	w.get(campaign+"/summary?status=stalled").has(t, map[string]any{"runs": 8})
}

func TestSummarySaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, example))
	sealed := events.Key{CampaignID: "api-test-001", RunID: "sealed", Phase: "1"}
	w.apply(execution(sealed, "e1", "a", start, 40), events.Event{Key: sealed, ID: "f", Type: events.RunFinished,
		OccurredAt: start, Outcome: events.OutcomeCompleted})
	w.seal(sealed)
	w.get(campaign+"/api-test-001/summary").has(t, map[string]any{"runs": 2, "runsReported": 1, "latencyUnknownRuns": 1,
		"latencyAgents": 1, "latencyP95Ms": 40})
	// Of a run, where nobody can tell, nothing is said.
	w.get(campaign+"/api-test-001/runs/sealed").has(t, map[string]any{"agentsKnown": false, "agents": []any{},
		"sealedAt": "2026-02-14T12:00:00Z"})
	w.get(campaign+"/api-test-001/runs/sealed").object("total").has(t, map[string]any{"latencyP95Ms": 40})
	w.get(campaign+"/api-test-001/runs/api-run-001").has(t, map[string]any{"agentsKnown": false, "sealedAt": nil})
}

func TestSummaryOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.get(campaign+"/summary?since=2020-01-01T00:00:00Z").has(t, map[string]any{"runs": 0, "costUSD": 0, "costComplete": true,
		"latencyP95Ms": nil, "latencyAgents": 0, "successRate": nil, "createdAt": nil, "updatedAt": nil})
	w.wantProblem(http.StatusNotFound, w.send(http.MethodGet, campaign+"/nobody/summary", ""))
	w.get(campaign+"/nobody/summary?status=failed").has(t, map[string]any{"runs": 0})
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/c/summary?since=today&status=x", ""), "query.status", "query.since")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/%00/summary", ""), "path.campaignId")
}

// A database from before commits stored what they change, and runs that were amended where events are missing, are folded.
func TestLatenciesThatNoCommitStoredAreFoldedFromEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	key := events.Key{CampaignID: "c", RunID: "r", Phase: "1"}
	void := events.Event{Key: key, ID: "v", Type: events.ExecutionsVoided, OccurredAt: start, Voids: []string{"e2"}}
	w.apply(execution(key, "e1", "a", start, 10), execution(key, "e2", "b", start, 9000), execution(key, "e3", "c", start, 30), void)
	for _, forget := range []bool{false, true} {
		if forget {
			w.exec("UPDATE event_chunks SET latencies = NULL")
		}
		want := map[string]any{"latencyMaxMs": 30, "latencyP50Ms": 10, "latencyAvgMs": 20}
		w.get(campaign+"/c/summary").has(t, want)
		w.get(campaign+"/c/runs/r").object("total").has(t, want)
	}
	w.exec("UPDATE event_chunks SET latencies = x'0b'") // takes out what was never there
	w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, campaign+"/c/summary", ""))
}

func TestAgentsComeInPagesOverAllPhases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var list []events.Event
	for _, phase := range []string{"2", "1", "10"} {
		key := events.Key{CampaignID: "c", RunID: "r", Phase: phase}
		for i := range 7 {
			list = append(list, execution(key, fmt.Sprint("e", i), fmt.Sprint("agent-", i*3%7), start, int64(i)))
		}
	}
	w.apply(list...)
	all := w.get(campaign + "/c/runs/r").list("agents")
	if len(all) != 21 || all[0]["phase"] != "1" || all[20]["phase"] != "2" {
		t.Fatalf("agents %v", all)
	}
	for _, limit := range []int{1, 2, 6, 7, 8, 20, 21, 100} {
		var paged []object
		cursor := ""
		for {
			page := w.get(fmt.Sprintf("%s/c/runs/r?limit=%d%s", campaign, limit, cursor))
			if len(page.list("agents")) > limit {
				t.Fatalf("%d agents on a page of %d", len(page.list("agents")), limit)
			}
			page.object("total").has(t, map[string]any{"agentsTotal": 21})
			paged = append(paged, page.list("agents")...)
			if page["nextCursor"] == nil {
				break
			}
			cursor = "&cursor=" + page["nextCursor"].(string)
		}
		if jsonOf(paged) != jsonOf(all) {
			t.Errorf("pages of %d: %s", limit, jsonOf(paged))
		}
	}
	next := w.get(campaign + "/c/runs/r?limit=1")["nextCursor"].(string)
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/c/runs/other?cursor="+next, ""), "query.cursor")
	for _, cursor := range []string{"x", "AgAAAAAAAAAA_w", next + "AAAA_w"} {
		w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/c/runs/r?cursor="+cursor, ""), "query.cursor")
	}
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/c/runs/r?limit=10001", ""), "query.limit")
}

// seal drops the events of a closed run, as prune does.
func (w *world) seal(key events.Key) {
	w.t.Helper()
	m, _, err := w.store.Get(w.t.Context(), key.UUID())
	if err != nil {
		w.t.Fatal(err)
	}
	if n, err := w.store.Seal(w.t.Context(), []aggregate.Metrics{m}, w.clock()); n != 1 || err != nil {
		w.t.Fatalf("sealed %d: %v", n, err)
	}
}

// exec changes the store by hand.
func (w *world) exec(statement string) {
	w.t.Helper()
	id, err := w.store.Identity(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	db, err := sql.Open("sqlite", id.Database)
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.t.Context(), statement); err != nil {
		w.t.Fatal(err)
	}
}
