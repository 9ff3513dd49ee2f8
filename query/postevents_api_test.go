package query_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

const eventsPath = "/api/events"

var eventsRun = events.Key{CampaignID: "c.1/🚀", RunID: "r", Phase: "1"}

// finishedEvent is an execution as a client writes it; more replaces or adds properties.
func finishedEvent(id string, more ...string) string {
	return fmt.Sprintf(`{"id":%q,"campaignId":%q,"runId":%q,"phase":%q,"occurredAt":"2026-02-14T11:00:00Z","agentId":%q,`+
		`"status":"succeeded","latencyMs":5,"costUSD":0.000000001%s}`, id, eventsRun.CampaignID, eventsRun.RunID, eventsRun.Phase, id,
		strings.Join(append([]string{""}, more...), ","))
}

// statuses are those of the verdicts.
func (o object) statuses() string {
	var all []string
	for _, e := range o.list("events") {
		all = append(all, e["status"].(string))
	}
	return strings.Join(all, " ")
}

func TestEventsComeAloneAsAnArrayOrAsLines(t *testing.T) {
	t.Parallel()
	one, two := finishedEvent("e1"), finishedEvent("e2")
	for name, c := range map[string]struct {
		kind, body string
		count      int
	}{
		"alone":            {"application/json", one, 1},
		"alone, spaced":    {"application/json; charset=utf-8", "\n " + strings.ReplaceAll(one, ",", ",\n") + "\n", 1},
		"array":            {"application/json", "[" + one + ",\n" + two + "]", 2},
		"array with space": {"application/json", " \r\n\t[ " + one + " ] ", 1},
		"lines":            {"application/x-ndjson", one + "\n" + two + "\n", 2},
		"other name":       {"application/ndjson; charset=utf-8", one + "\r\n\r\n \n" + two, 2},
	} {
		w := newWorld(t, nil)
		got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, c.body, "Content-Type", c.kind))
		got.has(t, map[string]any{"accepted": c.count, "duplicates": 0, "refused": 0})
		for i, e := range got.list("events") {
			e.has(t, map[string]any{"index": i, "id": fmt.Sprint("e", i+1), "status": "accepted", "runKey": eventsRun.UUID(),
				"stream": stream, "sequence": i + 1})
		}
		if ids := w.storedIDs(eventsRun); len(ids) != c.count {
			t.Errorf("%s: stored are %q", name, ids)
		}
		w.get(campaign).list("metrics")[0].has(t, map[string]any{"executions": c.count})
	}
}

func TestMoneyOfEventsIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	body := `[` + finishedEvent("e1", `"costUSD":1`)
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, body+`]`)) // a name twice
	event := strings.Replace(finishedEvent("e1"), "0.000000001", "987654.123456789", 1)
	w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, event))
	if text := w.send(http.MethodGet, campaign, "").Body.String(); !strings.Contains(text, `"costUSD":987654.123456789`) {
		t.Errorf("shows %s", text)
	}
}

func TestEachEventHasAVerdictOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	lines := []string{
		finishedEvent("e1"),
		`{"id":"e2","secret":"hunter2"}`,
		`{"id":"e3"`,
		finishedEvent("e1"),
		`[]`,
		finishedEvent("e4", `"type":"agent.vanished"`),
		finishedEvent("e5", `"error":"`+strings.Repeat("x", events.MaxSize)+`"`),
		finishedEvent("e\xff"),
		finishedEvent("e6"),
	}
	got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, strings.Join(lines, "\n"), "Content-Type", "application/x-ndjson"))
	got.has(t, map[string]any{"accepted": 2, "duplicates": 1, "refused": 6})
	if s := got.statuses(); s != "accepted refused refused duplicate refused refused refused refused accepted" {
		t.Errorf("statuses %s", s)
	}
	verdicts := got.list("events")
	verdicts[1].has(t, map[string]any{"id": "e2", "reason": "invalid", "field": "campaignId"})
	if detail := verdicts[1]["detail"].(string); !strings.Contains(detail, "runId is required; phase is required") {
		t.Errorf("detail %q", detail)
	}
	verdicts[2].has(t, map[string]any{"id": nil, "reason": "malformed"})
	verdicts[3].has(t, map[string]any{"id": "e1", "sequence": 1})
	verdicts[5].has(t, map[string]any{"id": "e4", "reason": "unknown_type", "field": "type"})
	verdicts[6].has(t, map[string]any{"id": "e5", "reason": "too_large"})
	verdicts[7].has(t, map[string]any{"reason": "malformed"})
	if text := jsonOf(got); strings.Contains(text, "hunter2") || strings.Contains(text, "runKey\":null") {
		t.Errorf("says %s", text)
	}
}

// TestArrayWithABadElementIsJudgedByElements: what is valid JSON can be told apart, what is not cannot.
func TestArrayWithABadElementIsJudgedByElements(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	good := finishedEvent("e1")
	got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, `[5,`+good+`,{"a":1,"a":2},null,{"a":"`+"\xff"+`"}]`))
	if s := got.statuses(); s != "refused accepted refused refused refused" {
		t.Errorf("statuses %s", s)
	}
	for _, body := range []string{`[` + good, `[` + good + `,]`, `[` + good + ` ` + good + `]`, `[` + good + `}`, `[` + good + `]x`,
		`[{]`, `[`, `]`, `[` + good + `][` + good + `]`, `[]`, ``, " \n", good + "\n" + good, strings.Repeat("[", 20_000)} {
		w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, body))
	}
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, "\n\n", "Content-Type", "application/x-ndjson"))
	if w.position.Sequence != 1 {
		t.Errorf("%d messages were published", w.position.Sequence)
	}
}

func TestRequestWhoseEventsAreAllRefusedIsAProblemWithVerdicts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, `[{},5]`))
	p.has(t, map[string]any{"accepted": 0, "refused": 2})
	if s := p.statuses(); s != "refused refused" {
		t.Errorf("statuses %s", s)
	}
}

func TestEventsBeyondTheLimitsAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	list := make([]string, 1001)
	for i := range list {
		list[i] = finishedEvent(fmt.Sprint(i))
	}
	for kind, body := range map[string]string{
		"application/json":     "[" + strings.Join(list, ",") + "]",
		"application/x-ndjson": strings.Join(list, "\n"),
		"application/ndjson":   strings.Repeat(" ", 5_000_001),
	} {
		w.wantProblem(http.StatusRequestEntityTooLarge, w.send(http.MethodPost, eventsPath, body, "Content-Type", kind))
	}
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonl"} {
		w.wantProblem(http.StatusUnsupportedMediaType, w.send(http.MethodPost, eventsPath, list[0], "Content-Type", kind))
	}
	if w.position.Sequence != 0 {
		t.Errorf("%d messages were published", w.position.Sequence)
	}
	full := strings.Join(list[:1000], "\n")
	full += strings.Repeat("\n", 5_000_000-len(full))
	got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, full, "Content-Type", "application/x-ndjson"))
	got.has(t, map[string]any{"accepted": 1000})
}

func TestEventsThatTheStreamDoesNotConfirmAre503AndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.away, w.room = errors.New("maximum bytes exceeded"), 2
	body := "[" + finishedEvent("e1") + ",{}," + finishedEvent("e2") + "," + finishedEvent("e3") + "]"
	got := w.send(http.MethodPost, eventsPath, body)
	p := w.wantProblem(http.StatusServiceUnavailable, got)
	if got.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	p.has(t, map[string]any{"accepted": 2, "refused": 1, "unconfirmed": 1})
	if s := p.statuses(); s != "accepted refused accepted unconfirmed" {
		t.Errorf("statuses %s", s)
	}
	if log := w.log.String(); strings.Count(log, "request failed") != 1 || !strings.Contains(log, "maximum bytes exceeded") {
		t.Errorf("log: %s", log)
	}
	w.away = nil
	again := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, body))
	if s := again.statuses(); s != "duplicate refused duplicate accepted" {
		t.Errorf("statuses %s", s)
	}
	w.get(campaign).list("metrics")[0].has(t, map[string]any{"executions": 3})
}

func TestEventsAreJudgedByTheClockOfTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	late := strings.Replace(finishedEvent("e1"), "2026-02-14T11", "2026-02-15T13", 1)
	w.want(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, late)).list("events")[0].has(t, map[string]any{"field": "occurredAt"})
}
