package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const deadLetters = "/api/deadletters"

func TestDeadLettersShowWhereAndWhyAndNothingOfTheMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.buryLetter("a.b/🚀", "r")
	answer := w.send(http.MethodGet, deadLetters, "").Body.String()
	want := `{"deadLetters":[{"stream":"RUN_EVENTS","epoch":1,"sequence":1,"campaignId":"a.b/🚀","runId":"r","reason":"invalid",` +
		`"field":"phase","detail":"phase is required","time":"2026-02-14T12:00:00Z"}],"nextCursor":null}`
	if strings.TrimSpace(answer) != want {
		t.Errorf("got %s", answer)
	}
}

func TestDeadLettersComeNewestFirstPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i := range 7 {
		w.now = start.Add(time.Duration(i) * time.Minute)
		w.buryLetter(fmt.Sprint("c", i%2), fmt.Sprint("r", i/4))
	}
	for query, want := range map[string]string{
		"?":                                   "7 6 5 4 3 2 1",
		"?campaignId=c0":                      "7 5 3 1",
		"?campaignId=c0&runId=r1":             "7 5",
		"?runId=r2":                           "",
		"?since=2026-02-14T12:04:00Z":         "7 6 5",
		"?limit=2":                            "7 6 5 4 3 2 1",
		"?limit=1&campaignId=c1&runId=":       "6 4 2",
		"?limit=500&status=odd&cursor=":       "7 6 5 4 3 2 1",
		"?limit=3&since=2026-02-14T12:03:00Z": "7 6 5 4",
	} {
		var got []string
		for target := deadLetters + query; target != ""; {
			page := w.get(target)
			for _, l := range page.list("deadLetters") {
				got = append(got, jsonOf(l["sequence"]))
			}
			target = ""
			if cursor, more := page["nextCursor"].(string); more {
				target = deadLetters + query + "&cursor=" + cursor
				w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, deadLetters+"?campaignId=other&cursor="+cursor, ""), "query.cursor")
				w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?cursor="+cursor, ""), "query.cursor")
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestDeadLettersRefuseBadParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, deadLetters+"?limit=501&campaignId=a%00&runId=%FF&since=now&cursor=x", ""),
		"query.limit", "query.campaignId", "query.runId", "query.since")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, deadLetters+"?cursor=x", ""), "query.cursor")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, deadLetters+"?runId=%zz", ""))
}

func TestDeadLettersAre503WhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, deadLetters, ""))
}
