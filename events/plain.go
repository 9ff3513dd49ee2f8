package events

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanPlain reads what nearly every message is, in a fifth of the library's time: one object whose names are known,
// different and written without escapes, and whose values are strings without escapes, numbers or literals. Anything else,
// and anything wrong, is left to the library, whose word counts: then the result is false, and the object is partly filled.
func (o *object) scanPlain(data []byte) bool {
	i := skipSpace(data, 0)
	if i == len(data) || data[i] != '{' {
		return false
	}
	var seen [fieldCount]bool // a null is absent, but its name may not come again
	for {
		i = skipSpace(data, i+1) // behind the bracket or the comma
		begin := i
		if i = plainString(data, i); i < 0 {
			return false
		}
		f, known := fieldOf(data[begin+1 : i-1])
		if !known || seen[f] {
			return false
		}
		seen[f] = true
		if i = skipSpace(data, i); i == len(data) || data[i] != ':' {
			return false
		}
		begin = skipSpace(data, i+1)
		if i = plainValue(data, begin); i < 0 {
			return false
		}
		if data[begin] != 'n' {
			o[f] = jsontext.Value(data[begin:i])
		}
		if i = skipSpace(data, i); i == len(data) {
			return false
		}
		if data[i] == '}' {
			return skipSpace(data, i+1) == len(data)
		}
		if data[i] != ',' {
			return false
		}
	}
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// plainValue returns where the value that begins at i ends, below 0 where it is not plain.
func plainValue(data []byte, i int) int {
	if i == len(data) {
		return -1
	}
	switch data[i] {
	case '"':
		return plainString(data, i)
	case 't':
		return plainLiteral(data, i, "true")
	case 'f':
		return plainLiteral(data, i, "false")
	case 'n':
		return plainLiteral(data, i, "null")
	}
	return plainNumber(data, i)
}

// plainString also returns below 0 where what begins at i is no string.
func plainString(data []byte, i int) int {
	if i == len(data) || data[i] != '"' {
		return -1
	}
	begin, ascii := i+1, true
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case isPlain[c]:
		case c == '"':
			if !ascii && !utf8.Valid(data[begin:i]) {
				return -1
			}
			return i + 1
		case c < ' ' || c == '\\':
			return -1
		default:
			ascii = false
		}
	}
	return -1
}

// isPlain are the bytes that stand for themselves in a string, of which most have no others.
var isPlain = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

func plainLiteral(data []byte, i int, literal string) int {
	end := i + len(literal)
	if end > len(data) || string(data[i:end]) != literal {
		return -1
	}
	return end
}

// plainNumber knows no exponents.
func plainNumber(data []byte, i int) int {
	if data[i] == '-' {
		i++
	}
	whole := digitsAt(data, i)
	if whole == 0 || whole > 1 && data[i] == '0' {
		return -1
	}
	if i += whole; i < len(data) && data[i] == '.' {
		fraction := digitsAt(data, i+1)
		if fraction == 0 {
			return -1
		}
		i += 1 + fraction
	}
	return i
}
