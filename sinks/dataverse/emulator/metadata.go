package emulator

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

// object is a part of the definitions as metadata shows it. Encoded, its annotations come first.
type object = map[string]any

// castPrefix begins the names of types.
const castPrefix = "Microsoft.Dynamics.CRM."

// serveDefinitions serves EntityDefinitions and what is below it. Definitions can be read and added to, not changed.
func (a *api) serveDefinitions(w *answer, q *request) *apiError {
	if q.Method != http.MethodGet && q.Method != http.MethodPost {
		return notKnown("%s of definitions", q.Method)
	}
	if !q.path[0].call {
		switch {
		case len(q.path) > 1:
			return notKnown("%q", q.URL.Path)
		case q.Method == http.MethodPost:
			return a.createTable(w, q)
		}
		return a.listTables(w, q)
	}
	t, failure := a.data.definedAs(q.path[0].args)
	if failure != nil {
		return failure
	}
	if len(q.path) == 1 {
		if q.Method != http.MethodGet {
			return badMethod(q.Method)
		}
		return a.showTable(w, q, t)
	}
	switch q.path[1].name {
	case "Attributes":
		return a.serveAttributes(w, q, t)
	case "Keys":
		return a.serveKeys(w, q, t)
	}
	return notKnown("%q", q.URL.Path)
}

// definedAs finds the table that the parentheses name: by MetadataId, or by LogicalName.
func (d *data) definedAs(args string) (*table, *apiError) {
	name, id, failure := definitionName(args)
	if failure != nil {
		return nil, failure
	}
	for _, t := range d.tables {
		if t.LogicalName == name || t.MetadataID == id {
			return t, nil
		}
	}
	return nil, noDefinition("entity", args)
}

// definitionName reads what addresses a definition.
func definitionName(args string) (name string, id uuid.UUID, failure *apiError) {
	if id, ok := parseID(args); ok {
		return "", id, nil
	}
	pairs, ok := splitPairs(args)
	if !ok || len(pairs) != 1 || pairs[0].name != "LogicalName" || !pairs[0].quoted {
		return "", uuid.Nil, notKnown("definitions addressed by (%s)", args)
	}
	return pairs[0].value, uuid.Nil, nil
}

func noDefinition(what, args string) *apiError {
	return &apiError{http.StatusNotFound, "0x80060888", "Could not find an " + what + " with specified " + args + "."}
}

func (a *api) listTables(w *answer, q *request) *apiError {
	var tables []object
	for _, t := range a.data.inNameOrder() {
		tables = append(tables, t.describe())
	}
	sample := newTable(campaignMetrics()).describe()
	return writeObjects(w, q, "EntityDefinitions", tables, known{"EntityMetadata", sample}, a.expandTable)
}

func (a *api) showTable(w *answer, q *request, t *table) *apiError {
	shown := t.describe()
	return writeObject(w, q, "EntityDefinitions/$entity", shown, known{"EntityMetadata", shown}, a.expandTable)
}

// expandTable adds the attributes or keys to a table that is shown.
func (a *api) expandTable(shown object, property string) ([]object, known, *apiError) {
	t := a.data.tables[shown["LogicalName"].(string)]
	switch property {
	case "Attributes":
		return t.describeColumns(""), knownOfColumns(""), nil
	case "Keys":
		return t.describeKeys(a.data.now()), knownOfKeys(), nil
	}
	return nil, known{}, notKnown("$expand=%s", property)
}

// describe is EntityMetadata.
func (t *table) describe() object {
	return object{
		"MetadataId":                     t.MetadataID,
		"LogicalName":                    t.LogicalName,
		"SchemaName":                     t.SchemaName,
		"EntitySetName":                  t.EntitySet,
		"LogicalCollectionName":          t.EntitySet,
		"PrimaryIdAttribute":             t.PrimaryID,
		"PrimaryNameAttribute":           t.PrimaryName,
		"DisplayName":                    labelOf(t.Label),
		"DisplayCollectionName":          labelOf(t.PluralLabel),
		"Description":                    labelOf(t.Description),
		"OwnershipType":                  t.Ownership,
		"TableType":                      "Standard",
		"IsActivity":                     false,
		"IsCustomEntity":                 true,
		"IsOptimisticConcurrencyEnabled": true,
		"HasActivities":                  false,
		"HasNotes":                       false,
	}
}

// labelOf is a Label with one language.
func labelOf(text string) object {
	if text == "" {
		return object{"LocalizedLabels": []object{}, "UserLocalizedLabel": nil}
	}
	localized := object{
		"Label": text, "LanguageCode": 1033, "IsManaged": false, "MetadataId": metadataID("label", text), "HasChanged": nil,
	}
	return object{"LocalizedLabels": []object{localized}, "UserLocalizedLabel": localized}
}

// findObject finds the definition that the parentheses name.
func findObject(list []object, args, what string) (object, *apiError) {
	name, id, failure := definitionName(args)
	if failure != nil {
		return nil, failure
	}
	for _, one := range list {
		if one["LogicalName"] == name || one["MetadataId"] == id {
			return one, nil
		}
	}
	return nil, noDefinition(what, args)
}

// serveKeys serves the alternate keys of a table.
func (a *api) serveKeys(w *answer, q *request, t *table) *apiError {
	at := "EntityDefinitions('" + t.MetadataID.String() + "')/Keys"
	switch {
	case len(q.path) > 2:
		return notKnown("%q", q.URL.Path)
	case !q.path[1].call && q.Method == http.MethodPost:
		return a.createKey(w, q, t)
	case !q.path[1].call:
		return writeObjects(w, q, at, t.describeKeys(a.data.now()), knownOfKeys(), nil)
	case q.Method == http.MethodPost:
		return badMethod(q.Method)
	}
	shown, failure := findObject(t.describeKeys(a.data.now()), q.path[1].args, "entity key")
	if failure != nil {
		return failure
	}
	return writeObject(w, q, at+"/$entity", shown, knownOfKeys(), nil)
}

// describeKeys are EntityKeyMetadata.
func (t *table) describeKeys(now time.Time) []object {
	shown := []object{}
	for _, k := range t.Keys {
		shown = append(shown, t.describeKey(k, now))
	}
	return shown
}

func (t *table) describeKey(k *alternateKey, now time.Time) object {
	return object{
		"MetadataId":           k.MetadataID,
		"LogicalName":          k.LogicalName,
		"SchemaName":           k.SchemaName,
		"EntityLogicalName":    t.LogicalName,
		"DisplayName":          labelOf(k.Label),
		"KeyAttributes":        k.Attributes,
		"EntityKeyIndexStatus": k.status(now),
	}
}
