package emulator

import (
	"encoding/json"
	"fmt"
	"math"
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
	return badRequest("0x80040203", format, args...)
}

// badName refuses a SchemaName.
func badName(name string) *apiError {
	return badDefinition("The SchemaName '%s' is not valid: it must begin with a publisher's prefix.", name)
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
			return badProperty("EntityDefinitions", name, castPrefix+b.kind)
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
		return badRequest("0x80044363", "An entity with the name %s already exists.", d.LogicalName)
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
		return badName(name)
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
		return badRequest("0x80047013", "Attribute %s already exists for entity %s.", strings.ToLower(c.SchemaName), d.LogicalName)
	}
	return nil
}
