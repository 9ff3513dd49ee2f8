package emulator

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// assignment is a value for a column.
type assignment struct {
	column *column
	value  value
}

// payload is a row as a client sends it.
type payload struct {
	assigned  []assignment // of columns that clients may write
	id        uuid.UUID    // of the primary id, uuid.Nil if it is not in there
	odataType string       // @odata.type, without # at its beginning
	odataID   string       // @odata.id
}

// readPayload reads the JSON of a row.
func readPayload(t *table, body []byte) (*payload, *apiError) {
	object, failure := readObject(t.LogicalName, body)
	if failure != nil {
		return nil, failure
	}
	return t.payload(object)
}

// readObject reads one JSON object, with numbers as they were written.
func readObject(of string, body []byte) (map[string]any, *apiError) {
	var object map[string]any
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&object); err != nil {
		return nil, badPayload(of, "%v", err)
	}
	if _, err := in.Token(); err != io.EOF || object == nil {
		return nil, badPayload(of, "The body must be one JSON object.")
	}
	return object, nil
}

// payload checks an object against the table.
func (t *table) payload(object map[string]any) (*payload, *apiError) {
	p := &payload{}
	for _, name := range slices.Sorted(maps.Keys(object)) { // the first error is always the same
		var failure *apiError
		switch {
		case strings.Contains(name, "@"):
			failure = p.annotation(t, name, object[name])
		case name == t.PrimaryID:
			failure = p.setID(t, object[name])
		default:
			failure = p.assign(t, name, object[name])
		}
		if failure != nil {
			return nil, failure
		}
	}
	return p, nil
}

func (p *payload) annotation(t *table, name string, v any) *apiError {
	text, _ := v.(string)
	switch {
	case name == "@odata.type":
		p.odataType = strings.TrimPrefix(text, "#")
		if p.odataType != t.odataType() {
			return badPayload(t.LogicalName, "A resource with type '%s' was found, but it is not assignable to the expected type"+
				" '%s'.", p.odataType, t.odataType())
		}
	case name == "@odata.id":
		p.odataID = text
	case strings.HasSuffix(name, "@odata.bind"):
		return notKnown("lookup columns such as %q", name)
	}
	return nil
}

func (p *payload) setID(t *table, v any) *apiError {
	text, _ := v.(string)
	id, ok := parseID(text)
	if !ok || id == uuid.Nil {
		return badPayload(t.LogicalName, "Cannot convert the literal '%v' to the expected type 'Edm.Guid'.", v)
	}
	p.id = id
	return nil
}

func (p *payload) assign(t *table, name string, v any) *apiError {
	c := t.column(name)
	if c == nil {
		return badProperty(t.LogicalName, name, t.odataType())
	}
	if c.System {
		return nil // the service ignores them
	}
	converted, failure := c.convert(t.LogicalName, v)
	if failure != nil {
		return failure
	}
	p.assigned = append(p.assigned, assignment{c, converted})
	return nil
}

// idFor is the id of the row that the payload makes at the target.
func (p *payload) idFor(to target) uuid.UUID {
	switch {
	case to.key == nil:
		return to.id
	case p.id != uuid.Nil:
		return p.id
	}
	return uuid.New()
}

// withKey adds the values of the target's key, for a new row. Those in the body win.
func (p *payload) withKey(t *table, to target) ([]assignment, *apiError) {
	var all []assignment
	for _, a := range to.values {
		checked, failure := a.column.check(t.LogicalName, a.value)
		if failure != nil {
			return nil, failure
		}
		all = append(all, assignment{a.column, checked})
	}
	return append(all, p.assigned...), nil
}

// withoutKey leaves out the values of the target's key.
func (p *payload) withoutKey(to target) []assignment {
	return slices.DeleteFunc(slices.Clone(p.assigned), func(a assignment) bool { return to.has(a.column) })
}

// has tells whether the target's key has the column.
func (to target) has(c *column) bool {
	return slices.ContainsFunc(to.values, func(a assignment) bool { return a.column == c })
}
