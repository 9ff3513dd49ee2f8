package emulator

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// predicate tells whether a row, or a definition, is wanted.
type predicate[T any] struct {
	holds func(T) bool
	// among are the ids of all rows for which it can hold, where the filter lists them: then no other row needs to be looked
	// at. Nil: it may hold for any row.
	among []uuid.UUID
}

// operand is what a name in a filter stands for.
type operand[T any] struct {
	column *column // whose type literals must have
	value  func(T) value
}

// parseFilter reads a $filter. Lookup finds what a name stands for.
func parseFilter[T any](text string, lookup func(name string) (operand[T], *apiError)) (predicate[T], *apiError) {
	tokens, failure := scanFilter(text)
	if failure != nil {
		return predicate[T]{}, failure
	}
	p := &filterParser[T]{scanner{tokens}, lookup}
	matches, failure := p.or()
	if failure == nil && len(p.left) > 0 {
		failure = p.unexpected()
	}
	return matches, failure
}

// filterParser reads a filter by descent: or, and, not, comparison.
type filterParser[T any] struct {
	scanner
	lookup func(string) (operand[T], *apiError)
}

func (p *filterParser[T]) or() (predicate[T], *apiError) {
	left, failure := p.and()
	for failure == nil && p.accept("or") {
		var right predicate[T]
		before := left
		right, failure = p.and()
		left = predicate[T]{holds: func(x T) bool { return before.holds(x) || right.holds(x) }}
		if before.among != nil && right.among != nil {
			left.among = slices.Concat(before.among, right.among)
		}
	}
	return left, failure
}

func (p *filterParser[T]) and() (predicate[T], *apiError) {
	left, failure := p.not()
	for failure == nil && p.accept("and") {
		var right predicate[T]
		before := left
		right, failure = p.not()
		left = predicate[T]{holds: func(x T) bool { return before.holds(x) && right.holds(x) }, among: before.among}
		if left.among == nil {
			left.among = right.among
		}
	}
	return left, failure
}

func (p *filterParser[T]) not() (predicate[T], *apiError) {
	switch {
	case p.accept("not"):
		if len(p.left) > 0 && !p.is("not") && !p.is("(") && !p.isCall() {
			return predicate[T]{}, notKnown("not without parentheses in a filter") // it binds closer than eq
		}
		inner, failure := p.not()
		return predicate[T]{holds: func(x T) bool { return !inner.holds(x) }}, failure
	case p.accept("("):
		inner, failure := p.or()
		if failure == nil {
			failure = p.expect(")")
		}
		return inner, failure
	}
	return p.comparison()
}

// comparison reads a function, or a column, an operator and a literal.
func (p *filterParser[T]) comparison() (predicate[T], *apiError) {
	name, failure := p.next()
	if failure != nil {
		return predicate[T]{}, failure
	}
	switch {
	case !name.quoted && p.is("("):
		return p.function(name.text)
	case name.quoted || name.text == "null" || strings.IndexByte("0123456789-@", name.text[0]) >= 0:
		return predicate[T]{}, notKnown("a filter with %q on the left side", name.text)
	}
	left, failure := p.lookup(name.text)
	if failure != nil {
		return predicate[T]{}, failure
	}
	operator := p.operator()
	if operator == "" {
		return predicate[T]{}, p.unexpected()
	}
	holds := operators[operator]
	literal, failure := p.next()
	if failure != nil {
		return predicate[T]{}, failure
	}
	right, failure := p.literal(left.column, literal)
	if failure != nil {
		return predicate[T]{}, failure
	}
	matches := predicate[T]{holds: func(x T) bool { return holds(left.value(x), right) }}
	if operator == "eq" {
		matches.among = left.ids(right)
	}
	return matches, nil
}

// ids are the values as ids, if the operand is the primary id of rows, else nil.
func (o operand[T]) ids(values ...value) []uuid.UUID {
	if o.column.Position != byID {
		return nil
	}
	ids := []uuid.UUID{}
	for _, v := range values {
		if id, ok := v.id(); ok { // a null is no row's
			ids = append(ids, id)
		}
	}
	return ids
}

// operators compare a value with a literal. Against null only eq and ne hold, and a null is ne to everything else.
var operators = map[string]func(v, literal value) bool{
	"eq": func(v, literal value) bool { return compare(v, literal) == 0 },
	"ne": func(v, literal value) bool { return compare(v, literal) != 0 },
	"gt": func(v, literal value) bool { return v != null && literal != null && compare(v, literal) > 0 },
	"ge": func(v, literal value) bool { return v != null && literal != null && compare(v, literal) >= 0 },
	"lt": func(v, literal value) bool { return v != null && literal != null && compare(v, literal) < 0 },
	"le": func(v, literal value) bool { return v != null && literal != null && compare(v, literal) <= 0 },
}

// literal reads a literal of the column's type. GUIDs may be quoted, other values only where they are texts.
func (p *filterParser[T]) literal(c *column, t token) (value, *apiError) {
	switch {
	case t == (token{"null", false}):
		return null, nil
	case !t.quoted && len(p.left) > 0 && p.left[0].quoted: // Microsoft.Dynamics.CRM.AttributeTypeCode'String'
		return null, notKnown("literals of the type %q", t.text)
	case !t.quoted && (strings.HasPrefix(t.text, "@") || p.is("(")):
		return null, notKnown("a filter with %q on the right side", t.text)
	}
	if t.quoted == c.isText() || t.quoted && c.Type == typeID {
		if v, ok := c.literal(t.text); ok {
			return v, nil
		}
	} else if !t.quoted {
		if other, failure := p.lookup(t.text); failure == nil {
			return null, notKnown("a comparison with the column %q on the right side", other.column.LogicalName)
		}
	}
	return null, badQuery("A binary operator with incompatible types was detected: the literal '%s' is not of the type '%s'"+
		" of '%s'.", t.text, c.edmType(), c.LogicalName)
}
