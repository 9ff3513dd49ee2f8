package query

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/events"
)

func TestReportBecomesTheEventThatItStandsFor(t *testing.T) {
	now := testStart.Add(123456789 * time.Nanosecond)
	e, err := reportedEvent([]byte(exampleReport), "id-1", now)
	if err != nil {
		t.Fatal(err)
	}
	want := events.Event{
		Key: events.Key{CampaignID: "api-test-001", RunID: "api-run-001", Phase: "2-3"}, ID: "id-1",
		Type: events.RunReported, OccurredAt: now.Truncate(time.Microsecond),
	}
	report := events.Report{AgentsTotal: 3, AgentsSuccessful: 3, AssetsGenerated: 8, TokensIn: 1000, TokensOut: 2000,
		Cost: 2_000_000, LatencyP95Ms: 45000, LatencyAvgMs: 38000}
	if *e.Report != report {
		t.Errorf("report %+v, want %+v", *e.Report, report)
	}
	if e.Key != want.Key || e.ID != want.ID || e.Type != want.Type || !e.OccurredAt.Equal(want.OccurredAt) {
		t.Errorf("event %+v, want %+v", e, want)
	}
}

func with(old, replaced string) []byte {
	return []byte(strings.Replace(exampleReport, old, replaced, 1))
}

func TestReportKeepsMoneyThatNoFloatHolds(t *testing.T) {
	for text, want := range map[string]events.Nanos{
		"90071992.547409931":   90071992547409931,
		`"90071992.547409931"`: 90071992547409931,
		"0.1":                  100_000_000,
		"999999999.999999999":  999999999999999999,
		"2e-3":                 2_000_000,
		"0.0000000005000000000000000000000000001": 1,
	} {
		e, err := reportedEvent(with(`"costUSD":0.002`, `"costUSD":`+text), "i", testStart)
		if err != nil || e.Report.Cost != want {
			t.Errorf("%s: %+v, %v", text, e.Report, err)
		}
	}
}

func TestReportNamesEveryBadFieldAsTheClientWroteIt(t *testing.T) {
	for body, want := range map[string][]string{
		`{}`: {"body.campaignId", "body.runId", "body.phase", "body.agentsTotal", "body.agentsSuccessful",
			"body.assetsGenerated", "body.tokensIn", "body.tokensOut", "body.costUSD", "body.latencyP95Ms", "body.latencyAvgMs"},
		string(with(`"agentsTotal":3`, `"agentsTotal":"3"`)):                               {"body.agentsTotal"},
		string(with(`"agentsTotal":3`, `"agentsTotal":2`)):                                 {"body.agentsSuccessful"},
		string(with(`"costUSD":0.002`, `"costUSD":-1`)):                                    {"body.costUSD"},
		string(with(`"costUSD":0.002`, `"costUSD":true`)):                                  {"body.costUSD"},
		string(with(`"phase":"2-3"`, `"phase":"`+strings.Repeat("p", 17)+`"`)):             {"body.phase"},
		string(with(`"campaignId":"api-test-001"`, `"CampaignId":"x"`)):                    {"body.campaignId"},
		string(with(`{`, `{"createdAt":"yesterday",`)):                                     {"body.createdAt"},
		string(with(`{`, `{"createdAt":"2126-01-01T00:00:00Z",`)):                          {"body.createdAt"},
		string(with(`"tokensIn":1000,"tokensOut":2000`, `"tokensIn":1.5,"tokensOut":{}`)):  {"body.tokensIn", "body.tokensOut"},
		string(with(`"runId":"api-run-001"`, `"runId":"`+strings.Repeat("x", 40_000)+`"`)): {"body.runId"},
	} {
		_, err := reportedEvent([]byte(body), "i", testStart)
		if got := locations(t, err); !slices.Equal(got, want) {
			t.Errorf("%.120s: got %q, want %q", body, got, want)
		}
	}
	for name, id := range map[string]string{"empty": "", "long": strings.Repeat("i", 129), "control": "a\nb", "not UTF-8": "\xff"} {
		_, err := reportedEvent([]byte(exampleReport), id, testStart)
		if got := locations(t, err); !slices.Equal(got, []string{"header.Idempotency-Key"}) {
			t.Errorf("id %s: got %q", name, got)
		}
	}
}

func TestReportThatIsNotOneJSONObjectIsRefusedAsAWhole(t *testing.T) {
	for _, body := range []string{``, `{`, `[]`, `null`, `"x"`, exampleReport + `{}`, "\xff", "{\"a\":\"\xff\"}",
		`{"phase":"1","phase":"2"}`, `{"a":1,}`, `{'a':1}`, "\ufeff{}",
		string(with(`"tokensIn":1000`, `"tokensIn":{"a":1,"a":2}`))} {
		_, err := reportedEvent([]byte(body), "i", testStart)
		if got := locations(t, err); got != nil {
			t.Errorf("%s: names fields %q", body, got)
		}
	}
}

func TestReportIgnoresUnknownPropertiesHoweverLarge(t *testing.T) {
	padding := strings.Repeat("x", maxReport-len(exampleReport)-len(`"specversion":"1.0","data":{},"version":9,"note":"",`))
	body := with(`{`, `{"specversion":"1.0","data":{},"version":9,"note":"`+padding+`",`)
	if len(body) != maxReport {
		t.Fatalf("body has %d bytes", len(body))
	}
	if _, err := reportedEvent(body, "i", testStart); err != nil {
		t.Error(err)
	}
}

func TestReportTakesANullTimeAsNow(t *testing.T) {
	e, err := reportedEvent(with(`{`, `{"createdAt":null,`), "i", testStart)
	if err != nil || !e.OccurredAt.Equal(testStart) {
		t.Errorf("occurredAt %v, %v", e.OccurredAt, err)
	}
}

// FuzzReport: whatever comes in is an event of the contract or a problem with status 400 or 413.
func FuzzReport(f *testing.F) {
	f.Add([]byte(exampleReport), "id")
	f.Add([]byte(`{"createdAt":"2026-01-01T00:00:00Z"}`), "")
	f.Add(with(`0.002`, `"1e400"`), "\x00")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		before := bytes.Clone(body)
		e, err := reportedEvent(body, id, testStart)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was written to")
		}
		if err != nil {
			var p *huma.ErrorModel
			if !errors.As(err, &p) || p.Status != 400 && p.Status != 413 || p.Detail == "" {
				t.Fatalf("refused with %#v", err)
			}
			return
		}
		again, rejection := events.Decode(events.Message{Data: events.Encode(&e), Subject: events.Subject(e.CampaignID, e.RunID)})
		if rejection != nil || again.Key != e.Key || again.ID != e.ID || *again.Report != *e.Report {
			t.Fatalf("published as %s: %v", events.Encode(&e), rejection)
		}
	})
}
