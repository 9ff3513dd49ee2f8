package emulator

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// known are the properties of a kind of definition, as those of one.
type known struct {
	kind   string
	sample object
}

// knownOfColumns are the properties of columns of a type; for an empty one those that all types have.
func knownOfColumns(cast string) known {
	t := newTable(newDefinition("a_b"))
	kind := cmp.Or(cast, "AttributeMetadata")
	sample := t.describeColumn(&column{Type: strings.TrimSuffix(kind, "AttributeMetadata")})
	return known{kind, sample}
}

func knownOfKeys() known {
	return known{"EntityKeyMetadata", newTable(newDefinition("a_b")).describeKey(&alternateKey{}, time.Time{})}
}

// check refuses names of other properties.
func (k known) check(name string) *apiError {
	_, is := k.sample[name]
	switch {
	case is && !strings.HasPrefix(name, "@"):
		return nil
	case k.kind == "AttributeMetadata" && slices.Contains(typeProperties, name):
		return noProperty(name, castPrefix+k.kind)
	}
	return notKnown("the property %q of %s", name, k.kind)
}

// selectOf cuts an object down to the properties of a $select. MetadataId and the type stay.
func (k known) selectOf(shown object, list string) (object, *apiError) {
	cut := object{"MetadataId": shown["MetadataId"]}
	if kind, is := shown["@odata.type"]; is {
		cut["@odata.type"] = kind
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if failure := k.check(name); failure != nil {
			return nil, failure
		}
		cut[name] = shown[name]
	}
	return cut, nil
}

// filter reads a $filter on definitions.
func (k known) filter(text string) (predicate[object], *apiError) {
	return parseFilter(text, func(name string) (operand[object], *apiError) {
		if failure := k.check(name); failure != nil {
			return operand[object]{}, failure
		}
		c := &column{LogicalName: name, Type: typeString}
		switch k.sample[name].(type) {
		case string:
			return operand[object]{c, func(o object) value { return textValue(o[name].(string)) }}, nil
		case bool:
			c.Type = typeBoolean
			return operand[object]{c, func(o object) value { return boolValue(o[name].(bool)) }}, nil
		case uuid.UUID:
			c.Type = typeID
			return operand[object]{c, func(o object) value { return idValue(o[name].(uuid.UUID)) }}, nil
		}
		return operand[object]{}, notKnown("a filter on %q of %s", name, k.kind)
	})
}

// expander returns what an expanded property of an object holds.
type expander func(shown object, property string) ([]object, known, *apiError)

// writeObject answers with one definition.
func writeObject(w *answer, q *request, at string, shown object, k known, expand expander) *apiError {
	if failure := q.only("$select", "$expand"); failure != nil {
		return failure
	}
	shown, failure := q.shape(shown, k, expand)
	if failure != nil {
		return failure
	}
	shown["@odata.context"] = q.base + "$metadata#" + at
	encoded, _ := json.Marshal(shown) // texts and numbers always can
	writeData(w, http.StatusOK, encoded)
	return nil
}

// writeObjects answers with definitions. They come on one page.
func writeObjects(w *answer, q *request, at string, list []object, k known, expand expander) *apiError {
	if failure := q.only("$select", "$expand", "$filter"); failure != nil {
		return failure
	}
	if text, given := q.query["$filter"]; given {
		matches, failure := k.filter(text)
		if failure != nil {
			return failure
		}
		list = slices.DeleteFunc(list, func(o object) bool { return !matches.holds(o) })
	}
	shaped := make([]object, len(list))
	for i, shown := range list {
		var failure *apiError
		if shaped[i], failure = q.shape(shown, k, expand); failure != nil {
			return failure
		}
	}
	encoded, _ := json.Marshal(object{"@odata.context": q.base + "$metadata#" + at, "value": shaped}) // as above
	writeData(w, http.StatusOK, encoded)
	return nil
}

// shape applies $select and $expand to a definition.
func (q *request) shape(shown object, k known, expand expander) (object, *apiError) {
	shaped := maps.Clone(shown)
	if list, given := q.query["$select"]; given {
		var failure *apiError
		if shaped, failure = k.selectOf(shown, list); failure != nil {
			return nil, failure
		}
	}
	text, given := q.query["$expand"]
	if !given {
		return shaped, nil
	}
	if expand == nil {
		return nil, notKnown("$expand=%s", text)
	}
	for property := range splitExpand(text) {
		name, options, nested := strings.Cut(property, "(")
		list, inner, failure := expand(shown, name)
		if failure != nil {
			return nil, failure
		}
		if nested {
			names, selects := strings.CutPrefix(options, "$select=")
			names, closed := strings.CutSuffix(names, ")")
			if !selects || !closed || strings.Contains(names, ";") {
				return nil, notKnown("$expand=%s", property)
			}
			for i := range list {
				if list[i], failure = inner.selectOf(list[i], names); failure != nil {
					return nil, failure
				}
			}
		}
		shaped[name] = list
	}
	return shaped, nil
}

// splitExpand splits at the commas outside parentheses.
func splitExpand(text string) func(yield func(string) bool) {
	depth := 0
	return strings.FieldsFuncSeq(text, func(c rune) bool {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		return c == ',' && depth == 0
	})
}
