package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	envelope  = "application/cloudevents+json"
	envelopes = "application/cloudevents-batch+json"
)

// enveloped puts an event into a CloudEvent.
func enveloped(id, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/agents","type":"com.example.agent.finished",`+
		`"time":"2026-02-14T10:30:00Z","datacontenttype":"application/json","data":%s}`, id, data)
}

// bareEvent is an execution that has neither id nor time.
func bareEvent() string {
	bare := strings.Replace(finishedEvent("gone"), `"id":"gone",`, "", 1)
	return strings.Replace(bare, `"occurredAt":"2026-02-14T11:00:00Z",`, "", 1)
}

func TestCloudEventsComeInEveryMode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body   string
		header []string
		ids    string
	}{
		"structured": {enveloped("e 1/🚀", bareEvent()),
			[]string{"Content-Type", envelope + "; charset=utf-8"}, "e 1/🚀"},
		"structured, with an id inside": {enveloped("other", finishedEvent("e1")), []string{"Content-Type", envelope}, "e1"},
		"structured, among ce- headers": {enveloped("e1", bareEvent()),
			[]string{"Content-Type", envelope, "ce-specversion", "1.0", "ce-id", "other", "ce-time", "2026-02-14T09:00:00Z"}, "e1"},
		"batch": {"[" + enveloped("e1", bareEvent()) + ",\n" + enveloped("e2", bareEvent()) + "]",
			[]string{"Content-Type", envelopes}, "e1 e2"},
		"array of envelopes and events": {"[" + enveloped("e1", bareEvent()) + "," + finishedEvent("e2") + "]", nil, "e1 e2"},
		"binary": {bareEvent(), []string{"Content-Type", "application/json; charset=utf-8", "ce-specversion", "1.0",
			"ce-type", "x", "ce-source", "/agents", "ce-id", "e%201%2F%F0%9F%9A%80%25", "ce-time", "2026-02-14T10:30:00Z"}, "e 1/🚀%"},
		"binary, in quotes": {bareEvent(),
			[]string{"ce-specversion", "1.0", "ce-id", `"e \"1\""`, "ce-time", "2026-02-14T10:30:00Z"}, `e "1"`},
		"binary, with an id inside": {finishedEvent("e1"), []string{"ce-specversion", "1.0", "ce-id", "other"}, "e1"},
	} {
		w := newWorld(t, nil)
		got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, c.body, c.header...))
		var ids []string
		for _, e := range got.list("events") {
			ids = append(ids, e["id"].(string))
		}
		if strings.Join(ids, " ") != c.ids {
			t.Errorf("%s: ids %q, want %s", name, ids, c.ids)
		}
		at := "2026-02-14T10:30:00Z"
		if strings.Contains(name, "inside") {
			at = "2026-02-14T11:00:00Z" // its own
		}
		w.get(campaign).list("metrics")[0].has(t, map[string]any{"executions": len(ids), "createdAt": at})
	}
}

// What is no CloudEvent in the mode that it claims is refused as a whole, and says which mode that is.
func TestCloudEventsInNoModeAreProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	one, all := enveloped("e1", bareEvent()), "["+finishedEvent("e1")+","+finishedEvent("e2")+"]"
	binary := []string{"ce-specversion", "1.0", "ce-id", "e1", "ce-time", "2026-02-14T10:30:00Z"}
	for name, c := range map[string]struct {
		status int
		body   string
		header []string
		says   string
	}{
		"an array, structured": {400, "[" + one + "]", []string{"Content-Type", envelope}, envelopes},
		"one, as a batch":      {400, one, []string{"Content-Type", envelopes}, "array"},
		"an empty batch":       {400, "[]", []string{"Content-Type", envelopes}, "no event"},
		"a broken batch":       {400, "[" + one, []string{"Content-Type", envelopes}, "not valid JSON"},
		"an array, binary":     {400, all, binary, "one event"},
		"lines, binary":        {400, one + "\n" + one, append(binary, "Content-Type", "application/x-ndjson"), "one event"},
		"nothing, binary":      {400, "", binary, "no event"},
		"no ce-specversion":    {400, bareEvent(), binary[2:], "ce-specversion"},
		"XML":                  {415, "<event/>", []string{"Content-Type", "application/cloudevents+xml"}, "application/cloudevents+json"},
		"text, binary":         {415, bareEvent(), append(binary, "Content-Type", "text/plain"), "application/json"},
	} {
		p := w.wantProblem(c.status, w.send(http.MethodPost, eventsPath, c.body, c.header...))
		if detail := p["detail"].(string); !strings.Contains(detail, c.says) {
			t.Errorf("%s: %s", name, detail)
		}
	}
	if w.position.Sequence != 0 {
		t.Errorf("%d messages were published", w.position.Sequence)
	}
}

func TestRefusedCloudEventsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	bad := strings.Replace(bareEvent(), "succeeded", "done", 1)
	batch := "[" + strings.Join([]string{
		enveloped("e1", bareEvent()),
		enveloped("e2", bad),
		enveloped("e3", strings.Replace(finishedEvent("inside"), "succeeded", "done", 1)),
		enveloped("e4", `"text"`),
		enveloped(strings.Repeat("x", 129), bareEvent()),
		enveloped("e6", `{"data":`+bareEvent()+`}`),
	}, ",") + "]"
	got := w.want(http.StatusAccepted, w.send(http.MethodPost, eventsPath, batch, "Content-Type", envelopes))
	if s := got.statuses(); s != "accepted refused refused refused refused refused" {
		t.Errorf("statuses %s", s)
	}
	verdicts := got.list("events")
	verdicts[1].has(t, map[string]any{"id": "e2", "reason": "invalid", "field": "status"})
	verdicts[2].has(t, map[string]any{"id": "inside", "field": "status"})
	verdicts[3].has(t, map[string]any{"id": "e4", "reason": "malformed"})
	verdicts[4].has(t, map[string]any{"id": nil, "field": "id"})
	verdicts[5].has(t, map[string]any{"id": "e6", "field": "campaignId"})

	long := []string{"ce-specversion", "1.0", "ce-time", "2026-02-14T10:30:00Z", "ce-id"}
	for _, id := range []string{strings.Repeat("x", 10_000), "%00", "%ff", ""} {
		p := w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, eventsPath, bareEvent(), append(long, id)...))
		p.list("events")[0].has(t, map[string]any{"reason": "invalid", "field": "id"})
	}
}
