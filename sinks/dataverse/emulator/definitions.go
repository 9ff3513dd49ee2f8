package emulator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// schemaNames are names with the prefix of a publisher.
var schemaNames = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{1,7}_[A-Za-z][A-Za-z0-9_]*$`)

// typeProperties are the properties that only some types of columns have.
var typeProperties = []string{"MaxLength", "MinValue", "MaxValue", "Precision", "Format", "FormatName", "DateTimeBehavior"}

// badDefinition refuses a definition for its content.
func badDefinition(format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "0x80040203", fmt.Sprintf(format, args...)}
}

// body is a definition as a client sends it.
type body struct {
	kind   string // of metadata, for messages
	object object
}

// only refuses properties other than those that are known.
func (b body) only(known ...string) *apiError {
	for name := range b.object {
		switch {
		case slices.Contains(known, name) || name == "@odata.type":
		case slices.Contains(typeProperties, name):
			return badPayload("EntityDefinitions", "Microsoft.Crm.CrmException: Invalid property '%s' was found in entity '%s%s'.",
				name, castPrefix, b.kind)
		default:
			return notKnown("the property %q of %s", name, b.kind)
		}
	}
	return nil
}

func (b body) text(name string) string {
	text, _ := b.object[name].(string)
	return text
}

// label reads the first text of a Label.
func (b body) label(name string) string {
	label, _ := b.object[name].(object)
	list, _ := label["LocalizedLabels"].([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(object)
	text, _ := first["Label"].(string)
	return text
}

// inner reads {"Value":…}.
func (b body) inner(name string) string {
	wrapped, _ := b.object[name].(object)
	text, _ := wrapped["Value"].(string)
	return text
}

// number reads a number, or the default if it is not there. What is no number is NaN.
func (b body) number(name string, otherwise float64) float64 {
	v, given := b.object[name]
	if !given || v == nil {
		return otherwise
	}
	if number, ok := v.(json.Number); ok {
		if f, err := number.Float64(); err == nil {
			return f
		}
	}
	return math.NaN()
}

// createTable makes a table with its first columns.
func (a *api) createTable(w *answer, q *request) *apiError {
	if failure := q.only("SolutionUniqueName"); failure != nil {
		return failure
	}
	content, failure := readObject("EntityDefinitions", q.body)
	if failure != nil {
		return failure
	}
	d, failure := readDefinition(body{"EntityMetadata", content})
	if failure != nil {
		return failure
	}
	if a.data.tables[d.LogicalName] != nil || a.data.sets[d.EntitySet] != nil {
		return &apiError{http.StatusBadRequest, "0x80044363", fmt.Sprintf("An entity with the name %s already exists.", d.LogicalName)}
	}
	a.data.setDefinition(newTable(nil), d)
	wrote(w, fmt.Sprintf("%sEntityDefinitions(%s)", q.base, d.MetadataID))
	return nil
}

func readDefinition(b body) (*definition, *apiError) {
	failure := b.only("SchemaName", "LogicalName", "DisplayName", "DisplayCollectionName", "Description", "OwnershipType",
		"IsActivity", "HasActivities", "HasNotes", "TableType", "Attributes")
	if failure != nil {
		return nil, failure
	}
	if failure := b.checkTable(); failure != nil {
		return nil, failure
	}
	d := newDefinition(b.text("SchemaName"))
	d.Label, d.PluralLabel, d.Description = b.label("DisplayName"), b.label("DisplayCollectionName"), b.label("Description")
	d.Ownership = b.text("OwnershipType")
	list, _ := b.object["Attributes"].([]any)
	for _, element := range list {
		content, _ := element.(object)
		c, primary, failure := readColumn(content)
		if failure == nil {
			failure = d.checkNew(c)
		}
		if failure != nil {
			return nil, failure
		}
		d = d.with(*c)
		if primary {
			if d.PrimaryName != "" || c.Type != typeString {
				return nil, badDefinition("Exactly one column must be the primary name, a String.")
			}
			d.PrimaryName = strings.ToLower(c.SchemaName)
		}
	}
	if d.PrimaryName == "" {
		return nil, badDefinition("Exactly one column must be the primary name, a String.")
	}
	return d, nil
}

// checkTable refuses tables that are wrong, or of a kind that the emulator does not have.
func (b body) checkTable() *apiError {
	name := b.text("SchemaName")
	if !schemaNames.MatchString(name) {
		return badDefinition("The SchemaName '%s' is not valid: it must begin with a publisher's prefix.", name)
	}
	if ownership := b.text("OwnershipType"); ownership != "UserOwned" && ownership != "OrganizationOwned" {
		return badDefinition("The OwnershipType '%s' must be UserOwned or OrganizationOwned.", ownership)
	}
	if kind := b.text("TableType"); kind != "" && kind != "Standard" {
		return notKnown("tables of TableType %s", kind)
	}
	for _, option := range []string{"IsActivity", "HasActivities", "HasNotes"} {
		if b.object[option] == true {
			return notKnown("tables with %s", option)
		}
	}
	return nil
}

// checkNew refuses a column whose name the table has already.
func (d *definition) checkNew(c *column) *apiError {
	if d.column(strings.ToLower(c.SchemaName)) != nil {
		return &apiError{http.StatusBadRequest, "0x80047013",
			fmt.Sprintf("Attribute %s already exists for entity %s.", strings.ToLower(c.SchemaName), d.LogicalName)}
	}
	return nil
}

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
		return nil, false, badDefinition("The SchemaName '%s' is not valid: it must begin with a publisher's prefix.", c.SchemaName)
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
		return badDefinition("MinValue and MaxValue of '%s' must be in order and within %.0f to %.0f.", c.SchemaName, limits.low, limits.high)
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

// What a key may have.
const (
	maxKeys       = 10
	maxKeyColumns = 16
	maxKeyBytes   = 900 // of its texts, two for each character
)

// createKey adds an alternate key to a table. Its index is made later.
func (a *api) createKey(w *answer, q *request, t *table) *apiError {
	if failure := q.only("SolutionUniqueName"); failure != nil {
		return failure
	}
	content, failure := readObject("EntityDefinitions", q.body)
	if failure != nil {
		return failure
	}
	b := body{"EntityKeyMetadata", content}
	if failure := b.only("SchemaName", "LogicalName", "DisplayName", "KeyAttributes"); failure != nil {
		return failure
	}
	k := &alternateKey{SchemaName: b.text("SchemaName"), Label: b.label("DisplayName"), Created: a.data.now()}
	k.LogicalName = strings.ToLower(k.SchemaName)
	k.MetadataID = metadataID(t.LogicalName, "keys", k.LogicalName)
	list, _ := content["KeyAttributes"].([]any)
	for _, element := range list {
		name, _ := element.(string)
		k.Attributes = append(k.Attributes, name)
	}
	if failure := t.checkKey(k); failure != nil {
		return failure
	}
	next := *t.definition
	next.Keys = append(slices.Clone(t.Keys), k)
	a.data.setDefinition(t, &next)
	wrote(w, fmt.Sprintf("%sEntityDefinitions(%s)/Keys(%s)", q.base, t.MetadataID, k.MetadataID))
	return nil
}

// checkKey refuses a key that cannot be made.
func (d *definition) checkKey(k *alternateKey) *apiError {
	switch {
	case !schemaNames.MatchString(k.SchemaName):
		return badDefinition("The SchemaName '%s' is not valid: it must begin with a publisher's prefix.", k.SchemaName)
	case len(d.Keys) >= maxKeys:
		return badDefinition("The table %s has %d keys already.", d.LogicalName, maxKeys)
	case len(k.Attributes) == 0 || len(k.Attributes) > maxKeyColumns:
		return badDefinition("A key must have 1 to %d columns.", maxKeyColumns)
	case d.key(k.LogicalName) != nil:
		return &apiError{http.StatusBadRequest, "0x80060893", fmt.Sprintf("Entity Key %s already exists.", k.LogicalName)}
	}
	sorted := slices.Sorted(slices.Values(k.Attributes))
	for _, other := range d.Keys {
		if slices.Equal(sorted, slices.Sorted(slices.Values(other.Attributes))) {
			return &apiError{http.StatusBadRequest, "0x80060894", fmt.Sprintf("Entity Key %s has the same columns.", other.LogicalName)}
		}
	}
	size := 0
	for _, name := range sorted {
		c := d.column(name)
		if c == nil || c.System || !slices.Contains([]string{typeString, typeInteger, typeDecimal, typeDateTime}, c.Type) {
			return badDefinition("The column '%s' cannot be part of a key.", name)
		}
		size += 2 * c.MaxLength
	}
	if len(slices.Compact(sorted)) != len(k.Attributes) || size > maxKeyBytes {
		return badDefinition("The columns of a key must differ, and its texts must not be longer than %d bytes.", maxKeyBytes)
	}
	return nil
}
