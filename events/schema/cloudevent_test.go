package schema_test

import "github.com/apexsalesai/runmetrics/events"

// base64Pattern is text in base64, which may have line breaks.
const base64Pattern = `^[\r\n]*(?:(?:[A-Za-z0-9+/][\r\n]*){4})*` +
	`(?:(?:[A-Za-z0-9+/][\r\n]*){2}=[\r\n]*=[\r\n]*|(?:[A-Za-z0-9+/][\r\n]*){3}=[\r\n]*)?$`

// cloudEvent is the schema of a structured CloudEvent. Its own type is not looked at; the event inside has one.
func cloudEvent(ref func(events.Type) object) object {
	inData := func(field string) object {
		return object{{"properties", object{{"data", object{{"type", "object"}, {"required", list{field}},
			{"properties", object{{field, object{{"type", "string"}}}}}}}}}}
	}
	inEnvelope := func(field string, value object) object {
		return object{{"required", list{field}}, {"properties", object{{field, value}}}}
	}
	id := name(events.MaxID, "The event's id, where data has none.")
	at := moment("The event's occurredAt, where data has none.")
	encoded := object{{"required", list{"data_base64"}}, {"properties", object{{"data_base64", object{{"type", "string"}}}}}}
	return object{
		{"type", "object"},
		{"required", list{"specversion"}},
		{"properties", object{
			{"specversion", object{describe("1.0"), {"not", object{{"type", "null"}}}}},
			{"id", object{describe("Required by CloudEvents. It is the event's id where data has none.")}},
			{"source", object{describe("Required by CloudEvents, not looked at.")}},
			{"type", object{describe("Required by CloudEvents, not looked at: the type in data counts.")}},
			{"time", object{describe("It is the event's occurredAt where data has none.")}},
			{"datacontenttype", object{describe("application/json or nothing; not looked at.")}},
			{"data", object{describe("The event. It may lack id and occurredAt."), {"type", list{"object", "null"}}}},
			{"data_base64", object{describe("The event in base64, instead of data: what libraries make of data given " +
				"as bytes."),
				{"type", list{"string", "null"}}, {"contentEncoding", "base64"}, {"contentMediaType", "application/json"},
				{"pattern", base64Pattern}, beyond("data-base64")}},
		}},
		{"if", encoded},
		{"then", object{{"properties", object{{"data", object{{"type", "null"}}}}}}},
		{"else", object{
			{"required", list{"data"}},
			{"properties", object{{"data", choosing(ref)}}},
			{"allOf", list{
				object{{"anyOf", list{inData("id"), inEnvelope("id", id)}}},
				object{{"anyOf", list{inData("occurredAt"), inEnvelope("time", at)}}},
			}},
		}},
		beyond("repeated-names", "surrogates", "size", "subject", "content-type"),
	}
}
