package dataverse

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// strong asks for definitions as they are, not as a cache remembers them.
var strong = http.Header{"Consistency": {"Strong"}}

// Table reads the definition of a table. Where there is none of this name it is ErrNoTable.
func (c *Client) Table(ctx context.Context, logicalName string) (*Table, error) {
	op := "read the definition of table " + logicalName
	var found struct {
		Value []struct {
			LogicalName, SchemaName, EntitySetName, PrimaryIdAttribute, PrimaryNameAttribute string
		} `json:"value"`
	}
	err := c.metadata(ctx, op, "EntityDefinitions?"+
		option("$select", "LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute")+"&"+
		option("$filter", "LogicalName eq "+Quote(logicalName)), &found)
	if err != nil {
		return nil, err
	}
	if len(found.Value) == 0 {
		return nil, blocked{fmt.Errorf("%s: %w, or the application user may not see it: `runmetrics setup` makes it, "+
			"or set DATAVERSE_TABLE to another", op, ErrNoTable)}
	}
	d := found.Value[0]
	t := &Table{LogicalName: d.LogicalName, SchemaName: d.SchemaName, EntitySet: d.EntitySetName,
		PrimaryID: d.PrimaryIdAttribute, PrimaryName: d.PrimaryNameAttribute}
	if t.Columns, err = c.columns(ctx, op, logicalName); err != nil {
		return nil, err
	}
	if t.Keys, err = c.keys(ctx, op, logicalName); err != nil {
		return nil, err
	}
	return t, nil
}

// columns reads all columns with what is particular to their types, which Dataverse leaves out of a $select.
func (c *Client) columns(ctx context.Context, op, logicalName string) (map[string]Column, error) {
	var found struct {
		Value []describedColumn `json:"value"`
	}
	if err := c.metadata(ctx, op, definitionPath(logicalName)+"/Attributes", &found); err != nil {
		return nil, err
	}
	columns := make(map[string]Column, len(found.Value))
	for _, a := range found.Value {
		columns[a.LogicalName] = a.column()
	}
	return columns, nil
}

func (c *Client) keys(ctx context.Context, op, logicalName string) ([]Key, error) {
	var found struct {
		Value []struct {
			SchemaName           string
			KeyAttributes        []string
			EntityKeyIndexStatus string
		} `json:"value"`
	}
	if err := c.metadata(ctx, op, definitionPath(logicalName)+"/Keys", &found); err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(found.Value))
	for _, k := range found.Value {
		keys = append(keys, Key{SchemaName: k.SchemaName, Columns: k.KeyAttributes, Status: k.EntityKeyIndexStatus})
	}
	return keys, nil
}

func (c *Client) metadata(ctx context.Context, op, path string, into any) error {
	answer, err := c.do(ctx, request{op: op, method: http.MethodGet, url: c.url(path), header: strong})
	if err != nil {
		return err
	}
	return answer.decode(op, into)
}

func definitionPath(logicalName string) string {
	return "EntityDefinitions(LogicalName=" + url.PathEscape(Quote(logicalName)) + ")"
}

// describedColumn is a column as Dataverse describes it: AttributeMetadata and the types derived from it.
type describedColumn struct {
	Type             string      `json:"@odata.type,omitempty"`
	AttributeType    string      `json:",omitempty"`
	LogicalName      string      `json:",omitempty"`
	SchemaName       string      `json:",omitempty"`
	DisplayName      *label      `json:",omitempty"`
	RequiredLevel    *choice     `json:",omitempty"`
	IsPrimaryName    bool        `json:",omitempty"`
	IsValidForUpdate *bool       `json:",omitempty"`
	MaxLength        int         `json:",omitempty"`
	MinValue         json.Number `json:",omitempty"`
	MaxValue         json.Number `json:",omitempty"`
	Precision        *int        `json:",omitempty"`
	Format           string      `json:",omitempty"`
	FormatName       *choice     `json:",omitempty"`
	DateTimeBehavior *choice     `json:",omitempty"`
}

// choice is how metadata write one of several names.
type choice struct {
	Value string
}

func (a *describedColumn) column() Column {
	c := Column{Name: a.LogicalName, SchemaName: a.SchemaName, Type: ColumnType(a.AttributeType), MaxLength: a.MaxLength,
		Min: a.MinValue, Max: a.MaxValue, Format: a.Format, ReadOnly: a.IsValidForUpdate != nil && !*a.IsValidForUpdate}
	if a.Precision != nil {
		c.Precision = *a.Precision
	}
	if a.DateTimeBehavior != nil {
		c.Behavior = a.DateTimeBehavior.Value
	}
	return c
}

// CreateTable makes a table with all its columns. It takes Dataverse some seconds.
func (c *Client) CreateTable(ctx context.Context, d Definition) error {
	attributes := []describedColumn{describeColumn(d.PrimaryName)}
	attributes[0].IsPrimaryName = true
	for _, column := range d.Columns {
		attributes = append(attributes, describeColumn(column))
	}
	return c.define(ctx, "create table "+d.LogicalName, "EntityDefinitions", map[string]any{
		"@odata.type":           "Microsoft.Dynamics.CRM.EntityMetadata",
		"SchemaName":            d.SchemaName,
		"DisplayName":           newLabel(d.Name),
		"DisplayCollectionName": newLabel(d.PluralName),
		"Description":           newLabel(d.Description),
		"OwnershipType":         "UserOwned",
		"IsActivity":            false,
		"HasActivities":         false,
		"HasNotes":              false,
		"Attributes":            attributes,
	})
}

// CreateColumn adds a column to a table.
func (c *Client) CreateColumn(ctx context.Context, logicalName string, column Column) error {
	return c.define(ctx, "create column "+column.Name+" of table "+logicalName, definitionPath(logicalName)+"/Attributes",
		describeColumn(column))
}

func (c *Client) define(ctx context.Context, op, path string, definition any) error {
	body, err := json.Marshal(definition)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err = c.do(ctx, request{op: op, method: http.MethodPost, url: c.url(path), header: strong, body: body})
	return err
}

// describeColumn is the definition of a column to create.
func describeColumn(c Column) describedColumn {
	a := describedColumn{
		Type:          "Microsoft.Dynamics.CRM." + string(c.Type) + "AttributeMetadata",
		AttributeType: string(c.Type),
		SchemaName:    c.SchemaName,
		DisplayName:   newLabel(c.DisplayName),
		RequiredLevel: &choice{"None"},
		MinValue:      c.Min,
		MaxValue:      c.Max,
	}
	switch c.Type {
	case Text:
		a.MaxLength, a.FormatName = c.MaxLength, &choice{"Text"}
	case Integer:
		a.Format = "None"
	case Decimal:
		a.Precision = &c.Precision
	case DateTime:
		a.Format, a.DateTimeBehavior = c.Format, &choice{c.Behavior}
	}
	return a
}

// label is a text for people, in one language.
type label struct {
	Type            string `json:"@odata.type,omitempty"`
	LocalizedLabels []localizedLabel
}

type localizedLabel struct {
	Type         string `json:"@odata.type,omitempty"`
	Label        string
	LanguageCode int
}

// english is the language of all texts for people.
const english = 1033

func newLabel(text string) *label {
	return &label{Type: "Microsoft.Dynamics.CRM.Label", LocalizedLabels: []localizedLabel{
		{Type: "Microsoft.Dynamics.CRM.LocalizedLabel", Label: text, LanguageCode: english},
	}}
}
