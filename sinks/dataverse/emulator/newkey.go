package emulator

import (
	"fmt"
	"slices"
	"strings"
)

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
		return badName(k.SchemaName)
	case len(d.Keys) >= maxKeys:
		return badDefinition("The table %s has %d keys already.", d.LogicalName, maxKeys)
	case len(k.Attributes) == 0 || len(k.Attributes) > maxKeyColumns:
		return badDefinition("A key must have 1 to %d columns.", maxKeyColumns)
	case d.key(k.LogicalName) != nil:
		return badRequest("0x80060893", "Entity Key %s already exists.", k.LogicalName)
	}
	sorted := slices.Sorted(slices.Values(k.Attributes))
	for _, other := range d.Keys {
		if slices.Equal(sorted, slices.Sorted(slices.Values(other.Attributes))) {
			return badRequest("0x80060894", "Entity Key %s has the same columns.", other.LogicalName)
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
