package events_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// decodeText decodes a payload as it stands.
func decodeText(payload string) (events.Event, *events.Rejection) {
	return events.Decode(events.Message{Data: []byte(payload)})
}

func TestPayloadsThatAreNotOneJSONObject(t *testing.T) {
	good := string(sample(events.AgentFinished).json())
	for name, payload := range map[string]string{
		"empty":                            ``,
		"white space":                      " \n",
		"an array":                         `[` + good + `]`,
		"a string":                         `"event"`,
		"a number":                         `5`,
		"null":                             `null`,
		"cut off":                          good[:len(good)-1],
		"trailing garbage":                 good + `x`,
		"two events":                       good + good,
		"two lines":                        good + "\n" + good,
		"a trailing comma":                 good[:len(good)-1] + `,}`,
		"a comment":                        `/* */` + good,
		"a byte order mark":                "\ufeff" + good,
		"a name without quotes":            `{id:"e"}`,
		"single quotes":                    `{'id':'e'}`,
		"NaN":                              strings.Replace(good, `"latencyMs":5`, `"latencyMs":NaN`, 1),
		"a leading zero":                   strings.Replace(good, `"latencyMs":5`, `"latencyMs":05`, 1),
		"a plus sign":                      strings.Replace(good, `"latencyMs":5`, `"latencyMs":+5`, 1),
		"a repeated name":                  `{"id":"a",` + good[1:],
		"a repeated name with escapes":     `{"\u0069d":"a",` + good[1:],
		"a repeated unknown name":          `{"x":1,"x":2,` + good[1:],
		"a repeated name inside":           `{"x":{"y":1,"y":2},` + good[1:],
		"bytes that are not UTF-8":         strings.Replace(good, "e-1", "e\xff1", 1),
		"UTF-8 not in its shortest form":   strings.Replace(good, "e-1", "e\xc0\xaf1", 1),
		"a surrogate in UTF-8":             strings.Replace(good, "e-1", "e\xed\xa0\x801", 1),
		"not UTF-8 in an unknown property": `{"x":"` + "\xff" + `",` + good[1:],
		"a lone high surrogate":            strings.Replace(good, "e-1", `e\ud83d`, 1),
		"a lone low surrogate":             strings.Replace(good, "e-1", `\ude80e`, 1),
		"an unknown escape":                strings.Replace(good, "e-1", `\x41`, 1),
		"a raw line feed in a string":      strings.Replace(good, "e-1", "e\n1", 1),
		"deeper than any parser goes":      `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `,` + good[1:],
	} {
		_, rejected := decodeText(payload)
		if rejected == nil || rejected.Reason != events.Malformed || len(rejected.Fields) > 0 || rejected.Detail == "" {
			t.Errorf("%s: %v, want malformed with a detail", name, rejected)
		}
	}
}

func TestWhiteSpaceAroundTokensIsNotSeen(t *testing.T) {
	plain := mustDecode(t, sample(events.AgentFinished))
	spaced := strings.NewReplacer(`,"`, "\n\t, \"", `":`, "\" :\r\n ").Replace(string(sample(events.AgentFinished).json()))
	e, rejected := decodeText(" \n" + spaced + "\n ")
	if rejected != nil || !same(e, plain) {
		t.Errorf("got %+v (%v), want %+v", e, rejected, plain)
	}
}

func TestPayloadOf64KiBIsTheGreatest(t *testing.T) {
	w := sample(events.AgentFinished)
	fill := func(size int) events.Message {
		w := w.with("filler", `""`)
		return events.Message{Data: w.with("filler", `"`+strings.Repeat("x", size-len(w.json()))+`"`).json()}
	}
	if _, rejected := events.Decode(fill(events.MaxSize)); rejected != nil {
		t.Errorf("64 KiB: %v", rejected)
	}
	m := fill(events.MaxSize + 1)
	if _, rejected := events.Decode(m); rejected == nil || rejected.Reason != events.TooLarge {
		t.Errorf("64 KiB and a byte: %v, want too_large", rejected)
	}
	m.Data = bytes.Repeat([]byte{'x'}, events.MaxSize+1)
	if _, rejected := events.Decode(m); rejected == nil || rejected.Reason != events.TooLarge {
		t.Errorf("64 KiB and a byte of garbage: %v, want too_large", rejected)
	}
}

func TestUnknownPropertiesAreIgnored(t *testing.T) {
	plain := mustDecode(t, sample(events.AgentFinished))
	w := sample(events.AgentFinished).with("extra", `{"id":"x","list":[1,null,{"a":"🚀"}]}`).with("ID", `5`).
		with("agent_id", `"x"`).with("successRate", `66.7`).with("time", `"2001-01-01T00:00:00Z"`).with("", `1`)
	if e := mustDecode(t, w); !same(e, plain) {
		t.Errorf("got %+v, want %+v", e, plain)
	}
}

func TestPropertiesOfOtherTypesAreIgnored(t *testing.T) {
	for _, of := range allTypes {
		plain := mustDecode(t, sample(of))
		w := sample(of)
		for name, raw := range map[string]string{
			"agentId": `5`, "attempt": `-1`, "status": `0`, "latencyMs": `"x"`, "tokensIn": `{}`, "tokensOut": `[]`,
			"assetsGenerated": `0.5`, "costUSD": `-1`, "agentName": `1`, "model": `2`, "error": `3`,
			"agentsExpected": `0`, "outcome": `"lost"`, "metrics": `[]`, "voids": `{}`, "reason": `9`,
		} {
			if !slices.Contains(propertiesOf[of], name) {
				w = w.with(name, raw)
			}
		}
		if e := mustDecode(t, w); !same(e, plain) {
			t.Errorf("%s: got %+v, want %+v", of, e, plain)
		}
	}
}

// propertiesOf repeats the contract's table: what belongs to a type besides what all types have.
var propertiesOf = map[events.Type][]string{
	events.AgentFinished: {"agentId", "attempt", "status", "latencyMs", "tokensIn", "tokensOut", "assetsGenerated", "costUSD",
		"agentName", "model", "error"},
	events.AgentStarted:     {"agentId", "attempt", "agentName", "model", "error"},
	events.RunStarted:       {"agentsExpected"},
	events.RunFinished:      {"outcome"},
	events.RunReported:      {"metrics"},
	events.ExecutionsVoided: {"voids", "reason"},
}

func TestVersionIsOne(t *testing.T) {
	w := sample(events.AgentFinished)
	plain := mustDecode(t, w)
	for _, raw := range []string{`1`, `1.0`, `10e-1`, `null`} {
		if e := mustDecode(t, w.with("version", raw)); !same(e, plain) {
			t.Errorf("version %s changes the event", raw)
		}
	}
	for _, raw := range []string{`0`, `2`, `2.0`, `1e3`} {
		_, rejected := events.Decode(events.Message{Data: w.with("version", raw).json()})
		if rejected == nil || rejected.Reason != events.UnsupportedVersion || rejected.Field() != "version" {
			t.Errorf("version %s: %v, want unsupported_version", raw, rejected)
		}
	}
	for _, raw := range []string{`"1"`, `1.5`, `-1`, `true`, `[]`, `{}`, `1e99`} {
		mustRefuse(t, w.with("version", raw), "version", "must be an integer")
	}
	// What an unknown version means by its other fields is not known, so none of them is called bad.
	_, rejected := decodeText(`{"version":2,"id":5}`)
	if rejected == nil || rejected.Reason != events.UnsupportedVersion || len(rejected.Fields) != 1 {
		t.Errorf("got %v, want unsupported_version alone", rejected)
	}
}

func TestTypes(t *testing.T) {
	w := sample(events.AgentFinished)
	for _, raw := range []string{``, `null`, `"agent.finished"`, `"agent\u002efinished"`} {
		if e := mustDecode(t, w.with("type", raw)); e.Type != events.AgentFinished {
			t.Errorf("type %s reads as %s", raw, e.Type)
		}
	}
	for _, raw := range []string{`""`, `"agent.retried"`, `"Agent.Finished"`, `"` + strings.Repeat("x", 65) + `"`, `"\u0000"`} {
		_, rejected := events.Decode(events.Message{Data: w.with("type", raw).json()})
		if rejected == nil || rejected.Reason != events.UnknownType || rejected.Field() != "type" {
			t.Errorf("type %s: %v, want unknown_type", raw, rejected)
		}
	}
	for _, raw := range []string{`5`, `true`, `[]`, `{}`} {
		mustRefuse(t, w.with("type", raw), "type", "must be a string")
	}
}

func TestEveryBadFieldIsNamedInTheOrderOfTheContract(t *testing.T) {
	for payload, want := range map[string]string{
		`{}`: "id campaignId runId phase occurredAt agentId status latencyMs",
		`{"costUSD":-1,"assetsGenerated":-1,"tokensOut":-1,"tokensIn":-1,"latencyMs":-1,"status":1,"attempt":0,"agentId":"",
		  "error":1,"model":1,"agentName":1,"occurredAt":"","phase":"","runId":"","campaignId":"","id":""}`: "id campaignId runId " +
			"phase occurredAt agentId attempt agentName model error status latencyMs tokensIn tokensOut assetsGenerated costUSD",
		`{"type":"agent.started","attempt":0}`:       "id campaignId runId phase occurredAt agentId attempt",
		`{"type":"run.started","agentsExpected":0}`:  "id campaignId runId phase occurredAt agentsExpected",
		`{"type":"run.finished","outcome":"x"}`:      "id campaignId runId phase occurredAt outcome",
		`{"type":"run.reported"}`:                    "id campaignId runId phase occurredAt metrics",
		`{"type":"executions.voided","reason":true}`: "id campaignId runId phase occurredAt voids reason",
		`{"type":"run.reported","id":"i","campaignId":"c","runId":"r","phase":"p","occurredAt":"2026-02-14T14:47:08Z",
		  "metrics":{"latencyAvgMs":-1,"latencyP95Ms":-1,"costUSD":-1,"phase":"x","runId":"x","campaignId":"x"}}`: "metrics.campaignId " +
			"metrics.runId metrics.phase metrics.agentsTotal metrics.agentsSuccessful metrics.assetsGenerated metrics.tokensIn " +
			"metrics.tokensOut metrics.costUSD metrics.latencyP95Ms metrics.latencyAvgMs",
	} {
		_, rejected := decodeText(payload)
		if rejected == nil || rejected.Reason != events.Invalid {
			t.Fatalf("%s: %v, want invalid", payload, rejected)
		}
		var names []string
		for _, f := range rejected.Fields {
			names = append(names, f.Field)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s names\n%s, want\n%s", payload, got, want)
		}
		if rejected.Field() != names[0] || !strings.Contains(rejected.Error(), "; "+names[1]+" ") {
			t.Errorf("%s: the rejection reads %q", payload, rejected)
		}
	}
}

func TestRejectionsDoNotQuoteValues(t *testing.T) {
	const secret = "sk-live-4242"
	for _, of := range allTypes {
		for name := range sample(of) {
			for _, raw := range []string{`"` + secret + strings.Repeat("x", 3000) + `\u0000"`, `[5,"` + secret + `"]`, `{"` + secret + `":1}`} {
				_, rejected := events.Decode(events.Message{Subject: "runs.c-1.r-1", Data: sample(of).with(name, raw).json()})
				if rejected == nil || strings.Contains(rejected.Error(), secret) {
					t.Errorf("%s: %s of %.20s: %v", of, name, raw, rejected)
				}
			}
		}
	}
}

func TestAnEventDoesNotShareMemoryWithTheMessage(t *testing.T) {
	for _, of := range allTypes {
		w := sample(of).with("agentName", `"name"`).with("model", `"m"`).with("error", `"e\n"`).with("reason", `"why"`)
		data := w.json()
		e, rejected := events.Decode(events.Message{Data: data})
		if rejected != nil {
			t.Fatal(rejected)
		}
		for i := range data {
			data[i] = '!'
		}
		if want := mustDecode(t, w); !same(e, want) {
			t.Errorf("overwriting the message changed the event to %+v", e)
		}
	}
}

func TestDecodeLeavesTheMessageAsItIs(t *testing.T) {
	for _, payload := range []string{events.PlainExecution, string(sample(events.RunReported).json()), `{"id":"\u0041","x":[1.50,2`} {
		data := []byte(payload)
		for range 2 {
			events.Decode(events.Message{Data: data})
		}
		if string(data) != payload {
			t.Errorf("decoding changed %s to %s", payload, data)
		}
	}
}
