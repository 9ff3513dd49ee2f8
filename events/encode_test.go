package events_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// same compares events with all that they point to.
func same(a, b events.Event) bool { return reflect.DeepEqual(a, b) }

func TestEncodeWritesOneLineWithoutDefaults(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{
			`{"version":1,"id":"e","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T15:47:08.1200+01:00",
			  "agentId":"a","attempt":1,"status":"failed","latencyMs":0,"tokensIn":0,"costUSD":"1e-3","error":"a\nb","agentName":""}`,
			`{"id":"e","type":"agent.finished","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08.12Z",` +
				`"agentId":"a","status":"failed","latencyMs":0,"costUSD":0.001,"error":"a\nb"}`,
		}, {
			`{"id":"e","type":"run.finished","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z"}`,
			`{"id":"e","type":"run.finished","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","outcome":"completed"}`,
		}, {
			`{"id":"e","type":"executions.voided","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","voids":["a", "\"b"]}`,
			`{"id":"e","type":"executions.voided","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z","voids":["a","\"b"]}`,
		},
	} {
		e, rejected := decodeText(c.payload)
		if rejected != nil {
			t.Fatal(rejected)
		}
		if got := string(events.Encode(&e)); got != c.want {
			t.Errorf("got\n%s, want\n%s", got, c.want)
		}
	}
}

func TestNanosAreWrittenExactly(t *testing.T) {
	for n, want := range map[events.Nanos]string{
		0: "0", 1: "0.000000001", 2_000_000: "0.002", 59_133_500: "0.0591335", 1e9: "1", 1_500_000_000: "1.5", 1e15: "1000000",
		1<<63 - 1: "9223372036.854775807", -1 << 63: "-9223372036.854775808", -1: "-0.000000001",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d nanos read %s, want %s", int64(n), got, want)
		}
	}
}

func TestParseCost(t *testing.T) {
	if n, err := events.ParseCost("0.0125"); n != 12_500_000 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for s, want := range map[string]string{
		"": "must be a decimal number", "abc": "must be a decimal number", "1e": "must be a decimal number",
		"-1": "must be from 0 to 1000000", "1000001": "must be from 0 to 1000000", "1e30": "must be from 0 to 1000000",
	} {
		if n, err := events.ParseCost(s); err == nil || err.Error() != want {
			t.Errorf("%q: got %d, %v, want %s", s, n, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, of := range allTypes {
		f.Add(sample(of).json(), "", "")
		f.Add([]byte(structured(sample(of).with("id", ``))), "runs.c-1.r-1", "")
		f.Add(sample(of).with("id", ``).with("occurredAt", ``).json(), "p.3.c-1.r-1", "id 1")
	}
	f.Add([]byte(events.PlainExecution), "runs.spring-launch-2026.run-000123", "")
	f.Add(reported(metrics).json(), "", "")
	for name, raw := range map[string]string{
		"costUSD": `0.059133500000000006`, "latencyMs": `12.5e0`, "tokensIn": `0e99`, "error": `"\u0001\ud83d\ude80\n\"\\\/"`,
		"occurredAt": `"9999-12-31T23:59:59.9999999-00:01"`, "agentName": `"\u007f\u2028<&>"`, "extra": `[{"a":{}},null,-0.0]`,
	} {
		f.Add(sample(events.AgentFinished).with(name, raw).json(), "", "")
	}
	f.Add([]byte(`{"a":1,"a":2}`), "", "")
	f.Add([]byte("{\"id\":\"\xff\"}"), "", "")
	stored := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte, subject, id string) {
		m := events.Message{Subject: subject, Data: data}
		if id != "" {
			m.Header = map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {id}, "ce-time": {"2026-02-14T14:47:08Z"}}
		}
		before := bytes.Clone(data)
		e, rejected := events.Decode(m)
		if !bytes.Equal(data, before) {
			t.Fatalf("decoding changed the message to %q", data)
		}
		if m.Time = stored; rejected != nil {
			if (len(rejected.Fields) == 0) == (rejected.Detail == "") {
				t.Fatalf("the rejection has fields and a detail, or neither: %+v", rejected)
			}
			if _, still := events.Decode(m); still == nil {
				t.Fatalf("refused without the stream's time, accepted with it: %v", rejected)
			}
			return
		}
		encoded := events.Encode(&e)
		again, rejected := events.Decode(events.Message{Subject: events.Subject(e.CampaignID, e.RunID), Data: encoded})
		if rejected != nil || !same(again, e) {
			t.Fatalf("%s decodes to\n%+v (%v), want\n%+v", encoded, again, rejected, e)
		}
		if twice := events.Encode(&again); !bytes.Equal(twice, encoded) {
			t.Fatalf("encoded again\n%s, want\n%s", twice, encoded)
		}
	})
}
