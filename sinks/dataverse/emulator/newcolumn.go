package emulator

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// createColumn adds a column to a table. It is null in the rows that are there.
func (a *api) createColumn(w *answer, q *request, t *table) *apiError {
	if failure := q.only("SolutionUniqueName"); failure != nil {
		return failure
	}
	content, failure := readObject("EntityDefinitions", q.body)
	if failure != nil {
		return failure
	}
	c, primary, failure := readColumn(content)
	if failure == nil {
		failure = t.checkNew(c)
	}
	if failure == nil && primary {
		failure = badDefinition("The table %s has a primary name already.", t.LogicalName)
	}
	if failure != nil {
		return failure
	}
	next := t.with(*c)
	a.data.setDefinition(t, next)
	added := next.Columns[len(next.Columns)-1]
	wrote(w, fmt.Sprintf("%sEntityDefinitions(%s)/Attributes(%s)", q.base, t.MetadataID, added.MetadataID))
	return nil
}

// columnReaders read what the types of columns do not have in common, and the properties in which they have it.
var columnReaders = map[string]struct {
	read       func(body, *column) *apiError
	properties []string
}{
	typeString:   {readText, []string{"MaxLength", "Format", "FormatName"}},
	typeMemo:     {readText, []string{"MaxLength", "Format", "FormatName"}},
	typeInteger:  {readNumber, []string{"MinValue", "MaxValue", "Format"}},
	typeDecimal:  {readNumber, []string{"MinValue", "MaxValue", "Precision"}},
	typeDouble:   {readNumber, []string{"MinValue", "MaxValue", "Precision"}},
	typeDateTime: {readDateTime, []string{"Format", "DateTimeBehavior"}},
}

func readColumn(content object) (c *column, primaryName bool, failure *apiError) {
	b := body{"AttributeMetadata", content}
	kind := strings.TrimPrefix(strings.TrimPrefix(b.text("@odata.type"), "#"), castPrefix)
	c = &column{
		SchemaName: b.text("SchemaName"), Label: b.label("DisplayName"), Description: b.label("Description"),
		Type: strings.TrimSuffix(kind, "AttributeMetadata"), RequiredLevel: b.inner("RequiredLevel"),
	}
	reader, known := columnReaders[c.Type]
	if !known {
		return nil, false, notKnown("columns of the type %q", kind)
	}
	b.kind = kind
	failure = b.only(append([]string{"SchemaName", "LogicalName", "DisplayName", "Description", "RequiredLevel", "IsPrimaryName",
		"AttributeType", "AttributeTypeName", "ImeMode"}, reader.properties...)...)
	if failure != nil {
		return nil, false, failure
	}
	if !schemaNames.MatchString(c.SchemaName) {
		return nil, false, badName(c.SchemaName)
	}
	return c, b.object["IsPrimaryName"] == true, reader.read(b, c)
}

func readText(b body, c *column) *apiError {
	longest, usual := 4000.0, 100.0
	if c.Type == typeMemo {
		longest, usual = 1_048_576, 2000
	}
	length := b.number("MaxLength", usual)
	if !(length >= 1 && length <= longest) || length != math.Trunc(length) {
		return badDefinition("The MaxLength of '%s' must be 1 to %.0f.", c.SchemaName, longest)
	}
	c.MaxLength = int(length)
	for _, format := range []string{b.text("Format"), b.inner("FormatName")} {
		if format != "" && format != "Text" && (format != "TextArea" || c.Type == typeString) {
			return notKnown("texts of the format %s", format)
		}
	}
	return nil
}

func readNumber(b body, c *column) *apiError {
	limits := map[string]struct{ low, high, precision float64 }{
		typeInteger: {math.MinInt32, math.MaxInt32, 0},
		typeDecimal: {-decimalLimit, decimalLimit, decimalDigits},
		typeDouble:  {-decimalLimit, decimalLimit, 5},
	}[c.Type]
	c.Min, c.Max = b.number("MinValue", limits.low), b.number("MaxValue", limits.high)
	precision := b.number("Precision", min(2, limits.precision))
	c.Precision = int(precision)
	switch {
	case !(c.Min >= limits.low && c.Max <= limits.high && c.Min <= c.Max):
		return badDefinition("MinValue and MaxValue of '%s' must be in order and within %.0f to %.0f.",
			c.SchemaName, limits.low, limits.high)
	case c.Type == typeInteger && (c.Min != math.Trunc(c.Min) || c.Max != math.Trunc(c.Max)):
		return badDefinition("MinValue and MaxValue of '%s' must be whole numbers.", c.SchemaName)
	case !(precision >= 0 && precision <= limits.precision) || precision != math.Trunc(precision):
		return badDefinition("The Precision of '%s' must be 0 to %.0f.", c.SchemaName, limits.precision)
	case b.text("Format") != "" && b.text("Format") != "None":
		return notKnown("whole numbers of the format %s", b.text("Format"))
	}
	return nil
}

func readDateTime(b body, c *column) *apiError {
	c.Format, c.Behavior = "DateAndTime", "UserLocal"
	if format := b.text("Format"); format != "" {
		c.Format = format
	}
	if behavior := b.inner("DateTimeBehavior"); behavior != "" {
		c.Behavior = behavior
	}
	switch {
	case c.Format != "DateOnly" && c.Format != "DateAndTime":
		return badDefinition("The Format of '%s' must be DateOnly or DateAndTime.", c.SchemaName)
	case !slices.Contains([]string{"UserLocal", "DateOnly", "TimeZoneIndependent"}, c.Behavior):
		return badDefinition("The DateTimeBehavior of '%s' must be UserLocal, DateOnly or TimeZoneIndependent.", c.SchemaName)
	case c.Behavior == "DateOnly" && c.Format != "DateOnly":
		return badDefinition("The Format of '%s' must be DateOnly, as its DateTimeBehavior is.", c.SchemaName)
	}
	return nil
}
