package schema_test

import (
	"slices"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

// property is one field of an event.
type property struct {
	name     string
	required bool
	schema   object
}

func required(name string, schema object) property { return property{name, true, schema} }

func maybe(name string, schema object) property { return property{name, false, schema} }

const (
	dialect = "https://json-schema.org/draft/2020-12/schema"
	home    = "https://raw.githubusercontent.com/apexsalesai/runmetrics/main/events/schema/"
)

const aboutAll = " UTF-8 JSON, at most 65536 bytes, no name twice. For optional fields null is the same as leaving " +
	"them out. Integers may be written 5.0 or 1e3. Fields of other types and unknown ones are ignored. Ids are " +
	"compared as they are: case matters, nothing is normalised."

// about says what an event of a type reports.
var about = map[events.Type]string{
	events.AgentFinished: "One execution of an agent ended: one attempt, with what it took and cost. Every attempt " +
		"counts into the sums; of each agent the one with the highest attempt counts as its outcome.",
	events.AgentStarted: "An agent began to work. It lets the run show agents under way, and those that never " +
		"reported back.",
	events.RunStarted:  "A run began. It is optional; it can say how many agents the run will have.",
	events.RunFinished: "A run ended. Events that come later still count.",
	events.RunReported: "A runtime that aggregates by itself reports the whole record of a run. As soon as the run " +
		"has an agent.finished event, executions win and the report is kept aside.",
	events.ExecutionsVoided: "These events of the run count nowhere, whether they come before or after this one.",
}

// typeOf is the field that tells the types apart.
func typeOf(t events.Type) property {
	if t == events.AgentFinished {
		return maybe("type", optionalChoice("What the event reports. Left out or null it is "+
			"agent.finished.", string(t)))
	}
	return required("type", object{describe("What the event reports."), {"type", "string"}, {"const", string(t)}})
}

// envelope are the fields of all events. loose is for the inside of a CloudEvent, whose envelope may have the id and the
// time.
func envelope(t events.Type, loose bool) []property {
	id := required("id", name(events.MaxID, "Unique among all events of the run, of any type. The same id again is "+
		"counted once, for ever; so a retry sends the same id. For agent.finished <agentId>/<attempt> is a good "+
		"one."))
	at := required("occurredAt", moment("When it happened; of agent.finished, when it ended. RFC 3339 such as "+
		"2026-02-14T14:47:08.035Z, from 2000-01-01 to at most 24 hours ahead of the stream's clock. Digits beyond "+
		"microseconds are cut off."))
	if loose {
		id, at = maybe("id", optional(id.schema)), maybe("occurredAt", optional(at.schema))
	}
	version := optional(object{describe("Version of the contract."), {"type", "integer"},
		{"enum", list{events.Version, nil}},
		{"default", events.Version}, beyond("double-digits")})
	return []property{maybe("version", version), id, typeOf(t),
		required("campaignId", name(events.MaxName, "The campaign that the run belongs to. Any Unicode without "+
			"control characters.")),
		required("runId", name(events.MaxName, "The run, within its campaign.")),
		required("phase", name(events.MaxPhase, "The phase of the run, such as 2-3. Campaign, run and phase "+
			"together name one record of metrics.")),
		at,
	}
}

// fields are those of one type only.
func fields(t events.Type) []property {
	agent := []property{
		required("agentId", name(events.MaxID, "The agent, within its run.")),
		maybe("attempt", withDefault(1, 1, events.MaxAttempt, "Which attempt of the agent it is, from 1. A retry "+
			"has a higher one.")),
	}
	labels := []property{
		maybe("agentName", text(events.MaxLabel, "What people call the agent.")),
		maybe("model", text(events.MaxLabel, "The language model that it used.")),
		maybe("error", text(events.MaxError, "What went wrong, in words. It is shown to people: no secrets.")),
	}
	switch t {
	case events.AgentFinished:
		return slices.Concat(agent, execution(), labels)
	case events.AgentStarted:
		return slices.Concat(agent, labels)
	case events.RunStarted:
		return []property{maybe("agentsExpected", optional(count(1, events.MaxAgents, "How many agents the run "+
			"will have. Left out, nobody knows: then only run.finished can complete the run, and no agent can be "+
			"missed.")))}
	case events.RunFinished:
		return []property{maybe("outcome", optionalChoice("How the run ended.",
			string(events.OutcomeCompleted), string(events.OutcomeFailed), string(events.OutcomeCancelled)))}
	case events.RunReported:
		return []property{required("metrics", objectOf(report()).with(beyond("metrics-key", "metrics-successful")))}
	}
	return []property{
		required("voids", object{describe("Ids of the events that count nowhere. An id that has not come yet is " +
			"kept in mind."),
			{"type", "array"}, {"minItems", 1}, {"maxItems", events.MaxVoids},
			{"items", name(events.MaxID, "The id of an event of this run.")}}),
		maybe("reason", text(events.MaxLabel, "Why, in words.")),
	}
}

func execution() []property {
	tokens := func(words string) object { return withDefault(0, 0, events.MaxCount, words) }
	return []property{
		required("status", choice("How the execution ended. A cancelled agent counts neither for nor against success.",
			string(events.Succeeded), string(events.Failed), string(events.Cancelled))),
		required("latencyMs", latency("How long the execution took, in milliseconds, by a monotonic clock. A "+
			"fraction is rounded half up.")),
		maybe("tokensIn", tokens("Tokens that the execution sent to models, all its calls together.")),
		maybe("tokensOut", tokens("Tokens that models answered with.")),
		maybe("assetsGenerated", tokens("Assets that the execution made. Those of an agent's last attempt count.")),
		maybe("costUSD", cost(events.MaxCostUSD, "What the execution cost, in US dollars: a number, or a decimal "+
			"in a string, rounded half even to nine fraction digits. Left out or null it is unknown, which is not "+
			"0: the run then says that its cost is not complete.",
			list{"number", "null"})),
	}
}

func report() []property {
	same := func(field string, limit int) property {
		return maybe(field, optional(name(limit, "Where given, equal to the event's "+field+".")))
	}
	return []property{
		same("campaignId", events.MaxName), same("runId", events.MaxName), same("phase", events.MaxPhase),
		required("agentsTotal", count(0, events.MaxCount, "Agents of the run.")),
		required("agentsSuccessful", count(0, events.MaxCount, "Agents that succeeded, not more than agentsTotal.")),
		required("assetsGenerated", count(0, events.MaxReported, "Assets that the run made.")),
		required("tokensIn", count(0, events.MaxReported, "Tokens sent to models.")),
		required("tokensOut", count(0, events.MaxReported, "Tokens that models answered with.")),
		required("costUSD", cost(events.MaxReportedCostUSD, "What the run cost, in US dollars: a number, or a "+
			"decimal in a string, rounded half even to nine fraction digits.", "number")),
		required("latencyP95Ms", latency("95th percentile of the latencies of agents, in milliseconds. A fraction "+
			"is rounded half up.")),
		required("latencyAvgMs", latency("Average latency of agents, in milliseconds. A fraction is rounded half up.")),
	}
}

// objectOf is the schema of an object with the properties.
func objectOf(properties []property) object {
	var needed list
	var described object
	for _, p := range properties {
		described = append(described, member{p.name, p.schema})
		if p.required {
			needed = append(needed, p.name)
		}
	}
	return object{{"type", "object"}, {"required", needed}, {"properties", described}}
}

// bodyOf is the schema of an event of one type, in words that draft 7 has too.
func bodyOf(t events.Type, loose bool) object {
	return object{{"title", string(t)}, describe(about[t] + aboutAll)}.
		with(objectOf(append(envelope(t, loose), fields(t)...))...).
		with(beyond("repeated-names", "surrogates", "size", "subject"))
}

// choosing is the schema of an event of any type, which says of bad ones what their type lacks. ref refers to the schema of
// one type.
func choosing(ref func(events.Type) object) object {
	var types, branches list
	for _, t := range schema.Types {
		types = append(types, string(t))
		branches = append(branches, object{{"if", isType(t)}, {"then", ref(t)}})
	}
	return object{
		{"type", "object"},
		{"properties", object{{"type", object{describe("What the event reports. Left out or null it is " +
			"agent.finished."),
			{"type", list{"string", "null"}}, {"enum", append(types, nil)}, {"default", types[0]}}}}},
		{"allOf", branches},
	}
}

func isType(t events.Type) object {
	if t == events.AgentFinished {
		return object{{"properties", object{{"type", object{{"enum", list{string(t), nil}}}}}}}
	}
	return object{{"required", list{"type"}}, {"properties", object{{"type", object{{"const", string(t)}}}}}}
}

// definitions are the schemas of all types, by name.
func definitions(loose bool) object {
	var all object
	for _, t := range schema.Types {
		all = append(all, member{string(t), bodyOf(t, loose)})
	}
	return all
}

func inDefinitions(t events.Type) object { return object{{"$ref", "#/$defs/" + string(t)}} }
