package emulator

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
)

// The types of columns, named as AttributeType in metadata.
const (
	typeString   = "String"
	typeMemo     = "Memo"
	typeInteger  = "Integer"
	typeDecimal  = "Decimal"
	typeDouble   = "Double"
	typeDateTime = "DateTime"
	typeBigInt   = "BigInt"           // versionnumber only
	typeID       = "Uniqueidentifier" // the primary id only
	typeBoolean  = "Boolean"          // in filters on definitions only
)

// column is the definition of a column. It is kept on disk as JSON.
type column struct {
	MetadataID    uuid.UUID
	SchemaName    string
	LogicalName   string
	Label         string
	Description   string `json:",omitempty"`
	Type          string
	Position      int    // among the row's values, or byID, byVersion
	System        bool   `json:",omitempty"` // made and written by the service
	RequiredLevel string `json:",omitempty"`

	MaxLength int     `json:",omitempty"` // of texts, in UTF-16 code units
	Min, Max  float64 // of numbers
	Precision int     `json:",omitempty"` // fraction digits of Decimal and Double
	Format    string  `json:",omitempty"` // DateOnly or DateAndTime, of DateTime
	Behavior  string  `json:",omitempty"` // UserLocal, DateOnly or TimeZoneIndependent, of DateTime
}

// dateOnly tells whether values have no time of day (Edm.Date).
func (c *column) dateOnly() bool { return c.Behavior == "DateOnly" }

// isText tells whether values are texts.
func (c *column) isText() bool { return c.Type == typeString || c.Type == typeMemo }

// edmType is the type of the column's values in OData.
func (c *column) edmType() string {
	switch c.Type {
	case typeString, typeMemo:
		return "Edm.String"
	case typeInteger:
		return "Edm.Int32"
	case typeBigInt:
		return "Edm.Int64"
	case typeDateTime:
		if c.dateOnly() {
			return "Edm.Date"
		}
		return "Edm.DateTimeOffset"
	case typeID:
		return "Edm.Guid"
	}
	return "Edm." + c.Type
}

// parse reads a value that a URL has without quotes, or with them for texts.
func (c *column) parse(text string) (value, bool) {
	switch c.Type {
	case typeString, typeMemo:
		return textValue(text), true
	case typeInteger, typeBigInt:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return intValue(n), true
		}
		d, ok := parseDecimal(text) // to compare with
		return decimalValue(d), ok
	case typeDecimal, typeDouble:
		d, ok := parseDecimal(text)
		return decimalValue(d), ok
	case typeDateTime:
		t, ok := parseTime(text, c.dateOnly())
		return timeValue(t), ok
	case typeID:
		id, err := uuid.Parse(text)
		return idValue(id), err == nil && len(text) == 36
	case typeBoolean:
		return boolValue(text == "true"), text == "true" || text == "false"
	}
	return null, false
}

// literal reads a value to compare with: as parse does, or a date for a time, which is its midnight in UTC.
func (c *column) literal(text string) (value, bool) {
	v, ok := c.parse(text)
	if !ok && c.Type == typeDateTime {
		var t time.Time
		t, ok = parseTime(text, true)
		v = timeValue(t)
	}
	return v, ok
}

// convert reads a value of a JSON body and checks it against the limits of the column, which is in the table.
func (c *column) convert(table string, v any) (value, *apiError) {
	if v == nil {
		return null, nil
	}
	number, isNumber := v.(json.Number)
	text, isText := v.(string)
	var converted value
	ok := false
	switch c.Type {
	case typeString, typeMemo:
		converted, ok = textValue(text), isText
	case typeInteger:
		if n, err := strconv.ParseInt(number.String(), 10, 32); err == nil {
			converted, ok = intValue(n), isNumber
		}
	case typeDecimal, typeDouble:
		if isNumber {
			converted, ok = c.parse(number.String())
		}
	case typeDateTime:
		if isText {
			converted, ok = c.parse(text)
		}
	}
	if !ok {
		literal, _ := json.Marshal(v) // it was JSON before
		return null, badPayload(table, "Cannot convert the literal '%s' to the expected type '%s'.",
			strings.Trim(string(literal), `"`), c.edmType())
	}
	return c.check(table, converted)
}

// check refuses a value that is beyond the limits of the column, and rounds it to the column's precision.
func (c *column) check(table string, v value) (value, *apiError) {
	switch v[0] {
	case tagText:
		if units := len(utf16.Encode([]rune(v.text()))); units > c.MaxLength {
			return null, badRequest("0x80044331", "A validation error occurred.  The length of the '%s' attribute of the '%s'"+
				" entity exceeded the maximum allowed length of '%d'.", c.LogicalName, table, c.MaxLength)
		}
	case tagInt:
		if n := v.int(); float64(n) < c.Min || float64(n) > c.Max {
			return null, badRequest("0x8004432f", "A validation error occurred for %s.%s. The value %d is outside the valid"+
				" range. Minimum Value: %.0f, Maximum value: %.0f", table, c.LogicalName, n, c.Min, c.Max)
		}
	case tagDecimal:
		low, high, d := bound(c.Min), bound(c.Max), v.decimal()
		if d.compare(low) < 0 || d.compare(high) > 0 {
			return null, badRequest("0x80044330", "A validation error occurred for %s.%s. The value %s of type System.%s is"+
				" outside the valid range(%s to %s).", table, c.LogicalName, d, c.Type, low, high)
		}
		return decimalValue(d.round(c.Precision)), nil
	case tagTime:
		if t := time.Unix(v.int(), 0).UTC(); t.Before(oldest) {
			return null, badRequest("0x80040239", "DateTime is less than minimum value supported by CrmDateTime. Actual value:"+
				" %s, Minimum value supported: 01/01/1753 00:00:00", t.Format("01/02/2006 15:04:05"))
		}
	}
	return v, nil
}

// oldest is the first time that a column can hold.
var oldest = time.Date(1753, time.January, 1, 0, 0, 0, 0, time.UTC)

// bound is a limit of a column as a decimal: the shortest one that the JSON of the definition can have meant.
func bound(f float64) decimal {
	d, _ := parseDecimal(strconv.FormatFloat(f, 'f', -1, 64))
	return d
}

// parseTime reads a date, or a time: with offset, with Z, or with neither, which means UTC. Fractions of seconds are cut.
func parseTime(text string, dateOnly bool) (time.Time, bool) {
	layouts := []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04"}
	if dateOnly {
		layouts = []string{time.DateOnly}
	}
	if !dateOnly && (len(text) < len("2006-01-02T15:04") || text[len("2006-01-02T15")] != ':' || strings.Contains(text, ",")) {
		return time.Time{}, false // which time.Parse would read
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Second), true
		}
	}
	return time.Time{}, false
}
