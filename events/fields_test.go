package events_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// stringRule is a string property: names identify something, are required and have no control characters.
type stringRule struct {
	of    events.Type
	field string
	limit int
	name  bool
	get   func(*events.Event) string
}

var stringRules = func() []stringRule {
	var rules []stringRule
	for _, t := range allTypes {
		rules = append(rules,
			stringRule{t, "id", 128, true, func(e *events.Event) string { return e.ID }},
			stringRule{t, "campaignId", 64, true, func(e *events.Event) string { return e.CampaignID }},
			stringRule{t, "runId", 64, true, func(e *events.Event) string { return e.RunID }},
			stringRule{t, "phase", 16, true, func(e *events.Event) string { return e.Phase }})
	}
	for _, t := range []events.Type{events.AgentFinished, events.AgentStarted} {
		rules = append(rules,
			stringRule{t, "agentId", 128, true, func(e *events.Event) string { return e.AgentID }},
			stringRule{t, "agentName", 256, false, func(e *events.Event) string { return e.AgentName }},
			stringRule{t, "model", 256, false, func(e *events.Event) string { return e.Model }},
			stringRule{t, "error", 2048, false, func(e *events.Event) string { return e.Error }})
	}
	return append(rules,
		stringRule{events.ExecutionsVoided, "reason", 256, false, func(e *events.Event) string { return e.Reason }})
}()

func TestStrings(t *testing.T) {
	for _, rule := range stringRules {
		t.Run(string(rule.of)+"/"+rule.field, func(t *testing.T) {
			t.Parallel()
			w := sample(rule.of)
			for name, s := range map[string]string{
				"greatest length":                     strings.Repeat("x", rule.limit),
				"greatest length of three-byte runes": strings.Repeat("漢", rule.limit),
				"an emoji is two":                     strings.Repeat("🚀", rule.limit/2),
				"spaces, dots, stars and slashes":     " a.b/*>\" \\",
				"decomposed letters stay so":          "e\u0301",
			} {
				if e := mustDecode(t, w.with(rule.field, strconv.Quote(s))); rule.get(&e) != s {
					t.Errorf("%s: got %q, want %q", name, rule.get(&e), s)
				}
			}
			if e := mustDecode(t, w.with(rule.field, `"\ud83d\ude80\/\u0041"`)); rule.get(&e) != "🚀/A" {
				t.Errorf("escapes: got %q", rule.get(&e))
			}
			for _, raw := range []string{`5`, `true`, `[]`, `{}`, `["x"]`} {
				mustRefuse(t, w.with(rule.field, raw), rule.field, "must be a string")
			}
			length := fmt.Sprintf("%d characters", rule.limit)
			mustRefuse(t, w.with(rule.field, strconv.Quote(strings.Repeat("x", rule.limit+1))), rule.field, length)
			mustRefuse(t, w.with(rule.field, strconv.Quote(strings.Repeat("🚀", rule.limit/2)+"x")), rule.field, length)
			mustRefuse(t, w.with(rule.field, `"a\u0000b"`), rule.field, "must not contain")
		})
	}
}

func TestNamesAreRequiredAndHaveNoControlCharacters(t *testing.T) {
	for _, rule := range stringRules {
		if !rule.name {
			continue
		}
		w := sample(rule.of)
		mustRefuse(t, w.with(rule.field, ``), rule.field, "is required")
		mustRefuse(t, w.with(rule.field, `null`), rule.field, "is required")
		mustRefuse(t, w.with(rule.field, `""`), rule.field, "must have 1 to")
		for _, raw := range []string{`"a\tb"`, `"\u001f"`, `"\u007f"`, "\"a\u0085\"", `"\u009f"`} {
			mustRefuse(t, w.with(rule.field, raw), rule.field, "must not contain control characters")
		}
	}
}

func TestTextsAreOptionalAndMayHaveControlCharacters(t *testing.T) {
	for _, rule := range stringRules {
		if rule.name {
			continue
		}
		w := sample(rule.of)
		for _, raw := range []string{``, `null`, `""`} {
			if e := mustDecode(t, w.with(rule.field, raw)); rule.get(&e) != "" {
				t.Errorf("%s of %s: %q, want nothing", rule.field, raw, rule.get(&e))
			}
		}
		if e := mustDecode(t, w.with(rule.field, `"a\n\t\u0001\u0085"`)); rule.get(&e) != "a\n\t\u0001\u0085" {
			t.Errorf("%s: got %q", rule.field, rule.get(&e))
		}
	}
}

// integerRules are the optional integers and their bounds.
var integerRules = []struct {
	of                events.Type
	field             string
	low, high, absent int64
	get               func(*events.Event) int64
}{
	{events.AgentFinished, "attempt", 1, 1e6, 1, func(e *events.Event) int64 { return e.Attempt }},
	{events.AgentStarted, "attempt", 1, 1e6, 1, func(e *events.Event) int64 { return e.Attempt }},
	{events.AgentFinished, "tokensIn", 0, 1e9, 0, func(e *events.Event) int64 { return e.TokensIn }},
	{events.AgentFinished, "tokensOut", 0, 1e9, 0, func(e *events.Event) int64 { return e.TokensOut }},
	{events.AgentFinished, "assetsGenerated", 0, 1e9, 0, func(e *events.Event) int64 { return e.AssetsGenerated }},
	{events.RunStarted, "agentsExpected", 1, 1e6, 0, func(e *events.Event) int64 { return e.AgentsExpected }},
}

func TestIntegers(t *testing.T) {
	for _, rule := range integerRules {
		t.Run(string(rule.of)+"/"+rule.field, func(t *testing.T) {
			t.Parallel()
			w := sample(rule.of)
			low, high := strconv.FormatInt(rule.low, 10), strconv.FormatInt(rule.high, 10)
			for raw, want := range map[string]int64{
				``: rule.absent, `null`: rule.absent, low: rule.low, high: rule.high, high + ".000": rule.high,
				`5.0`: 5, `1e3`: 1000, `1E+3`: 1000, `0.5e1`: 5, `5000e-3`: 5, `1.20e2`: 120,
			} {
				if e := mustDecode(t, w.with(rule.field, raw)); rule.get(&e) != want {
					t.Errorf("%q: got %d, want %d", raw, rule.get(&e), want)
				}
			}
			for _, raw := range []string{
				strconv.FormatInt(rule.low-1, 10), strconv.FormatInt(rule.high+1, 10), `-5`, `5.5`, `1e-1`, `1e10`,
				`18446744073709551617`, `1e400`, `1e-400`, `1e9999999999999999999`, `-1e9999999999999999999`,
				`"5"`, `""`, `true`, `[]`, `[5]`, `{}`,
			} {
				mustRefuse(t, w.with(rule.field, raw), rule.field, "must be an integer from "+low+" to "+high)
			}
		})
	}
}

func TestZeroMayBeWrittenInAnyWay(t *testing.T) {
	for _, raw := range []string{`0`, `-0`, `0.00`, `0e0`, `0e99`, `0E-99`, `-0.0e+99999999999`} {
		w := sample(events.AgentFinished).with("tokensIn", raw).with("latencyMs", raw).with("costUSD", raw)
		e := mustDecode(t, w)
		if e.TokensIn != 0 || e.LatencyMs != 0 || e.Cost != events.USD(0) {
			t.Errorf("%s: got %d, %d, %v", raw, e.TokensIn, e.LatencyMs, e.Cost)
		}
	}
}

func TestLatencyIsRoundedHalfUp(t *testing.T) {
	w := sample(events.AgentFinished)
	for raw, want := range map[string]int64{
		`0`: 0, `0.4999999`: 0, `0.5`: 1, `12.5`: 13, `13.5`: 14, `12.49`: 12, `1.5e3`: 1500, `1234.5678e-3`: 1, `1e-9`: 0,
		`2147483647`: 1<<31 - 1, `2147483647.49`: 1<<31 - 1, `1e-99999999999999999999`: 0,
	} {
		if e := mustDecode(t, w.with("latencyMs", raw)); e.LatencyMs != want {
			t.Errorf("%s: got %d, want %d", raw, e.LatencyMs, want)
		}
	}
	mustRefuse(t, w.with("latencyMs", ``), "latencyMs", "is required")
	mustRefuse(t, w.with("latencyMs", `null`), "latencyMs", "is required")
	for _, raw := range []string{`-1`, `-0.1`, `2147483647.5`, `2147483648`, `1e99`, `"5"`, `true`, `[]`, `{}`} {
		mustRefuse(t, w.with("latencyMs", raw), "latencyMs", "must be a number from 0 to 2147483647")
	}
}

func TestCostIsRoundedHalfEvenToNanoDollars(t *testing.T) {
	w := sample(events.AgentFinished)
	for raw, want := range map[string]events.Nanos{
		`0`: 0, `1`: 1e9, `0.1`: 1e8, `1000000`: 1e15, `1e6`: 1e15, `0.000000001`: 1, `1.5e-3`: 1_500_000,
		`0.059133500000000006`: 59_133_500, `0.05913350000000001`: 59_133_500, `0.062287499999999996`: 62_287_500,
		`0.0000000005`: 0, `0.0000000015`: 2, `0.0000000025`: 2, `0.00000000250000000001`: 3, `1e-99999999999999999999`: 0,
		`1000000.0000000005`: 1e15,
		`"0.0125"`:           12_500_000, `"1e-3"`: 1_000_000, `"0"`: 0, `"\u0031.5"`: 1_500_000_000,
	} {
		if e := mustDecode(t, w.with("costUSD", raw)); e.Cost != events.USD(want) {
			t.Errorf("%s: got %+v, want %d nanos", raw, e.Cost, want)
		}
	}
	for _, raw := range []string{
		`-1`, `-0.0000000001`, `1000000.000000001`, `1e99`, `1e99999999999999999999`, `true`, `[]`, `{}`,
		`""`, `" 1"`, `"1 "`, `"+1"`, `".5"`, `"1."`, `"01"`, `"1,5"`, `"0x10"`, `"NaN"`, `"1/2"`, `"$1"`, `"-1"`, `"1_0"`,
	} {
		mustRefuse(t, w.with("costUSD", raw), "costUSD", "must be a decimal number from 0 to 1000000")
	}
}

func TestUnknownCostIsNotZero(t *testing.T) {
	w := sample(events.AgentFinished)
	for _, raw := range []string{``, `null`} {
		if e := mustDecode(t, w.with("costUSD", raw)); e.Cost.Known {
			t.Errorf("%q reads as a known cost", raw)
		}
	}
	if e := mustDecode(t, w.with("costUSD", `0`)); !e.Cost.Known {
		t.Error("0 reads as an unknown cost")
	}
}

func TestChoices(t *testing.T) {
	finished, ended := sample(events.AgentFinished), sample(events.RunFinished)
	for _, s := range []events.Status{events.Succeeded, events.Failed, events.Cancelled} {
		if e := mustDecode(t, finished.with("status", strconv.Quote(string(s)))); e.Status != s {
			t.Errorf("got %q, want %q", e.Status, s)
		}
	}
	for raw, want := range map[string]events.Outcome{
		``: events.OutcomeCompleted, `null`: events.OutcomeCompleted, `"completed"`: events.OutcomeCompleted,
		`"failed"`: events.OutcomeFailed, `"cancelled"`: events.OutcomeCancelled,
	} {
		if e := mustDecode(t, ended.with("outcome", raw)); e.Outcome != want {
			t.Errorf("%q: got %q, want %q", raw, e.Outcome, want)
		}
	}
	mustRefuse(t, finished.with("status", ``), "status", "is required and must be succeeded, failed, cancelled")
	mustRefuse(t, finished.with("status", `null`), "status", "is required")
	for _, raw := range []string{`""`, `"SUCCEEDED"`, `"completed"`, `5`, `true`, `["failed"]`, `{}`} {
		mustRefuse(t, finished.with("status", raw), "status", "must be succeeded, failed, cancelled")
	}
	for _, raw := range []string{`""`, `"Completed"`, `"succeeded"`, `5`, `false`, `[]`, `{}`} {
		mustRefuse(t, ended.with("outcome", raw), "outcome", "must be completed, failed, cancelled")
	}
}

func TestVoids(t *testing.T) {
	w := sample(events.ExecutionsVoided)
	list := func(n int, id string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(strconv.Quote(id)+",", n), ",") + "]"
	}
	for raw, want := range map[string]int{
		`["a"]`: 1, `["a" , "🚀/x.y"]`: 2, list(1000, "id"): 1000, list(1, strings.Repeat("🚀", 64)): 1,
	} {
		if e := mustDecode(t, w.with("voids", raw)); len(e.Voids) != want {
			t.Errorf("%.40s: got %d ids, want %d", raw, len(e.Voids), want)
		}
	}
	for _, raw := range []string{``, `null`, `"a"`, `5`, `{}`, `true`} {
		mustRefuse(t, w.with("voids", raw), "voids", "is required and must be an array")
	}
	mustRefuse(t, w.with("voids", `[]`), "voids", "must hold 1 to 1000 event ids")
	mustRefuse(t, w.with("voids", list(1001, "id")), "voids", "must hold 1 to 1000 event ids")
	for _, raw := range []string{
		`["a",5]`, `[null]`, `[["a"]]`, `[{}]`, `[""]`, `["a\u0000"]`, `["a\nb"]`, list(1, strings.Repeat("x", 129)),
	} {
		mustRefuse(t, w.with("voids", raw), "voids", "must hold strings of 1 to 128 characters")
	}
}
