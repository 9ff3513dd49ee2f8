package emulator

import (
	"slices"
	"strings"
	"unicode"
)

// token is a part of a filter: a word (a name, a number, a date, a GUID), a quoted text, or one of ( ) , = [ ].
type token struct {
	text   string
	quoted bool
}

const filterSigns = "(),=[]"

func scanFilter(text string) ([]token, *apiError) {
	var all []token
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		switch {
		case text == "":
			return all, nil
		case text[0] == '\'':
			inside, rest, closed := cutQuoted(text)
			if !closed {
				return nil, badQuery("There is an unterminated string literal in the filter.")
			}
			all, text = append(all, token{inside, true}), rest
		case strings.IndexByte(filterSigns, text[0]) >= 0:
			all, text = append(all, token{text[:1], false}), text[1:]
		default:
			end := strings.IndexFunc(text+" ", func(c rune) bool {
				return unicode.IsSpace(c) || strings.ContainsRune(filterSigns+"'", c)
			})
			all, text = append(all, token{text[:end], false}), text[end:]
		}
	}
}

// scanner hands out the tokens of a filter.
type scanner struct{ left []token }

// is tells whether the next token is this word or sign, without taking it.
func (s *scanner) is(text string) bool {
	return len(s.left) > 0 && s.left[0] == token{text, false}
}

// accept takes the next token if it is this word or sign.
func (s *scanner) accept(text string) bool {
	if !s.is(text) {
		return false
	}
	s.left = s.left[1:]
	return true
}

// isCall tells whether a function comes next.
func (s *scanner) isCall() bool {
	return len(s.left) > 1 && !s.left[0].quoted && s.left[1] == token{"(", false}
}

// operator takes the next token if it is one of operators, else it returns none.
func (s *scanner) operator() string {
	for name := range operators {
		if s.accept(name) {
			return name
		}
	}
	return ""
}

// next takes a token.
func (s *scanner) next() (token, *apiError) {
	if len(s.left) == 0 {
		return token{}, badQuery("Syntax error at the end of the filter: Expression expected.")
	}
	t := s.left[0]
	s.left = s.left[1:]
	return t, nil
}

// unexpected refuses the next token. An operator is none that OData would refuse, as it has boolean values and arithmetic.
func (s *scanner) unexpected() *apiError {
	if len(s.left) == 0 {
		return badQuery("Syntax error at the end of the filter.")
	}
	t := s.left[0]
	if !t.quoted && slices.Contains(odataOperators, t.text) {
		return notKnown("the operator %q at this place in a filter", t.text)
	}
	return badQuery("Syntax error at '%s' in the filter.", t.text)
}

var odataOperators = []string{"eq", "ne", "gt", "ge", "lt", "le", "has", "in", "add", "sub", "mul", "div", "divby", "mod"}

// expect takes these words or signs.
func (s *scanner) expect(texts ...string) *apiError {
	for _, text := range texts {
		if !s.accept(text) {
			return s.unexpected()
		}
	}
	return nil
}
