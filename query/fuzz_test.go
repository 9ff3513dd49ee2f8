package query

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events"
)

// FuzzQuery: whatever stands behind the question mark is a question or a problem with status 400.
func FuzzQuery(f *testing.F) {
	f.Add("limit=5&campaignId=c&runId=r&phase=1&status=running&since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "")
	f.Add("format=csv&limit=90000", "text/csv;q=0.5,*/*")
	f.Add("cursor=AQ&format=xml&format=csv&limit=-0", ";;q=")
	f.Add("%zz&&=&since=%20&runId=%FF", "\x00")
	f.Add("lastEventId=2026-01-01T00:00:00.123456Z&limit=0", "a/b;q=1e999")
	f.Fuzz(func(t *testing.T, rawQuery, accept string) {
		problemOf := func(err error) {
			var p *huma.ErrorModel
			if err != nil && (!errors.As(err, &p) || p.Status != http.StatusBadRequest || p.Detail == "") {
				t.Errorf("refused with %#v", err)
			}
		}
		l, err := parseListing(rawQuery, testStart)
		problemOf(err)
		if err == nil && (l.limit < 1 || l.limit > maxLimit) {
			t.Errorf("limit %d", l.limit)
		}
		_, _, limit, err := parseLetterListing(rawQuery)
		problemOf(err)
		if err == nil && (limit < 1 || limit > maxLimit) {
			t.Errorf("limit %d", limit)
		}
		p, err := parseParameters(rawQuery)
		problemOf(err)
		if err == nil && p.format(accept).name == "" {
			t.Error("no format")
		}
		_, err = parseStream(&streamInput{rawQuery: rawQuery, lastEventID: accept}, testStart)
		problemOf(err)
	})
}

// FuzzEvents: whatever is posted as events has a verdict for each, or is a problem as a whole.
func FuzzEvents(f *testing.F) {
	for _, kind := range []string{typeJSON, typeLines, typeEnvelope, typeEnvelopes, "text/plain"} {
		for _, version := range []string{"", "1.0"} {
			f.Add(kind, version, "%ff", []byte(exampleEvent))
			f.Add(kind, version, `"e\"`, []byte("["+exampleEvent+",5,{}]"))
			f.Add(kind, version, "", []byte(exampleEvent+"\n\n{\n"+exampleEvent))
			f.Add(kind, version, "", []byte(`{"specversion":"1.0","id":"e","data":`+exampleEvent+`}`))
			f.Add(kind, version, "e", []byte(`[[[[{"a":"`+"\xff"))
		}
	}
	f.Fuzz(func(t *testing.T, kind, version, id string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, eventsPath, bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		if version != "" || id != "" {
			r.Header.Set("Ce-Specversion", version)
			r.Header.Set("Ce-Id", id)
		}
		messages, refused := readEvents(httptest.NewRecorder(), r)
		if refused != nil {
			switch refused.Status {
			case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
			default:
				t.Errorf("refused with %+v", refused)
			}
			return
		}
		v, passed, indexes := judgeEvents(messages, testStart)
		if len(v.Events) != len(messages) || len(passed)+v.Refused != len(messages) || len(passed) != len(indexes) {
			t.Fatalf("%d events, %d passed, %d refused, %d verdicts", len(messages), len(passed), v.Refused, len(v.Events))
		}
		for i, e := range passed {
			again, rejection := events.Decode(events.Message{Data: events.Encode(e), Subject: events.Subject(e.CampaignID, e.RunID), Time: testStart})
			if rejection != nil || again.ID != e.ID || *v.Events[indexes[i]].ID != e.ID {
				t.Errorf("the reader of the stream says %v of what passed: %s", rejection, events.Encode(e))
			}
		}
	})
}

// FuzzToken: no token is known but the right one.
func FuzzToken(f *testing.F) {
	line, right, err := NewKey("studio", []string{ScopeRead}, time.Time{}, bytes.NewReader(make([]byte, secretSize)))
	if err != nil {
		f.Fatal(err)
	}
	keys, err := ParseKeys(bytes.NewReader([]byte(line)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bearer "+right, "")
	f.Add("bearer\t"+right, right)
	f.Add("", "studio.")
	f.Add("Bearer studio", right+".")
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		token := tokenOf(authorization, apiKey)
		if _, _, refusal := keys.find(token, testStart); (refusal == "") != (token == right) {
			t.Errorf("%q: %s", token, refusal)
		}
	})
}
