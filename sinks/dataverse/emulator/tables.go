package emulator

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// definition is what a table is. It is kept on disk as JSON, and never changes: a new column makes another one.
type definition struct {
	MetadataID  uuid.UUID
	SchemaName  string
	LogicalName string
	EntitySet   string
	Label       string
	PluralLabel string
	Description string `json:",omitempty"`
	Ownership   string
	PrimaryID   string
	PrimaryName string
	Columns     []*column
	Keys        []*alternateKey `json:",omitempty"`
}

// metadataID names a part of the definitions: the same in every emulator.
func metadataID(path ...string) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("emulator/"+strings.Join(path, "/")))
}

// newDefinition has the columns that the service adds to every table. The others are yet to come.
func newDefinition(schemaName string) *definition {
	name := strings.ToLower(schemaName)
	d := &definition{
		MetadataID: metadataID(name), SchemaName: schemaName, LogicalName: name, EntitySet: plural(name),
		Ownership: "OrganizationOwned", PrimaryID: name + "id",
	}
	d.Columns = []*column{
		d.systemColumn(schemaName+"Id", typeID, byID),
		d.systemColumn("CreatedOn", typeDateTime, 0),
		d.systemColumn("ModifiedOn", typeDateTime, 1),
		d.systemColumn("VersionNumber", typeBigInt, byVersion),
	}
	return d
}

// The positions of system columns that are cells.
const (
	createdOn = iota
	modifiedOn
)

func (d *definition) systemColumn(schemaName, kind string, position int) *column {
	name := strings.ToLower(schemaName)
	return &column{
		MetadataID: metadataID(d.LogicalName, name), SchemaName: schemaName, LogicalName: name, Label: schemaName,
		Type: kind, Position: position, System: true, RequiredLevel: "SystemRequired",
		Format: "DateAndTime", Behavior: "UserLocal",
	}
}

// plural is how the service names the entity set.
func plural(name string) string {
	switch {
	case strings.HasSuffix(name, "y") && !strings.ContainsAny(name[max(0, len(name)-2):len(name)-1], "aeiou"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"), strings.HasSuffix(name, "x"), strings.HasSuffix(name, "ch"),
		strings.HasSuffix(name, "sh"):
		return name + "es"
	}
	return name + "s"
}

// with is the definition with one more column at the end of the rows.
func (d *definition) with(c column) *definition {
	c.LogicalName = strings.ToLower(c.SchemaName)
	c.MetadataID = metadataID(d.LogicalName, c.LogicalName)
	c.Position = d.cells()
	more := *d
	more.Columns = append(slices.Clone(d.Columns), &c)
	return &more
}

// cells is how many values a row has.
func (d *definition) cells() int {
	n := 0
	for _, c := range d.Columns {
		n = max(n, c.Position+1)
	}
	return n
}

// column finds a column by its logical name; nil if there is none.
func (d *definition) column(name string) *column {
	for _, c := range d.Columns {
		if c.LogicalName == name {
			return c
		}
	}
	return nil
}

// id is the column of the primary id.
func (d *definition) id() *column { return d.column(d.PrimaryID) }

// odataType is how payloads name the table.
func (d *definition) odataType() string { return "Microsoft.Dynamics.CRM." + d.LogicalName }

// campaignMetrics is the table that is there from the start.
func campaignMetrics() *definition {
	d := newDefinition("apex_CampaignMetric")
	d.Label, d.PluralLabel = "Campaign Metric", "Campaign Metrics"
	d.Description = "What the agents of a campaign's run did and what it cost."
	d.PrimaryName = "apex_name"
	text := func(name, label string, length int) {
		d = d.with(column{SchemaName: "apex_" + name, Label: label, Type: typeString, MaxLength: length})
	}
	number := func(name, label, kind string, most float64, precision int) {
		d = d.with(column{SchemaName: "apex_" + name, Label: label, Type: kind, Max: most, Precision: precision})
	}
	const most = 1<<31 - 1
	text("Name", "Name", 200)
	text("CampaignId", "Campaign Id", 64)
	text("RunId", "Run Id", 64)
	text("Phase", "Phase", 16)
	number("AgentsTotal", "Agents Total", typeInteger, most, 0)
	number("AgentsSuccessful", "Agents Successful", typeInteger, most, 0)
	number("AssetsGenerated", "Assets Generated", typeInteger, most, 0)
	number("LatencyP95Ms", "Latency P95 (ms)", typeInteger, most, 0)
	number("LatencyAvgMs", "Latency Average (ms)", typeInteger, most, 0)
	number("TokensIn", "Tokens In", typeInteger, most, 0)
	number("TokensOut", "Tokens Out", typeInteger, most, 0)
	number("CostUSD", "Cost (USD)", typeDecimal, 99999.99999, 5)
	number("SuccessRate", "Success Rate (%)", typeDecimal, 100, 2)
	return d.with(column{SchemaName: "apex_CreatedAt", Label: "Created At", Type: typeDateTime,
		Format: "DateAndTime", Behavior: "TimeZoneIndependent"})
}

// rowJSON writes a row: its ETag, its primary id and the selected columns.
func (t *table) rowJSON(b []byte, r *row, selected []*column, prefix string) []byte {
	values := r.values(t.cells())
	b = append(b, '{')
	b = append(b, prefix...)
	b = append(b, `"@odata.etag":"`...)
	b = append(b, strings.ReplaceAll(r.etag(), `"`, `\"`)...)
	b = append(b, '"')
	for _, c := range selected {
		b = append(b, ',', '"')
		b = append(b, c.LogicalName...)
		b = append(b, '"', ':')
		if c.Position < 0 {
			b = c.appendJSON(b, c.of(r))
		} else {
			b = c.appendJSON(b, values[c.Position])
		}
	}
	return append(b, '}')
}

// Rows returns a copy of all rows of an entity set in order of their ids, with values as encoding/json gives them, numbers
// as json.Number. It is nil for a set that does not exist. For tests: it does not page.
func (e *Emulator) Rows(entitySet string) []map[string]any {
	var encoded []byte
	_ = e.data.atomically(func() *apiError {
		t := e.data.sets[entitySet]
		if t == nil {
			return noSegment(entitySet)
		}
		encoded = []byte("[")
		for r := range t.rows.after(nil) {
			if len(encoded) > 1 {
				encoded = append(encoded, ',')
			}
			encoded = t.rowJSON(encoded, r, t.Columns, "")
		}
		encoded = append(encoded, ']')
		return nil
	})
	if encoded == nil {
		return nil
	}
	rows := []map[string]any{}
	in := json.NewDecoder(strings.NewReader(string(encoded)))
	in.UseNumber()
	if err := in.Decode(&rows); err != nil {
		panic("emulator: a row is no JSON: " + err.Error())
	}
	return rows
}

// inNameOrder are all tables.
func (d *data) inNameOrder() []*table {
	byName := func(a, b *table) int { return strings.Compare(a.LogicalName, b.LogicalName) }
	return slices.SortedFunc(maps.Values(d.tables), byName)
}
