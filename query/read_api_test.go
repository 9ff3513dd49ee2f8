package query_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
)

func TestPagesFollowEachOtherWithoutGapOrRepeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	want := map[string]bool{}
	for i := range 23 {
		k := events.Key{CampaignID: "c", RunID: fmt.Sprintf("run-%02d", i), Phase: "1"}
		w.apply(execution(k, "e", "a", start.Add(time.Duration(i/4)*time.Second), 5)) // four share a time
		want[k.RunID] = true
	}
	w.apply(execution(events.Key{CampaignID: "other", RunID: "x", Phase: "1"}, "e", "a", start, 5))
	target, pages, last := campaign+"?campaignId=c&limit=5", 0, "9"
	for target != "" {
		page := w.get(target)
		pages++
		for _, m := range page.list("metrics") {
			if !want[m["runId"].(string)] {
				t.Errorf("%v comes again or does not belong", m["runId"])
			}
			delete(want, m["runId"].(string))
			if at := m["createdAt"].(string) + m["runKey"].(string); at >= last {
				t.Errorf("%s comes behind %s", at, last)
			} else {
				last = at
			}
		}
		target = ""
		if cursor, more := page["nextCursor"].(string); more {
			target = campaign + "?campaignId=c&limit=5&cursor=" + cursor
			w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?campaignId=other&cursor="+cursor, ""),
				"query.cursor")
		}
	}
	if pages != 5 || len(want) != 0 {
		t.Errorf("%d pages, missing %v", pages, want)
	}
}

func TestFullLastPageHasNoCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.apply(execution(events.Key{CampaignID: "c", RunID: "r", Phase: "1"}, "e", "a", start, 5))
	w.get(campaign+"?limit=1").has(t, map[string]any{"nextCursor": nil})
	if got := strings.TrimSpace(w.send(http.MethodGet, campaign+"?campaignId=none", "").Body.String()); got != `{"metrics":[],"nextCursor":null}` {
		t.Errorf("nothing found: %s", got)
	}
}

func TestEveryFilterSelects(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.IdleTimeout = 30 * time.Minute })
	add := func(campaignID, runID, phase string, at time.Time, extra ...events.Event) {
		k := events.Key{CampaignID: campaignID, RunID: runID, Phase: phase}
		list := []events.Event{execution(k, "e", "a", at, 5)}
		for _, e := range extra {
			e.Key, e.ID = k, "x"
			list = append(list, e)
		}
		w.apply(list...)
	}
	outcome := func(o events.Outcome) events.Event {
		return events.Event{Type: events.RunFinished, Outcome: o, OccurredAt: start.Add(time.Hour)}
	}
	add("a.b/🚀", "old", "1", start)
	w.now = start.Add(31 * time.Minute)
	add("c", "new", "1", start.Add(time.Second))
	add("c", "done", "2", start.Add(2*time.Second), outcome(events.OutcomeCompleted))
	add("c", "bad", "3", start.Add(3*time.Second), outcome(events.OutcomeFailed))
	add("c", "off", "4", start.Add(4*time.Second), outcome(events.OutcomeCancelled))
	for filter, want := range map[string]string{
		"": "off bad done new old",
		"campaignId=" + url.QueryEscape("a.b/🚀"): "old",
		"runId=done":                 "done",
		"phase=1":                    "new old",
		"status=running":             "new",
		"status=stalled":             "old",
		"status=completed":           "done",
		"status=failed":              "bad",
		"status=cancelled":           "off",
		"since=2026-02-14T12:00:02Z": "off bad done",
		"until=2026-02-14T12:00:02Z": "new old",
		"since=2026-02-14T13:00:01%2B01:00&until=2026-02-14T12:00:03Z": "done new",
		"campaignId=c&phase=1&status=running":                          "new",
		"campaignId=C":                                                 "",
	} {
		var got []string
		for _, m := range w.get(campaign + "?" + filter).list("metrics") {
			got = append(got, m["runId"].(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", filter, got, want)
		}
	}
	w.get(campaign + "?runId=old").list("metrics")[0].has(t, map[string]any{"status": "stalled"})
}

func TestRunShowsPhasesTotalAgentsAndDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.IdleTimeout = time.Minute })
	one := events.Key{CampaignID: "a.b/🚀", RunID: "..", Phase: "1"}
	two := one
	two.Phase = "2"
	retried := execution(two, "e2", "writer", start.Add(2*time.Second), 400)
	retried.Attempt = 2
	failed := execution(two, "e1", "writer", start.Add(time.Second), 100)
	failed.Status, failed.Error = events.Failed, "boom"
	w.apply(execution(one, "e1", "planner", start, 200),
		events.Event{Key: one, ID: "f", Type: events.RunFinished, Outcome: events.OutcomeCompleted, OccurredAt: start.Add(time.Minute)},
		failed, retried)
	w.buryLetter(one.CampaignID, one.RunID)
	w.now = start.Add(time.Hour)

	target := campaign + "/" + events.EncodeToken(one.CampaignID) + "/runs/" + events.EncodeToken(one.RunID)
	got := w.get(target)
	phases := got.list("metrics")
	if len(phases) != 2 {
		t.Fatalf("%d phases", len(phases))
	}
	phases[0].has(t, map[string]any{"phase": "1", "status": "completed"})
	phases[1].has(t, map[string]any{"phase": "2", "status": "stalled", "runKey": two.UUID()})
	got.object("total").has(t, map[string]any{
		"campaignId": "a.b/🚀", "runId": "..", "agentsTotal": 2, "agentsSuccessful": 2, "executions": 3,
		"costUSD": aggregate.Money{}.Add(3), "costComplete": true, "successRate": 100,
		"latencyAvgMs": 300, "latencyP50Ms": 200, "latencyMaxMs": 400,
		"createdAt": "2026-02-14T12:00:00Z", "finishedAt": nil, "updatedAt": "2026-02-14T12:00:00Z",
	})
	agents := got.list("agents")
	if len(agents) != 2 {
		t.Fatalf("%d agents", len(agents))
	}
	agents[0].has(t, map[string]any{"phase": "1", "agentId": "planner", "attempts": 1, "agentName": nil})
	agents[1].has(t, map[string]any{"phase": "2", "agentId": "writer", "attempts": 2, "status": "succeeded", "error": nil,
		"latencyMs": 400, "occurredAt": "2026-02-14T12:00:02Z"})
	got.has(t, map[string]any{"deadLetters": 1})
}

func TestRunOfWhichOnlyDeadLettersAreKnownIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.buryLetter("c", "r")
	got := strings.TrimSpace(w.send(http.MethodGet, campaign+"/c/runs/r", "").Body.String())
	if got != `{"metrics":[],"total":null,"agents":[],"nextCursor":null,"agentsKnown":true,"sealedAt":null,"deadLetters":1}` {
		t.Errorf("got %s", got)
	}
	w.wantProblem(http.StatusNotFound, w.send(http.MethodGet, campaign+"/c/runs/R", ""))
}

func TestRunRefusesNamesThatNoRunHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/%00/runs/"+strings.Repeat("x", 65), ""),
		"path.campaignId", "path.runId")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"/%FF/runs/r", ""), "path.campaignId")
}
