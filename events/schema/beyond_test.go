package schema_test

import (
	"encoding/json"
	"math/big"
	"reflect"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/apexsalesai/runmetrics/events"
)

// limits are the lengths of strings in UTF-16 code units.
var limits = map[string]int{"id": events.MaxID, "campaignId": events.MaxName, "runId": events.MaxName, "phase": events.MaxPhase,
	"agentId": events.MaxID, "agentName": events.MaxLabel, "model": events.MaxLabel, "error": events.MaxError, "reason": events.MaxLabel}

// ownFields are the strings and costs that a type has beside those of all events.
var ownFields = map[string]string{
	"agent.finished": "agentId agentName model error costUSD", "agent.started": "agentId agentName model error",
	"executions.voided": "reason voids", "run.reported": "metrics",
}

// beyondOf tells the fields of an event that break a rule which JSON Schema cannot say, with the rule. It shares no code
// with the decoder.
func beyondOf(payload []byte) map[string]string {
	var e map[string]any
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil
	}
	broken := make(map[string]string)
	of, _ := e["type"].(string)
	if e["type"] == nil {
		of = "agent.finished"
	}
	fields := strings.Fields("id campaignId runId phase occurredAt " + ownFields[of])
	for _, field := range fields {
		switch value := e[field].(type) {
		case string:
			if rule := beyondText(field, value); rule != "" {
				broken[field] = rule
			}
		case []any:
			for _, id := range value {
				if s, ok := id.(string); ok && units(s) > events.MaxID {
					broken[field] = "utf16-length"
				}
			}
		case map[string]any:
			beyondMetrics(value, e, broken)
		}
	}
	return broken
}

func beyondText(field, value string) string {
	switch field {
	case "occurredAt":
		if t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(value)); err == nil && (t.UTC().Year() < 2000 || t.UTC().Year() > 9999) {
			return "time-ends"
		}
	case "costUSD":
		return beyondCost(value, events.MaxCostUSD)
	default:
		if limit, limited := limits[field]; limited && units(value) > limit {
			return "utf16-length"
		}
	}
	return ""
}

// beyondCost looks at the size of a cost in a string with an exponent: over half of the ninth digit above the limit.
func beyondCost(value string, limit int64) string {
	mantissa, exponent, found := strings.Cut(strings.ToLower(value), "e")
	if !found || strings.HasPrefix(mantissa, "-") || len(strings.TrimLeft(exponent, "+-0")) > 3 {
		return ""
	}
	most := new(big.Rat).Add(new(big.Rat).SetInt64(limit), big.NewRat(1, 2_000_000_000))
	if cost, ok := new(big.Rat).SetString(value); ok && cost.Cmp(most) > 0 {
		return "cost-exponent"
	}
	return ""
}

func beyondMetrics(metrics, e map[string]any, broken map[string]string) {
	for _, field := range []string{"campaignId", "runId", "phase"} {
		if metrics[field] != nil && !reflect.DeepEqual(metrics[field], e[field]) {
			broken["metrics."+field] = "metrics-key"
		}
	}
	total, ok := metrics["agentsTotal"].(float64)
	successful, too := metrics["agentsSuccessful"].(float64)
	if ok && too && successful > total {
		broken["metrics.agentsSuccessful"] = "metrics-successful"
	}
	if cost, ok := metrics["costUSD"].(string); ok && beyondCost(cost, events.MaxReportedCostUSD) != "" {
		broken["metrics.costUSD"] = "cost-exponent"
	}
}

func units(s string) int { return len(utf16.Encode([]rune(s))) }
