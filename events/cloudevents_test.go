package events_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// structured wraps an event into a CloudEvent.
func structured(data wire) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"com.example.run","source":"/agents","id":"ce-1",
		"time":"2026-02-14T10:00:00.5Z","datacontenttype":"application/json","data":%s}`, data.json())
}

func TestStructuredCloudEvent(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", ``).with("occurredAt", `null`)
	for name, header := range map[string]map[string][]string{
		"by content type": {"Content-Type": {"application/cloudevents+json; charset=utf-8"}},
		"other case":      {"content-TYPE": {"application/cloudevents+json"}},
		"by its looks":    nil,
	} {
		e, rejected := events.Decode(events.Message{Header: header, Data: []byte(structured(bare))})
		if rejected != nil {
			t.Fatalf("%s: %v", name, rejected)
		}
		if e.ID != "ce-1" || !e.OccurredAt.Equal(utc("2026-02-14T10:00:00.5Z")) || e.Type != events.AgentFinished {
			t.Errorf("%s: got %s %v %s", name, e.ID, e.OccurredAt, e.Type)
		}
	}
}

func TestEnvelopeFillsOnlyWhatIsMissing(t *testing.T) {
	for _, of := range allTypes {
		plain := mustDecode(t, sample(of))
		if e, rejected := decodeText(structured(sample(of))); rejected != nil || !same(e, plain) {
			t.Errorf("structured %s: got %+v (%v), want %+v", of, e, rejected, plain)
		}
		e, rejected := events.Decode(events.Message{Data: sample(of).json(), Header: binaryHeader("CE-Id", "CE-Time")})
		if rejected != nil || !same(e, plain) {
			t.Errorf("binary %s: got %+v (%v), want %+v", of, e, rejected, plain)
		}
	}
}

func TestTheEnvelopesOwnAttributesAreNotTheEvents(t *testing.T) {
	_, rejected := decodeText(structured(wire{"campaignId": `"c"`, "runId": `"r"`, "phase": `"p"`}))
	if rejected == nil || rejected.Reason != events.Invalid || rejected.Field() != "agentId" {
		t.Errorf("got %v, want the event to lack agentId: the type is the envelope's, not the event's", rejected)
	}
}

func binaryHeader(id, at string) map[string][]string {
	return map[string][]string{"ce-specversion": {"1.0"}, "Ce-Type": {"x"}, id: {"ce%201%F0%9F%9A%80"}, at: {"2026-02-14T10:00:00Z"}}
}

func TestBinaryCloudEvent(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", `null`).with("occurredAt", ``)
	for _, header := range []map[string][]string{binaryHeader("ce-id", "ce-time"), binaryHeader("CE-ID", "Ce-Time")} {
		e, rejected := events.Decode(events.Message{Header: header, Data: bare.json()})
		if rejected != nil {
			t.Fatal(rejected)
		}
		if e.ID != "ce 1🚀" || !e.OccurredAt.Equal(utc("2026-02-14T10:00:00Z")) {
			t.Errorf("got %q at %v", e.ID, e.OccurredAt)
		}
	}
}

func TestHeadersAloneMakeNoCloudEvent(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", ``)
	for name, header := range map[string]map[string][]string{
		"no ce-specversion":  {"ce-id": {"x"}},
		"an id without text": {"ce-specversion": {"1.0"}, "ce-id": {""}},
		"no values":          {"ce-specversion": {"1.0"}, "ce-id": nil},
		"not UTF-8":          {"ce-specversion": {"1.0"}, "ce-id": {"%ff"}},
	} {
		_, rejected := events.Decode(events.Message{Header: header, Data: bare.json()})
		if rejected == nil || rejected.Reason != events.Invalid || rejected.Field() != "id" {
			t.Errorf("%s: %v, want the id to be missing", name, rejected)
		}
	}
}

// A replay must decode to the same event, so which of two spellings of a header wins cannot be left to the map.
func TestHeadersThatDifferInCaseOnlyAreReadInOneOrder(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", ``)
	header := map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"c"}, "CE-ID": {"a"}, "Ce-Id": {"b"}}
	for range 50 {
		e, rejected := events.Decode(events.Message{Header: header, Data: bare.json()})
		if rejected != nil || e.ID != "a" {
			t.Fatalf("got %q (%v), want the first by bytes", e.ID, rejected)
		}
	}
}

func TestCloudEventWithoutAnObjectInside(t *testing.T) {
	header := map[string][]string{"content-type": {"application/cloudevents+json"}}
	for _, payload := range []string{
		`{"specversion":"1.0","id":"x"}`, `{"specversion":"1.0","data":null}`, `{"specversion":"1.0","data":"{}"}`,
		`{"specversion":"1.0","data":[]}`, `{"specversion":"1.0","data_base64":null}`,
	} {
		_, rejected := events.Decode(events.Message{Header: header, Data: []byte(payload)})
		if rejected == nil || rejected.Reason != events.Malformed || !strings.Contains(rejected.Detail, "data of the CloudEvent") {
			t.Errorf("%s: %v, want malformed", payload, rejected)
		}
	}
}

// An envelope in headers can hold what the payload has no room for. The event must still fit when it is encoded whole,
// because that is how it is stored.
func TestAnEventThatOnlyFitsWithItsEnvelopeIsTooLarge(t *testing.T) {
	w := sample(events.ExecutionsVoided).with("id", ``).with("occurredAt", ``)
	ids := strings.Repeat(`"`+strings.Repeat("漢", 100)+`",`, 215)
	ids = "[" + strings.TrimSuffix(ids, ",") + "]"
	w = w.with("voids", ids)
	w = w.with("reason", `"`+strings.Repeat("x", min(256, events.MaxSize-len(w.json())-len(`"reason":"",`)))+`"`)
	header := map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {strings.Repeat("漢", 128)}, "ce-time": {"2026-02-14T10:00:00Z"}}
	e, rejected := events.Decode(events.Message{Header: header, Data: w.json()})
	if rejected == nil || rejected.Reason != events.TooLarge {
		t.Errorf("a payload of %d bytes encodes to %d (%v), want too_large", len(w.json()), len(events.Encode(&e)), rejected)
	}
}

// base64Of is a structured CloudEvent whose data a producer gave to its library as bytes.
func base64Of(data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","type":"x","source":"/","id":"ce-1","time":"2026-02-14T10:00:00Z","data_base64":%q}`,
		base64.StdEncoding.EncodeToString([]byte(data)))
}

func TestDataThatWasGivenAsBytes(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", ``).with("occurredAt", ``)
	e, rejected := decodeText(base64Of(string(bare.json())))
	if rejected != nil || e.ID != "ce-1" || e.AgentID != "a-1" {
		t.Errorf("got %+v (%v)", e, rejected)
	}
	e, rejected = decodeText(strings.Replace(base64Of(string(bare.json())), `"id"`, `"data":null,"id"`, 1))
	if rejected != nil || e.ID != "ce-1" {
		t.Errorf("beside data that is null: got %+v (%v)", e, rejected)
	}
	for payload, detail := range map[string]string{
		base64Of(`[]`):                                         "data_base64 of the CloudEvent: must be exactly one JSON object",
		base64Of(`{"id":"a","id":"b"}`):                        "data_base64 of the CloudEvent: not valid JSON",
		`{"specversion":"1.0","data_base64":5}`:                "data_base64 of the CloudEvent must be a string in base64",
		`{"specversion":"1.0","data_base64":"%"}`:              "data_base64 of the CloudEvent must be a string in base64",
		`{"specversion":"1.0","data":{},"data_base64":"e30="}`: "data or data_base64, not both",
	} {
		_, rejected := decodeText(payload)
		if rejected == nil || rejected.Reason != events.Malformed || !strings.Contains(rejected.Detail, detail) {
			t.Errorf("%s: %v, want malformed: %s", payload, rejected, detail)
		}
	}
}

func TestContentTypeOfCloudEvents(t *testing.T) {
	good := structured(sample(events.AgentFinished))
	batch, format := "a batch of CloudEvents cannot be one message", "JSON format only"
	for contentType, detail := range map[string]string{
		"application/cloudevents":                           "",
		"Application/CloudEvents+JSON;charset=UTF-8":        "",
		"application/cloudevents+json ; charset=utf-8":      "",
		"application/json; charset=utf-8":                   "", // by its looks
		"application/cloudevents-batch+json":                batch,
		"application/cloudevents-batch+json; charset=utf-8": batch,
		"application/cloudevents+avro":                      format,
		"application/cloudevents+protobuf; proto=x":         format,
	} {
		_, rejected := events.Decode(events.Message{Header: map[string][]string{"Content-Type": {contentType}}, Data: []byte(good)})
		switch {
		case detail == "" && rejected != nil:
			t.Errorf("%s: %v", contentType, rejected)
		case detail != "" && (rejected == nil || rejected.Reason != events.Malformed || !strings.Contains(rejected.Detail, detail)):
			t.Errorf("%s: %v, want malformed: %s", contentType, rejected, detail)
		}
	}
}

func TestAttributesInHeadersMayBeQuoted(t *testing.T) {
	bare := sample(events.AgentFinished).with("id", ``).with("occurredAt", ``)
	for value, want := range map[string]string{
		`"a b"`: "a b", `"a\"b\\c"`: `a"b\c`, `"Euro%20%e2%82%ac"`: "Euro €", `Euro%20%E2%82%AC%20%F0%9F%98%80`: "Euro € 😀",
		`"`: `"`, `"open`: `"open`, `100%`: "100%", `"a\"`: `a\`,
	} {
		header := map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {value}, "ce-time": {`"2026-02-14T10:00:00Z"`}}
		e, rejected := events.Decode(events.Message{Header: header, Data: bare.json()})
		if rejected != nil || e.ID != want || !e.OccurredAt.Equal(utc("2026-02-14T10:00:00Z")) {
			t.Errorf("%s: got %q at %v (%v), want %q", value, e.ID, e.OccurredAt, rejected, want)
		}
	}
}
