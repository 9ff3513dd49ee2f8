package events

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxCost         = MaxCostUSD * NanosPerUSD
	maxReportedCost = MaxReportedCostUSD * NanosPerUSD
)

const (
	stringKind jsontext.Kind = '"'
	numberKind jsontext.Kind = '0'
)

// reader takes typed values out of an object and keeps a list of what is bad. A bad value reads as zero.
type reader struct {
	object object
	texts  *[fieldCount]string // strings of object as they were before they were written, nil where it was read
	shared *sharedTexts        // where texts that repeat are found, nil where none is read
	prefix string              // of the names in errors, "metrics."
	bad    []FieldError
}

func (r *reader) refuse(f field, problem string) {
	r.bad = append(r.bad, FieldError{r.prefix + f.String(), problem})
}

// has returns the kind of a value, 0 where it is absent.
func (r *reader) has(f field) jsontext.Kind {
	if r.object[f] == nil {
		return 0
	}
	return r.object[f].Kind()
}

// text reads an optional string of up to limit UTF-16 code units without U+0000.
func (r *reader) text(f field, limit int, absent string) string {
	if r.object[f] == nil {
		return absent
	}
	s, ok := r.unquote(f)
	switch {
	case !ok:
		return ""
	case tooLong(s, limit):
		r.refuse(f, fmt.Sprintf("must have at most %d characters", limit))
	case strings.IndexByte(s, 0) >= 0:
		r.refuse(f, "must not contain U+0000")
	}
	return s
}

// name reads a required string that identifies something: 1 to limit UTF-16 code units, no control characters.
func (r *reader) name(f field, limit int) string {
	if r.object[f] == nil {
		r.refuse(f, "is required")
		return ""
	}
	s, ok := r.unquote(f)
	if ok {
		if problem := nameProblem(s, limit); problem != "" {
			r.refuse(f, problem)
		}
	}
	return s
}

func nameProblem(s string, limit int) string {
	switch {
	case s == "" || tooLong(s, limit):
		return fmt.Sprintf("must have 1 to %d characters", limit)
	case hasControl(s):
		return "must not contain control characters"
	}
	return ""
}

func (r *reader) unquote(f field) (string, bool) {
	s, ok := r.string(f)
	if !ok {
		r.refuse(f, "must be a string")
	}
	return s, ok
}

// string saves unquoting what was never read. A string that is not UTF-8 is another one then than as it is written; no rule
// tells them apart.
func (r *reader) string(f field) (string, bool) {
	if r.texts != nil && r.texts[f] != "" {
		return r.texts[f], true
	}
	raw := r.object[f]
	if r.shared != nil && sharedFields[f] && isShared(raw) {
		return r.shared.of(f, raw[1:len(raw)-1]), true
	}
	return unquote(raw)
}

func unquote(raw jsontext.Value) (string, bool) {
	if raw.Kind() != stringKind {
		return "", false
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	return string(b), err == nil
}

// tooLong counts UTF-16 code units as Dataverse and JavaScript do: characters beyond the basic plane are two. There are
// never more of them than bytes.
func tooLong(s string, limit int) bool {
	if len(s) <= limit {
		return false
	}
	n := 0
	for _, c := range s {
		n++
		if c > 0xFFFF {
			n++
		}
	}
	return n > limit
}

func hasControl(s string) bool {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7F {
		i++ // nearly always to the end
	}
	for _, c := range s[i:] {
		if c < ' ' || c >= 0x7F && c < 0xA0 {
			return true
		}
	}
	return false
}

// oneOf reads one of the choices; it is required where absent is empty.
func (r *reader) oneOf(f field, absent string, choices ...string) string {
	if r.object[f] == nil && absent != "" {
		return absent
	}
	if s, ok := r.string(f); ok && slices.Contains(choices, s) {
		return s
	}
	problem := "must be " + strings.Join(choices, ", ")
	if r.object[f] == nil {
		problem = "is required and " + problem
	}
	r.refuse(f, problem)
	return ""
}

// integer reads an optional integer from low to high, neither of them below 0, which may be written 5.0 or 1e3.
func (r *reader) integer(f field, low, high, absent int64) int64 {
	raw := r.object[f]
	if raw == nil {
		return absent
	}
	if n, ok := nonNegative(raw, 0, exact); ok && n >= low && n <= high {
		return n
	}
	r.refuse(f, fmt.Sprintf("must be an integer from %d to %d", low, high))
	return 0
}

func (r *reader) required(f field, high int64) int64 {
	if r.object[f] == nil {
		r.refuse(f, "is required")
		return 0
	}
	return r.integer(f, 0, high, 0)
}

// latency reads required milliseconds, rounded half up. Runtimes send floats.
func (r *reader) latency(f field) int64 {
	raw := r.object[f]
	if raw == nil {
		r.refuse(f, "is required")
		return 0
	}
	if n, ok := nonNegative(raw, 0, halfUp); ok && n <= MaxLatencyMs {
		return n
	}
	r.refuse(f, fmt.Sprintf("must be a number from 0 to %d", MaxLatencyMs))
	return 0
}

// cost reads dollars from a number or a string, rounded half even to nano-dollars; absent is unknown.
func (r *reader) cost(f field, high Nanos) Cost {
	raw := r.object[f]
	if raw == nil {
		return Cost{}
	}
	number := []byte(raw)
	if s, quoted := unquote(raw); quoted {
		number = []byte(s)
	}
	if n, ok := nonNegative(number, 9, halfEven); ok && n <= int64(high) {
		return USD(Nanos(n))
	}
	r.refuse(f, "must be a decimal number from 0 to "+high.String())
	return Cost{}
}

// reportedCost reads the cost of a whole run. Who reports a record knows it: a misspelt name must not read as no cost.
func (r *reader) reportedCost() Nanos {
	if r.object[fieldCostUSD] == nil {
		r.refuse(fieldCostUSD, "is required")
	}
	return r.cost(fieldCostUSD, maxReportedCost).Nanos
}

// ids reads the list of event ids that a void names.
func (r *reader) ids(f field) []string {
	raw := r.object[f]
	if raw == nil || raw.Kind() != '[' {
		r.refuse(f, "is required and must be an array")
		return nil
	}
	var list []string
	elements := jsontext.NewDecoder(strings.NewReader(string(raw)))
	_, err := elements.ReadToken()
	for err == nil && elements.PeekKind() != ']' {
		var element jsontext.Value
		if element, err = elements.ReadValue(); err != nil {
			break
		}
		id, ok := unquote(element)
		if !ok || nameProblem(id, MaxID) != "" {
			r.refuse(f, fmt.Sprintf("must hold strings of 1 to %d characters without control characters", MaxID))
			return nil
		}
		list = append(list, id)
	}
	if err != nil || len(list) == 0 || len(list) > MaxVoids {
		r.refuse(f, fmt.Sprintf("must hold 1 to %d event ids", MaxVoids))
		return nil
	}
	return list
}

// same refuses a key field that is given and differs from the event's.
func (r *reader) same(f field, want string) {
	if r.object[f] == nil {
		return
	}
	if s, ok := unquote(r.object[f]); !ok || s != want {
		r.refuse(f, "must equal the event's "+f.String())
	}
}
