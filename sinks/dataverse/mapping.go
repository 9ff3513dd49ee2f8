package dataverse

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Misfit is a value that its column cannot hold. It is sinks.ErrRefused: nothing is cut to fit, because a number that is
// nearly right is wrong.
type Misfit struct {
	Column string
	Value  string // in full
	Limit  string // "at most 64 characters"
}

// Error names all three.
func (m *Misfit) Error() string {
	return fmt.Sprintf("%s: %q does not fit, the column takes %s", m.Column, m.Value, m.Limit)
}

// Unwrap returns sinks.ErrRefused.
func (m *Misfit) Unwrap() error { return sinks.ErrRefused }

// Row is the record as a row with that id. A value that does not fit its column is a *Misfit; a table that lacks a column,
// or has one of another type, is sinks.ErrBlocked.
func (t *Table) Row(m *aggregate.Metrics, id uuid.UUID) (Row, error) {
	row := make(Row, len(fields)+2)
	for i := range fields {
		value, err := t.value(&fields[i], m)
		if err != nil {
			return nil, err
		}
		row[fields[i].column.Name] = value
	}
	if _, taken := row[t.PrimaryName]; !taken && t.PrimaryName != "" {
		row[t.PrimaryName] = shortened(m.CampaignID+" · "+m.RunID+" · "+m.Phase, t.Columns[t.PrimaryName].MaxLength)
	}
	row[t.PrimaryID] = id.String()
	return row, nil
}

// value is one field as its column takes it: string, json.Number or nil.
func (t *Table) value(f *field, m *aggregate.Metrics) (any, error) {
	column, exists := t.Columns[f.column.Name]
	if !exists || column.Type != f.column.Type {
		return nil, blocked{fmt.Errorf("table %s has no column %s of type %s", t.LogicalName, f.column.Name, f.column.Type)}
	}
	switch {
	case f.text != nil:
		return column.fitText(f.text(m))
	case f.at != nil:
		return f.at(m).UTC().Format(timeFormat), nil
	}
	number := f.number(m)
	if number == nil {
		return nil, nil
	}
	return column.fitNumber(number.rounded(min(column.Precision, f.column.Precision)))
}

// timeFormat is in whole seconds: Dataverse keeps no more.
const timeFormat = "2006-01-02T15:04:05Z"

func (c Column) fitText(s string) (any, error) {
	if utf16Length(s) > c.MaxLength {
		return nil, &Misfit{Column: c.Name, Value: s, Limit: fmt.Sprintf("at most %d characters", c.MaxLength)}
	}
	return s, nil
}

func (c Column) fitNumber(d *decimal) (any, error) {
	if least, set := parseNumber(c.Min); set && d.rat().Cmp(least) < 0 {
		return nil, &Misfit{Column: c.Name, Value: d.String(), Limit: "no less than " + c.Min.String()}
	}
	if most, set := parseNumber(c.Max); set && d.rat().Cmp(most) > 0 {
		return nil, &Misfit{Column: c.Name, Value: d.String(), Limit: "at most " + c.Max.String()}
	}
	return json.Number(d.String()), nil
}

// shortened cuts text to a number of UTF-16 code units, and shows that it did.
func shortened(s string, units int) string {
	if utf16Length(s) <= units {
		return s
	}
	used, end := 1, 0 // the ellipsis is one
	for i, c := range s {
		if used += utf16.RuneLen(c); used > units {
			break
		}
		end = i + utf8.RuneLen(c)
	}
	if units < 1 {
		return ""
	}
	return strings.TrimRight(s[:end], " ·") + "…"
}

// utf16Length is the length of text as Dataverse counts it.
func utf16Length(s string) int {
	units := 0
	for _, c := range s {
		units += utf16.RuneLen(c)
	}
	return units
}

// Difference is a column whose value is not the record's.
type Difference struct {
	Column    string
	Want, Got string // as text; null where there is no value
}

// Same returns which of the 13 columns of a row differ from the record, as far as the table can hold it. The row must have
// been read with these columns.
func (t *Table) Same(m *aggregate.Metrics, got Row) []Difference {
	var differences []Difference
	for i := range fields {
		name := fields[i].column.Name
		want, err := t.value(&fields[i], m)
		if err != nil { // what cannot be written is not there either
			differences = append(differences, Difference{Column: name, Want: err.Error(), Got: show(got[name])})
		} else if !equal(want, got[name]) {
			differences = append(differences, Difference{Column: name, Want: show(want), Got: show(got[name])})
		}
	}
	return differences
}

// equal compares a value to write with one that was read: numbers by value, times by instant.
func equal(want, got any) bool {
	switch want := want.(type) {
	case json.Number:
		number, isNumber := got.(json.Number)
		if !isNumber {
			return false
		}
		a, _ := parseNumber(want)
		b, valid := parseNumber(number)
		return valid && a.Cmp(b) == 0
	case string:
		text, isText := got.(string)
		return isText && (want == text || sameTime(want, text))
	}
	return want == nil && got == nil
}

func sameTime(a, b string) bool {
	first, err := time.Parse(timeFormat, a)
	if err != nil {
		return false
	}
	second, err := time.Parse(time.RFC3339, b)
	return err == nil && first.Equal(second)
}

func show(value any) string {
	if value == nil {
		return "null"
	}
	return fmt.Sprint(value)
}
