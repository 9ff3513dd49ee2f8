package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apexsalesai/runmetrics/events"
)

// beyond is a comment that says which rules of a value JSON Schema cannot say.
func beyond(rules ...string) member {
	return member{"$comment", "Beyond JSON Schema: " + strings.Join(rules, ", ") + "."}
}

func describe(words string) member { return member{"description", words} }

// none keeps a pattern out. It is used where a pattern for the whole would be as good, because in some languages $ also
// matches before a line feed at the end.
func none(pattern string) member {
	return member{"not", object{{"type", "string"}, {"pattern", pattern}}}
}

// control are the control characters, in a form that regular expressions of all languages read alike.
const control = `[\x00-\x1F\x7F-\x9F]`

// name is a required string that identifies something.
func name(limit int, words string) object {
	return object{describe(words), {"type", "string"}, {"minLength", 1}, {"maxLength", limit}, none(control), beyond("utf16-length")}
}

// text is an optional string.
func text(limit int, words string) object {
	return object{describe(words), {"type", list{"string", "null"}}, {"maxLength", limit}, none(`\x00`), beyond("utf16-length")}
}

// optional lets a value be null, which is the same as leaving it out.
func optional(o object) object {
	o = append(object{}, o...)
	for i := range o {
		if o[i].name == "type" {
			o[i].value = list{o[i].value, "null"}
		}
	}
	return o
}

// choice is a required string, one of the values.
func choice(words string, values ...any) object {
	return object{describe(words), {"type", "string"}, {"enum", list(values)}}
}

// optionalChoice is one of the values, the first where it is left out.
func optionalChoice(words string, values ...any) object {
	return object{describe(words), {"type", list{"string", "null"}}, {"enum", append(list(values), nil)}, {"default", values[0]}}
}

// count is a required integer.
func count(low, high int, words string) object {
	return object{describe(words), {"type", "integer"}, {"minimum", low}, {"maximum", high}, beyond("double-digits")}
}

// withDefault is an optional integer with the value that it has where it is left out.
func withDefault(value, low, high int, words string) object {
	return optional(count(low, high, words)).with(member{"default", value})
}

// latency is rounded half up, so everything below a half more than the greatest is as good as that.
func latency(words string) object {
	return object{describe(words), {"type", "number"}, {"minimum", 0},
		{"exclusiveMaximum", json.Number(fmt.Sprintf("%d.5", events.MaxLatencyMs))}, beyond("double-digits")}
}

// cost is a number or a decimal in a string. It is rounded half even to nine fraction digits, which lifts nothing over
// the limit that is not more than half of the last digit beyond it.
func cost(limit int, words string, kinds any) object {
	whole := len(fmt.Sprint(limit)) - 1 // digits of all numbers below the limit, a power of ten
	pattern := fmt.Sprintf(`^(?:`+
		`-?0(?:\.0+)?(?:[eE][+-]?[0-9]+)?`+ // nothing, in any way
		`|(?:0|[1-9][0-9]{0,%d})(?:\.[0-9]+)?`+
		`|%d(?:\.(?:0{1,9}|0{9}[0-4][0-9]*|0{9}50*))?`+
		`|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]+`+
		`)$`, whole-1, limit)
	return object{describe(words), {"anyOf", list{
		object{{"type", kinds}, {"minimum", 0}, {"maximum", json.Number(fmt.Sprintf("%d.0000000005", limit))}, beyond("double-digits")},
		object{{"type", "string"}, {"pattern", pattern}, none(`\n`), beyond("cost-exponent")},
	}}}
}

// timePattern is RFC 3339 from the year 2000 to 9999, with the lengths of months and leap years, and the last day before,
// which a negative offset can lift into the range.
func timePattern() string {
	const (
		months = `(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])`
		leap   = `(?:[2-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[3579][26])00)-02-29`
		clock  = `[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?`
		offset = `(?:[01][0-9]|2[0-3]):[0-5][0-9]`
	)
	return `^(?:(?:[2-9][0-9]{3}-(?:` + months + `)|` + leap + `)` + clock + `(?:[Zz]|[+-]` + offset + `)` +
		`|1999-12-31` + clock + `-` + offset + `)$`
}

// moment is a required time. It has no format: that would be a note, and validators that do not know it refuse the schema.
func moment(words string) object {
	return object{describe(words), {"type", "string"}, {"pattern", timePattern()}, none(`\n`),
		beyond("time-ends", "clock")}
}
