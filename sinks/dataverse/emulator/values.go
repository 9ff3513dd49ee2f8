package emulator

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// value is one cell in its stored form: a tag, then the content, which says by itself where it ends. A row is its values
// one after the other, so a million rows are a million strings and not fourteen million pointers, and what the journal
// holds is what memory holds.
type value string

// The tags. They are in files: never renumber them.
const (
	tagNull    = 0
	tagText    = 1 // length in bytes, bytes
	tagInt     = 2 // zigzag varint
	tagDecimal = 3 // whole and parts, two zigzag varints
	tagTime    = 4 // seconds since 1970, zigzag varint
	tagID      = 5 // 16 bytes
	tagBool    = 6 // one byte
)

const null = value("\x00")

func textValue(s string) value {
	if s == "" {
		return null // as the service does
	}
	return value(binary.AppendUvarint([]byte{tagText}, uint64(len(s)))) + value(s)
}

func intValue(n int64) value { return value(binary.AppendVarint([]byte{tagInt}, n)) }

func decimalValue(d decimal) value {
	return value(binary.AppendVarint(binary.AppendVarint([]byte{tagDecimal}, d.whole), d.parts))
}

func timeValue(t time.Time) value { return value(binary.AppendVarint([]byte{tagTime}, t.Unix())) }

func idValue(id uuid.UUID) value { return value("\x05" + string(id[:])) }

func boolValue(b bool) value {
	if b {
		return "\x06\x01"
	}
	return "\x06\x00"
}

// size is the length of the first value of a row's cells.
func size(cells string) int {
	switch cells[0] {
	case tagText:
		length, n := uvarint(cells[1:])
		return 1 + n + int(length)
	case tagInt, tagTime:
		_, n := uvarint(cells[1:])
		return 1 + n
	case tagDecimal:
		_, n := uvarint(cells[1:])
		_, m := uvarint(cells[1+n:])
		return 1 + n + m
	case tagID:
		return 17
	case tagBool:
		return 2
	}
	return 1
}

// uvarint is binary.Uvarint on a string.
func uvarint(s string) (uint64, int) {
	var x uint64
	for i := range len(s) {
		x |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return x, i + 1
		}
	}
	return x, len(s)
}

func varint(s string) (int64, int) {
	x, n := uvarint(s)
	return int64(x>>1) ^ -int64(x&1), n
}

// text is the content of a text, empty for other values.
func (v value) text() string {
	if v[0] != tagText {
		return ""
	}
	_, n := uvarint(string(v[1:]))
	return string(v[1+n:])
}

// int is the content of a whole number, or the seconds of a time.
func (v value) int() int64 {
	n, _ := varint(string(v[1:]))
	return n
}

// id is an id; false for other values.
func (v value) id() (uuid.UUID, bool) {
	id, err := uuid.FromBytes([]byte(v[1:]))
	return id, err == nil && v[0] == tagID
}

// decimal is a number, whole or not.
func (v value) decimal() decimal {
	whole, n := varint(string(v[1:]))
	if v[0] == tagInt {
		return decimal{whole: whole}
	}
	parts, _ := varint(string(v[1+n:]))
	return decimal{whole, parts}
}

// compare orders two values of one column, null first. Texts are compared as the service's collation does, without regard
// to case.
func compare(a, b value) int {
	if a[0] == tagNull || b[0] == tagNull {
		return cmp.Compare(min(a[0], 1), min(b[0], 1))
	}
	switch a[0] {
	case tagText:
		return compareFold(a.text(), b.text())
	case tagInt, tagDecimal:
		return a.decimal().compare(b.decimal())
	case tagTime:
		return cmp.Compare(a.int(), b.int())
	}
	return strings.Compare(string(a), string(b))
}

func compareFold(a, b string) int {
	for a != "" && b != "" {
		x, n := utf8.DecodeRuneInString(a)
		y, m := utf8.DecodeRuneInString(b)
		if x != y {
			if c := cmp.Compare(unicode.ToLower(x), unicode.ToLower(y)); c != 0 {
				return c
			}
		}
		a, b = a[n:], b[m:]
	}
	return cmp.Compare(len(a), len(b))
}

// fold makes equal texts the same, for the maps of alternate keys.
func (v value) fold() value {
	if v[0] != tagText {
		return v
	}
	return textValue(strings.Map(unicode.ToLower, v.text()))
}

// appendJSON writes a value of the column.
func (c *column) appendJSON(b []byte, v value) []byte {
	switch v[0] {
	case tagText:
		text, _ := json.Marshal(v.text()) // a string always can
		return append(b, text...)
	case tagInt:
		return strconv.AppendInt(b, v.int(), 10)
	case tagDecimal:
		return v.decimal().append(b, c.Precision)
	case tagTime:
		layout := `"` + time.RFC3339 + `"`
		if c.dateOnly() {
			layout = `"` + time.DateOnly + `"`
		}
		return time.Unix(v.int(), 0).UTC().AppendFormat(b, layout)
	case tagID:
		id, _ := v.id()
		return append(append(append(b, '"'), id.String()...), '"')
	case tagBool:
		return strconv.AppendBool(b, v[1] == 1)
	}
	return append(b, "null"...)
}

// plain is a value of the column as text, without quotes.
func (c *column) plain(v value) string {
	if c.isText() {
		return v.text()
	}
	return strings.Trim(string(c.appendJSON(nil, v)), `"`)
}
