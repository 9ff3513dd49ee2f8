package emulator

import (
	"slices"
	"strings"
)

// function reads what stands behind a function's name.
func (p *filterParser[T]) function(name string) (predicate[T], *apiError) {
	switch name {
	case "contains":
		return p.textFunction(strings.Contains)
	case "startswith":
		return p.textFunction(strings.HasPrefix)
	case "endswith":
		return p.textFunction(strings.HasSuffix)
	case "Microsoft.Dynamics.CRM.In":
		return p.in()
	}
	return predicate[T]{}, notKnown("the function %q in a filter", name)
}

// column takes the name of a column, which is quoted in the service's own functions only.
func (p *filterParser[T]) column(quoted bool) (operand[T], *apiError) {
	name, failure := p.next()
	switch {
	case failure != nil:
		return operand[T]{}, failure
	case name.quoted != quoted || p.is("("): // a text, or a function
		return operand[T]{}, notKnown("%q as the column of a function", name.text)
	}
	return p.lookup(name.text)
}

// textFunction reads (column,'text'). Case does not matter.
func (p *filterParser[T]) textFunction(holds func(text, part string) bool) (predicate[T], *apiError) {
	if failure := p.expect("("); failure != nil {
		return predicate[T]{}, failure
	}
	left, failure := p.column(false)
	if failure != nil {
		return predicate[T]{}, failure
	}
	if failure := p.expect(","); failure != nil {
		return predicate[T]{}, failure
	}
	literal, failure := p.next()
	if failure != nil {
		return predicate[T]{}, failure
	}
	switch {
	case !literal.quoted && !strings.ContainsAny(literal.text[:1], "0123456789-"): // a column, a function, null
		return predicate[T]{}, notKnown("%q as the text of a function", literal.text)
	case !literal.quoted || !left.column.isText():
		return predicate[T]{}, badQuery("No function signature for the function matches the specified arguments: texts are" +
			" expected.")
	}
	part := strings.ToLower(literal.text)
	matches := predicate[T]{holds: func(x T) bool {
		v := left.value(x)
		return v != null && holds(strings.ToLower(v.text()), part)
	}}
	return matches, p.expect(")")
}

// in reads (PropertyName='column',PropertyValues=['a','b']), where all values are quoted.
func (p *filterParser[T]) in() (predicate[T], *apiError) {
	if failure := p.expect("(", "PropertyName", "="); failure != nil {
		return predicate[T]{}, failure
	}
	left, failure := p.column(true)
	if failure != nil {
		return predicate[T]{}, failure
	}
	if failure := p.expect(",", "PropertyValues", "=", "["); failure != nil {
		return predicate[T]{}, failure
	}
	var wanted []value
	for len(wanted) == 0 || p.accept(",") {
		literal, failure := p.next()
		if failure != nil {
			return predicate[T]{}, failure
		}
		switch {
		case literal == token{"]", false}:
			return predicate[T]{}, badQuery("Microsoft.Dynamics.CRM.In must have a value.")
		case !literal.quoted:
			return predicate[T]{}, notKnown("the value %s without single quotes", literal.text)
		}
		v, ok := left.column.literal(literal.text)
		if !ok {
			return predicate[T]{}, badQuery("The value '%s' is not of the type '%s' of '%s'.",
				literal.text, left.column.edmType(), left.column.LogicalName)
		}
		wanted = append(wanted, v)
	}
	matches := predicate[T]{among: left.ids(wanted...), holds: func(x T) bool {
		v := left.value(x)
		return v != null && slices.ContainsFunc(wanted, func(w value) bool { return compare(v, w) == 0 })
	}}
	return matches, p.expect("]", ")")
}
