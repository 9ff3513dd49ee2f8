package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// columnTypes are the types that columns of Dataverse can have; an empty one stands for all.
var columnTypes = []string{
	"", "BigInt", "Boolean", "DateTime", "Decimal", "Double", "EntityName", "File", "Image", "Integer", "Lookup",
	"ManagedProperty", "Memo", "Money", "MultiSelectPicklist", "Picklist", "State", "Status", "String",
}

// cast reads a segment that narrows columns down to those of a type; false where it is none.
func (s segment) cast() (kind string, known bool) {
	kind, qualified := strings.CutPrefix(s.name, castPrefix)
	columnType, isColumn := strings.CutSuffix(kind, "AttributeMetadata")
	return kind, qualified && isColumn && !s.call && slices.Contains(columnTypes, columnType)
}

// serveAttributes serves the columns of a table. A cast to a type may stand behind them.
func (a *api) serveAttributes(w *answer, q *request, t *table) *apiError {
	rest, cast := q.path[2:], ""
	if len(rest) == 1 {
		var known bool
		if cast, known = rest[0].cast(); !known {
			return notKnown("%q", q.URL.Path)
		}
	}
	at := "EntityDefinitions('" + t.MetadataID.String() + "')/Attributes"
	if cast != "" {
		at += "/" + castPrefix + cast
	}
	switch {
	case len(rest) > 1:
		return notKnown("%q", q.URL.Path)
	case q.path[1].call && q.Method == http.MethodGet:
		return a.showColumn(w, q, t, at, cast)
	case q.path[1].call || q.Method == http.MethodPost && cast != "":
		return badMethod(q.Method)
	case q.Method == http.MethodPost:
		return a.createColumn(w, q, t)
	}
	columns := t.describeColumns(cast)
	if cast != "" && len(columns) == 0 { // whatever was asked of columns that no table can have
		writeData(w, http.StatusOK, []byte(`{"@odata.context":"`+q.base+"$metadata#"+at+`","value":[]}`))
		return nil
	}
	return writeObjects(w, q, at, columns, knownOfColumns(cast), nil)
}

func (a *api) showColumn(w *answer, q *request, t *table, at, cast string) *apiError {
	shown, failure := findObject(t.describeColumns(cast), q.path[1].args, "attribute")
	if failure != nil {
		return failure
	}
	return writeObject(w, q, at+"/$entity", shown, knownOfColumns(cast), nil)
}

// describeColumns are the table's columns of a type, all for an empty one.
func (t *table) describeColumns(cast string) []object {
	shown := []object{}
	for _, c := range t.Columns {
		if cast == "" || cast == c.Type+"AttributeMetadata" || cast == "AttributeMetadata" {
			shown = append(shown, t.describeColumn(c))
		}
	}
	return shown
}

// describeColumn is AttributeMetadata with what the column's type adds.
func (t *table) describeColumn(c *column) object {
	shown := object{
		"@odata.type":       "#" + castPrefix + c.metadataType(),
		"MetadataId":        c.MetadataID,
		"LogicalName":       c.LogicalName,
		"SchemaName":        c.SchemaName,
		"EntityLogicalName": t.LogicalName,
		"AttributeType":     c.Type,
		"AttributeTypeName": object{"Value": c.Type + "Type"},
		"DisplayName":       labelOf(c.Label),
		"Description":       labelOf(c.Description),
		"RequiredLevel":     object{"Value": cmp.Or(c.RequiredLevel, "None"), "CanBeChanged": !c.System},
		"IsPrimaryId":       c.LogicalName == t.PrimaryID,
		"IsPrimaryName":     c.LogicalName == t.PrimaryName,
		"IsCustomAttribute": !c.System,
		"IsValidForCreate":  !c.System || c.LogicalName == t.PrimaryID,
		"IsValidForRead":    true,
		"IsValidForUpdate":  !c.System,
	}
	maps.Copy(shown, c.ofType())
	return shown
}

// metadataType is the name of the column's kind of definition.
func (c *column) metadataType() string {
	if c.Type == typeID {
		return "AttributeMetadata" // it has no kind of its own
	}
	return c.Type + "AttributeMetadata"
}

// ofType are the properties that a type of columns has beyond the others.
func (c *column) ofType() object {
	switch c.Type {
	case typeString:
		return object{"MaxLength": c.MaxLength, "Format": "Text", "FormatName": object{"Value": "Text"}}
	case typeMemo:
		return object{"MaxLength": c.MaxLength, "Format": "TextArea"}
	case typeInteger:
		return object{"MinValue": int64(c.Min), "MaxValue": int64(c.Max), "Format": "None"}
	case typeDecimal, typeDouble:
		return object{"MinValue": c.Min, "MaxValue": c.Max, "Precision": c.Precision}
	case typeDateTime:
		return object{"Format": c.Format, "DateTimeBehavior": object{"Value": c.Behavior}}
	}
	return nil
}
