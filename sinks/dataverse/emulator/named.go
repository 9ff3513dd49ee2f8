package emulator

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// named returns the rows whose ids a filter lists, in the order of ids, where it is such a list and nothing else. Programs
// that compare a large table read it with thousands of such queries, each of which would look at every row.
func (t *table) named(filter string) (rows []*row, isList bool) {
	ids, isList := listedIDs(filter, t.id().LogicalName)
	if !isList {
		return nil, false
	}
	for _, id := range ids {
		if r := t.rows.find(&row{id: id}); r != nil {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, compareIDs)
	return slices.Compact(rows), true
}

// behind cuts off the rows of a list, sorted by id, up to the last of the page before; nil: there is none.
func behind(rows []*row, last *row) []*row {
	if last == nil {
		return rows
	}
	at, found := slices.BinarySearchFunc(rows, last, compareIDs)
	if found {
		at++
	}
	return rows[at:]
}

// listedIDs reads Microsoft.Dynamics.CRM.In(PropertyName='primary id',PropertyValues=['id','id']).
func listedIDs(filter, primaryID string) ([]uuid.UUID, bool) {
	const function = "Microsoft.Dynamics.CRM.In"
	if !strings.HasPrefix(filter, function) {
		return nil, false
	}
	tokens, failure := scanFilter(filter)
	head := []token{{text: function}, {text: "("}, {text: "PropertyName"}, {text: "="}, {text: primaryID, quoted: true}, {text: ","},
		{text: "PropertyValues"}, {text: "="}, {text: "["}}
	tail := []token{{text: "]"}, {text: ")"}}
	if failure != nil || len(tokens) < len(head)+len(tail) || !slices.Equal(tokens[:len(head)], head) ||
		!slices.Equal(tokens[len(tokens)-len(tail):], tail) {
		return nil, false
	}
	var ids []uuid.UUID
	for _, t := range tokens[len(head) : len(tokens)-len(tail)] {
		if t == (token{text: ","}) {
			continue
		}
		id, valid := parseID(t.text)
		if !valid || !t.quoted {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}
