package emulator

import (
	"slices"
	"strings"
	"unicode"

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
	p := &filterParser[T]{tokens: tokens, lookup: lookup}
	matches, failure := p.or()
	if failure == nil && len(p.tokens) > 0 {
		failure = p.unexpected()
	}
	return matches, failure
}

// token is a part of a filter: a word (a name, a number, a date, a GUID), a quoted text, or one of ( ) , = [ ].
type token struct {
	text   string
	quoted bool
}

const filterSigns = "(),=[]"

func scanFilter(text string) ([]token, *apiError) {
	var tokens []token
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		switch {
		case text == "":
			return tokens, nil
		case text[0] == '\'':
			inside, rest, closed := cutQuoted(text)
			if !closed {
				return nil, badQuery("There is an unterminated string literal in the filter.")
			}
			tokens, text = append(tokens, token{inside, true}), rest
		case strings.IndexByte(filterSigns, text[0]) >= 0:
			tokens, text = append(tokens, token{text[:1], false}), text[1:]
		default:
			end := strings.IndexFunc(text+" ", func(c rune) bool {
				return unicode.IsSpace(c) || strings.ContainsRune(filterSigns+"'", c)
			})
			tokens, text = append(tokens, token{text[:end], false}), text[end:]
		}
	}
}

// filterParser reads a filter by descent: or, and, not, comparison.
type filterParser[T any] struct {
	tokens []token
	lookup func(string) (operand[T], *apiError)
}

// is tells whether the next token is this word or sign, without taking it.
func (p *filterParser[T]) is(text string) bool {
	return len(p.tokens) > 0 && p.tokens[0] == token{text, false}
}

// accept takes the next token if it is this word or sign.
func (p *filterParser[T]) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// next takes a token.
func (p *filterParser[T]) next() (token, *apiError) {
	if len(p.tokens) == 0 {
		return token{}, badQuery("Syntax error at the end of the filter: Expression expected.")
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t, nil
}

func (p *filterParser[T]) unexpected() *apiError {
	if len(p.tokens) == 0 {
		return badQuery("Syntax error at the end of the filter.")
	}
	return badQuery("Syntax error at '%s' in the filter.", p.tokens[0].text)
}

// expect takes these words or signs.
func (p *filterParser[T]) expect(texts ...string) *apiError {
	for _, text := range texts {
		if !p.accept(text) {
			return p.unexpected()
		}
	}
	return nil
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
	operator, failure := p.next()
	if failure != nil {
		return predicate[T]{}, failure
	}
	holds, known := operators[operator.text]
	if !known || operator.quoted {
		return predicate[T]{}, badQuery("Syntax error at '%s' in the filter: an operator is expected.", operator.text)
	}
	literal, failure := p.next()
	if failure != nil {
		return predicate[T]{}, failure
	}
	right, failure := p.literal(left.column, literal)
	if failure != nil {
		return predicate[T]{}, failure
	}
	matches := predicate[T]{holds: func(x T) bool { return holds(left.value(x), right) }}
	if operator.text == "eq" {
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
	case !t.quoted && len(p.tokens) > 0 && p.tokens[0].quoted: // Microsoft.Dynamics.CRM.AttributeTypeCode'String'
		return null, notKnown("literals of the type %q", t.text)
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

// column takes the name of a column.
func (p *filterParser[T]) column() (operand[T], *apiError) {
	name, failure := p.next()
	if failure != nil {
		return operand[T]{}, failure
	}
	return p.lookup(name.text)
}

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

// textFunction reads (column,'text'). Case does not matter.
func (p *filterParser[T]) textFunction(holds func(text, part string) bool) (predicate[T], *apiError) {
	if failure := p.expect("("); failure != nil {
		return predicate[T]{}, failure
	}
	left, failure := p.column()
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
	if !literal.quoted || !left.column.isText() {
		return predicate[T]{}, badQuery("No function signature for the function matches the specified arguments: texts are expected.")
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
	left, failure := p.column()
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
		v, ok := left.column.literal(literal.text)
		if !ok || !literal.quoted {
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
