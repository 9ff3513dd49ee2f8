package schema_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

// Events are changed at random. Where the schema accepts one and the decoder does not, every field that the decoder names
// must break a rule that JSON Schema cannot say, told by other code than the decoder's. The other way round there is no
// exception.
func TestSchemaAndDecoderAgreeOnRandomEvents(t *testing.T) {
	v := newValidators(t)
	bases := goodEvents(t)
	rapid.Check(t, func(t *rapid.T) {
		event := rapid.SampledFrom(bases).Draw(t, "base").change(t)
		payload := event.json()
		decoded, rejected := events.Decode(events.Message{Data: payload})
		refused := v.judge(v.event, payload)
		wantAgreement(t, payload, rejected, refused, beyondOf(payload))
		for _, of := range schema.Types {
			err := v.judge(v.of(of), payload)
			if rejected == nil && (err == nil) != (of == decoded.Type) {
				t.Fatalf("%s\nthe schema of %s says %v", payload, of, err)
			}
			if refused != nil && err == nil {
				t.Fatalf("%s\nthe schema of all events refuses it, that of %s does not", payload, of)
			}
		}
	})
}

// wantAgreement compares what decoder and schema say of a payload, in which the fields of broken break a rule that no
// schema can say.
func wantAgreement(t *rapid.T, payload []byte, rejected *events.Rejection, refused error, broken map[string]string) {
	switch {
	case rejected == nil && refused != nil:
		t.Fatalf("%s\nthe decoder accepts it, the schema does not: %v", payload, refused)
	case rejected == nil && len(broken) > 0:
		t.Fatalf("%s\nthe decoder accepts it, though it breaks %v", payload, broken)
	case rejected == nil || refused != nil:
		return
	}
	explained := len(rejected.Fields) > 0
	for _, f := range rejected.Fields {
		explained = explained && broken[f.Field] != ""
	}
	if !explained {
		t.Fatalf("%s\nthe schema accepts it, the decoder does not: %v", payload, rejected)
	}
}

// The same for CloudEvents: the event inside is changed, and so is what the envelope has for it.
func TestSchemaAndDecoderAgreeOnRandomCloudEvents(t *testing.T) {
	v := newValidators(t)
	bases := goodEvents(t)
	rapid.Check(t, func(t *rapid.T) {
		inside := rapid.SampledFrom(bases).Draw(t, "base").change(t)
		for _, field := range []string{"id", "occurredAt"} {
			switch rapid.IntRange(0, 3).Draw(t, field+" inside") {
			case 0:
				delete(inside, field)
			case 1:
				inside[field] = "null"
			}
		}
		envelope := wire{"specversion": `"1.0"`, "source": `"/x"`, "type": `"x"`, "id": `"ce-1"`, "time": `"2026-02-14T10:00:00Z"`,
			"data": string(inside.json())}
		for range rapid.IntRange(0, 2).Draw(t, "changes of the envelope") {
			field := rapid.SampledFrom([]string{"id", "time", "type", "data_base64"}).Draw(t, "attribute")
			kind := map[string]string{"id": "id", "time": "occurredAt"}[field]
			envelope[field] = aValue(kind).Draw(t, field)
		}
		payload := envelope.json()
		_, rejected := events.Decode(events.Message{Data: payload})
		refused := v.judge(v.cloudEvent, payload)
		for field, attribute := range map[string]string{"id": "id", "occurredAt": "time"} {
			if raw, given := inside[field]; !given || raw == "null" {
				inside[field] = envelope[attribute]
			}
		}
		wantAgreement(t, payload, rejected, refused, beyondOf(inside.json()))
		if (v.judge(v.inAsyncAPI("cloudEvent"), payload) == nil) != (refused == nil) {
			t.Fatalf("%s\nthe schema in asyncapi.json does not say what that of its own does: %v", payload, refused)
		}
	})
}

// wire is an event as a producer writes it: raw JSON values by property name.
type wire map[string]string

func (w wire) json() []byte {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(w)) {
		b.WriteString("{,"[min(i, 1):][:1] + strconv.Quote(name) + ":" + w[name])
	}
	if len(w) == 0 {
		b.WriteByte('{')
	}
	return []byte(b.String() + "}")
}

// goodEvents are those of the corpus whose payload is an event, but for the large ones.
func goodEvents(t *testing.T) []wire {
	t.Helper()
	var all []wire
	for _, c := range readCorpus(t, "good.ndjson") {
		if c.CloudEvent == "" && len(c.Event) < 2000 {
			all = append(all, wireOf(c.Event))
		}
	}
	return all
}

func wireOf(text []byte) wire {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		panic(err)
	}
	w := make(wire)
	for name, value := range raw {
		w[name] = string(value)
	}
	return w
}

var fieldsOfAll = []string{"version", "id", "type", "campaignId", "runId", "phase", "occurredAt", "agentId", "attempt", "status",
	"latencyMs", "tokensIn", "tokensOut", "assetsGenerated", "costUSD", "agentName", "model", "error", "agentsExpected", "outcome",
	"metrics", "voids", "reason"}

var fieldsOfMetrics = []string{"campaignId", "runId", "phase", "agentsTotal", "agentsSuccessful", "assetsGenerated", "tokensIn",
	"tokensOut", "costUSD", "latencyP95Ms", "latencyAvgMs"}

// change changes one to three fields.
func (w wire) change(t *rapid.T) wire {
	changed := maps.Clone(w)
	for range rapid.IntRange(1, 3).Draw(t, "changes") {
		if strings.HasPrefix(changed["metrics"], "{") && rapid.Bool().Draw(t, "inside metrics") {
			changed["metrics"] = string(wireOf([]byte(changed["metrics"])).set(t, fieldsOfMetrics).json())
			continue
		}
		changed.set(t, fieldsOfAll)
	}
	return changed
}

func (w wire) set(t *rapid.T, names []string) wire {
	name := rapid.SampledFrom(names).Draw(t, "field")
	if rapid.IntRange(0, 9).Draw(t, "leave out") == 0 {
		delete(w, name)
	} else {
		w[name] = aValue(name).Draw(t, name)
	}
	return w
}

// aValue draws a value, mostly of a kind that the field may have.
func aValue(field string) *rapid.Generator[string] {
	anything := rapid.OneOf(aNumber(), aString(), rapid.SampledFrom([]string{"null", "true", "[]", "{}", `["a"]`, `""`}))
	fitting := aNumber()
	switch field {
	case "id", "campaignId", "runId", "phase", "agentId", "agentName", "model", "error", "reason":
		fitting = aString()
	case "type":
		fitting = quoted(rapid.SampledFrom([]string{"agent.finished", "agent.started", "run.started", "run.finished", "run.reported",
			"executions.voided", "Run.started", ""}))
	case "status", "outcome":
		fitting = quoted(rapid.SampledFrom([]string{"succeeded", "failed", "cancelled", "completed", "running"}))
	case "occurredAt":
		fitting = quoted(aTime())
	case "costUSD":
		fitting = rapid.OneOf(aNumber(), quoted(aNumber()), quoted(rapid.StringMatching(`-?[0-9]{0,11}\.?[0-9]{0,12}(e[+-]?[0-9]{0,2})?`)))
	case "voids":
		fitting = rapid.Map(rapid.SliceOfN(rapid.OneOf(aString(), anything), 0, 3), func(list []string) string {
			return "[" + strings.Join(list, ",") + "]"
		})
	}
	return rapid.OneOf(fitting, fitting, fitting, anything)
}

func quoted(g *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.Map(g, func(s string) string {
		b, err := marshal(s)
		if err != nil {
			panic(err)
		}
		return string(b)
	})
}

// aNumber draws numbers, often at a limit of the contract, moved by a little and written in several ways.
func aNumber() *rapid.Generator[string] {
	limits := []string{"0", "1", "1000000", "1000000000", "2147483647", "9007199254740991"}
	return rapid.OneOf(
		rapid.SampledFrom(limits),
		rapid.Custom(func(t *rapid.T) string {
			whole := rapid.SampledFrom(limits).Draw(t, "limit")
			return whole + "." + rapid.StringMatching(`(0{8,10}[0-9]{1,12}|[0-9]{1,4}|4{1,9}|5|50+)`).Draw(t, "fraction")
		}),
		rapid.Map(rapid.Int64Range(-2, 1<<54), func(n int64) string { return fmt.Sprint(n) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`),
	)
}

// aString draws texts of letters, controls and characters beyond the basic plane, often as long as a limit.
func aString() *rapid.Generator[string] {
	return quoted(rapid.OneOf(
		rapid.StringN(0, 20, -1),
		rapid.Custom(func(t *rapid.T) string {
			limit := rapid.SampledFrom([]int{16, 64, 128, 256, 2048}).Draw(t, "limit")
			wide := rapid.IntRange(0, 3).Draw(t, "wide")
			return strings.Repeat("🚀", wide) + strings.Repeat("x", max(0, limit-rapid.IntRange(-1, 6).Draw(t, "less")))
		}),
		rapid.Custom(func(t *rapid.T) string {
			return "a" + string(rune(rapid.IntRange(0, 0xA1).Draw(t, "character"))) + rapid.SampledFrom([]string{"", "b"}).Draw(t, "end")
		}),
		rapid.SampledFrom([]string{"c-1", "r-1", "2-3"}),
	))
}

// aTime draws what is a time or nearly one.
func aTime() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`(1999|2000|2023|2024|2100|2400|9999|[0-9]{4})-(0[0-9]|1[0-3]|12)-(0[0-9]|[12][0-9]|3[0-2]|31|29)`+
			`[Tt ]?(23|00|[0-2][0-9]):[0-6][0-9]:(59|00|[0-6][0-9])(\.[0-9]{0,10})?(Z|z|[+-](00|23|[0-2][0-9]):(00|59|[0-6][0-9])|)`),
		rapid.StringMatching(`(1999-12-31|2000-01-01|9999-12-31)T(23|00|[0-2][0-9]):[0-5][0-9]:[0-5][0-9](\.9{1,9})?`+
			`(Z|[+-](00|23|[0-1][0-9]):[0-5][0-9])`),
		rapid.StringMatching(`(2023|2024|2100|2400)-(0[1-9]|1[0-2])-(28|29|30|31)T12:00:00Z`),
	)
}
