package events

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// PlainExecution is what a runtime typically sends, about 350 bytes.
const PlainExecution = `{"id":"0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d","campaignId":"spring-launch-2026","runId":"run-000123",` +
	`"phase":"2-3","occurredAt":"2026-02-14T14:47:08.035Z","agentId":"writer-0042","attempt":1,"status":"succeeded",` +
	`"latencyMs":1234.5,"tokensIn":5231,"tokensOut":812,"assetsGenerated":2,"costUSD":0.059133500000000006,` +
	`"agentName":"Copy writer","model":"gpt-5.2"}`

// What is read without the library, the library reads alike.
func FuzzScanPlain(f *testing.F) {
	for _, seed := range []string{
		PlainExecution, "\t{ \"id\" : \"Zoë 🚀\" ,\r\n\"phase\":null}\n", `{"id":null,"id":"a"}`, `{"id":"a","id":"a"}`, `{}`,
		`{"attempt":-0}`, `{"attempt":01}`, `{"attempt":-}`, `{"attempt":1.}`, `{"attempt":0.10}`, `{"attempt":1e3}`, `{"attempt":.5}`,
		`{"id":true,"phase":false}`, `{"id":truE}`, `{"id":nul`, `{"id":"a\u0041"}`, `{"\u0069d":"a"}`, `{"extra":1}`, `{"id":"a"}}`,
		`{"id":"a",}`, `{"id":"a" "phase":"b"}`, `{"id":[1]}`, `{"id":{}}`, "{\"id\":\"\xff\"}", "{\"id\":\"\xed\xa0\x80\"}", "{\"id\":\"a\nb\"}",
		`{"id`, `{"id"`, `{"id":`, `{"id":"`, `{"id":"a"`, `{`, ``, ` `, `[]`, `{"id":"` + "\x7f" + `"}`, `{"id":1 2}`, "\ufeff{}", `{"":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var plain, any object
		if !plain.scanPlain(data) {
			return
		}
		if err := any.scanAny(data); err != nil {
			t.Fatalf("%q was read, but: %v", data, err)
		}
		for i := range any {
			if !bytes.Equal(plain[i], any[i]) || (plain[i] == nil) != (any[i] == nil) {
				t.Fatalf("%q: %v is %q, want %q", data, field(i), plain[i], any[i])
			}
		}
	})
}

func TestWhatIsEncodedIsReadWithoutTheLibrary(t *testing.T) {
	for _, data := range [][]byte{
		[]byte(PlainExecution),
		Encode(&Event{Key: Key{"Frühling", "r", "1"}, ID: "e", Type: AgentFinished, OccurredAt: time.Now(), AgentID: "a", Attempt: 2,
			Status: Failed, Error: "timed out", LatencyMs: 10, Cost: USD(1)}),
		Encode(&Event{Key: Key{"c", "r", "1"}, ID: "e", Type: RunStarted, OccurredAt: time.Now(), AgentsExpected: 10}),
	} {
		if !new(object).scanPlain(data) {
			t.Errorf("%s is not read without the library", data)
		}
	}
}

func TestSharedTextsStayWhatTheyWere(t *testing.T) {
	var shared sharedTexts
	for i := range 10_000 { // many more than have a place
		text := strings.Repeat("x", i%50) + string(rune('a'+i%26))
		data := []byte(text)
		got := shared.of(fieldModel, data)
		clear(data) // the message that it came from
		if got != text {
			t.Fatalf("%q became %q", text, got)
		}
	}
}
