package dataverse

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Finding is a difference of a table from the one that is wanted.
type Finding struct {
	Column  string // logical name; empty where it is about the table
	Problem string // what it is and what it costs, to be read after the column's name: "is missing"
	Fix     string // what to do about it
	Fatal   bool   // no row can be written
}

// Check compares the table with the one that is wanted. What is wider than wanted is no difference.
func (t *Table) Check() []Finding {
	var findings []Finding
	for i := range fields {
		want := &fields[i].column
		have, exists := t.Columns[want.Name]
		if !exists {
			findings = append(findings, Finding{want.Name, "is missing", "runmetrics setup adds it", true})
			continue
		}
		findings = append(findings, want.compare(&have)...)
	}
	for _, key := range t.Keys {
		findings = append(findings, key.check()...)
	}
	return findings
}

// compare says how a column falls short of the wanted one.
func (c *Column) compare(have *Column) []Finding {
	switch {
	case have.Type != c.Type:
		return []Finding{{c.Name, fmt.Sprintf("is of type %s, not %s", have.Type, c.Type),
			"a column's type cannot be changed: delete the column with its values, and runmetrics setup adds it anew", true}}
	case have.ReadOnly:
		return []Finding{{c.Name, "is computed by Dataverse and cannot be written",
			"delete the column, and runmetrics setup adds it anew", true}}
	}
	switch c.Type {
	case Text:
		return c.compareLength(have)
	case DateTime:
		return c.compareTime(have)
	}
	return append(c.compareRange(have), c.comparePrecision(have)...)
}

func (c *Column) compareLength(have *Column) []Finding {
	if have.MaxLength >= c.MaxLength {
		return nil
	}
	return []Finding{{Column: c.Name,
		Problem: fmt.Sprintf("holds %d characters, not %d: rows with longer values are parked", have.MaxLength, c.MaxLength),
		Fix:     fmt.Sprintf("set the column's maximum character count to %d", c.MaxLength)}}
}

func (c *Column) compareRange(have *Column) []Finding {
	var findings []Finding
	if less(have.Max, c.Max) {
		findings = append(findings, Finding{Column: c.Name,
			Problem: fmt.Sprintf("takes at most %s, not %s: rows with greater values are parked", have.Max, c.Max),
			Fix:     fmt.Sprintf("set the column's maximum value to %s", c.Max)})
	}
	if less(c.Min, have.Min) {
		findings = append(findings, Finding{Column: c.Name,
			Problem: fmt.Sprintf("takes no less than %s, not %s: rows with smaller values are parked", have.Min, c.Min),
			Fix:     fmt.Sprintf("set the column's minimum value to %s", c.Min)})
	}
	return findings
}

func (c *Column) comparePrecision(have *Column) []Finding {
	if have.Precision >= c.Precision {
		return nil
	}
	return []Finding{{Column: c.Name,
		Problem: fmt.Sprintf("keeps %d digits after the point, not %d: values are rounded to them", have.Precision, c.Precision),
		Fix:     fmt.Sprintf("set the column's decimal places to %d", c.Precision)}}
}

func (c *Column) compareTime(have *Column) []Finding {
	switch {
	case have.Behavior == "DateOnly":
		return []Finding{{c.Name, "keeps dates without a time",
			"delete the column with its values, and runmetrics setup adds it anew", true}}
	case have.Format == "DateOnly":
		return []Finding{{Column: c.Name, Problem: "shows dates without their time", Fix: "set the column's format to date and time"}}
	case have.Behavior != c.Behavior:
		return []Finding{{Column: c.Name,
			Problem: "is shown in the time zone of each user, not in UTC: only the display differs",
			Fix:     "set the column's time zone adjustment to time zone independent, or leave it"}}
	}
	return nil
}

// check says which rows an alternate key keeps out.
func (k *Key) check() []Finding {
	if k.Status == "Failed" || slices.ContainsFunc(k.Columns, func(name string) bool { return !isField(name) }) {
		return nil // it forbids nothing: no index, or a column that stays empty
	}
	identity := []string{fields[0].column.Name, fields[1].column.Name, fields[2].column.Name}
	for _, name := range identity {
		if !slices.Contains(k.Columns, name) {
			return []Finding{{
				Problem: fmt.Sprintf("alternate key %s: of several runs with the same %s only one can be written, the others are parked",
					k.SchemaName, strings.Join(k.Columns, ", ")),
				Fix: "delete the key, or make one of " + strings.Join(identity, ", "),
			}}
		}
	}
	return []Finding{{
		Problem: "alternate key " + k.SchemaName + ": runs of which somebody made a row by hand, under another id, are parked",
		Fix:     "if there are such rows, runmetrics dataverse reconcile --adopt takes over their ids",
	}}
}

func isField(name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.column.Name == name })
}

// less compares limits; one that is not set is never less, and nothing is less than it.
func less(a, b json.Number) bool {
	first, setA := parseNumber(a)
	second, setB := parseNumber(b)
	return setA && setB && first.Cmp(second) < 0
}
