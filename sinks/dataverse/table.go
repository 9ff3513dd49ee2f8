package dataverse

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// DefaultTable is the logical name of the table where no other is configured.
const DefaultTable = "apex_campaignmetric"

// Table is the definition of an existing table.
type Table struct {
	LogicalName string
	SchemaName  string
	EntitySet   string            // its name in URLs
	PrimaryID   string            // column of the row's id
	PrimaryName string            // column of the row's title
	Columns     map[string]Column // by logical name, those that Dataverse adds by itself too
	Keys        []Key
}

// ColumnType is the type of a column by Dataverse's name (AttributeType). There are more than those below.
type ColumnType string

// The types of the columns that hold metrics.
const (
	Text     ColumnType = "String"
	Integer  ColumnType = "Integer"
	Decimal  ColumnType = "Decimal"
	DateTime ColumnType = "DateTime"
)

// Column is the definition of one column. Which fields say something depends on its type.
type Column struct {
	Name        string // logical
	SchemaName  string
	DisplayName string // not read from an existing table
	Type        ColumnType
	MaxLength   int         // of Text, in UTF-16 code units
	Min, Max    json.Number // of Integer and Decimal; empty: none
	Precision   int         // of Decimal: digits after the point, 0 to 10
	Format      string      // of DateTime: DateAndTime or DateOnly
	Behavior    string      // of DateTime: TimeZoneIndependent, UserLocal or DateOnly
	ReadOnly    bool        // Dataverse computes it
}

// Key is an alternate key of a table: columns whose values no two rows share.
type Key struct {
	SchemaName string
	Columns    []string // logical names
	Status     string   // of its index: Pending, InProgress, Active or Failed
}

// Definition is a table to create.
type Definition struct {
	LogicalName string
	SchemaName  string // the same, with capitals
	Name        string // as people see it
	PluralName  string
	Description string
	PrimaryName Column
	Columns     []Column
}

// Wanted is the table that a record of metrics fits into: a column for each of 13 fields, and a title.
func Wanted(logicalName string) Definition {
	d := Definition{
		LogicalName: logicalName,
		SchemaName:  logicalName,
		Name:        "Campaign Metric",
		PluralName:  "Campaign Metrics",
		Description: "One row for each run and phase of a campaign, written by runmetrics.",
		PrimaryName: Column{Name: "apex_name", SchemaName: "apex_Name", DisplayName: "Name", Type: Text, MaxLength: 200},
	}
	if logicalName == DefaultTable {
		d.SchemaName = "apex_CampaignMetric"
	}
	for _, f := range fields {
		d.Columns = append(d.Columns, f.column)
	}
	return d
}

// field is one of the 13 fields of a record that are copied. Of the funcs, the one of the column's type is set.
type field struct {
	column Column // as it is wanted
	text   func(*aggregate.Metrics) string
	number func(*aggregate.Metrics) *decimal // nil: unknown
	at     func(*aggregate.Metrics) time.Time
}

// fields are the 13, in the order in which they are shown.
var fields = []field{
	textField("CampaignId", "Campaign ID", 64, func(m *aggregate.Metrics) string { return m.CampaignID }),
	textField("RunId", "Run ID", 64, func(m *aggregate.Metrics) string { return m.RunID }),
	textField("Phase", "Phase", 16, func(m *aggregate.Metrics) string { return m.Phase }),
	wholeField("AgentsTotal", "Agents Total", func(m *aggregate.Metrics) *int64 { return &m.AgentsTotal }),
	wholeField("AgentsSuccessful", "Agents Successful", func(m *aggregate.Metrics) *int64 { return &m.AgentsSuccessful }),
	wholeField("AssetsGenerated", "Assets Generated", func(m *aggregate.Metrics) *int64 { return &m.AssetsGenerated }),
	wholeField("TokensIn", "Tokens In", func(m *aggregate.Metrics) *int64 { return &m.TokensIn }),
	wholeField("TokensOut", "Tokens Out", func(m *aggregate.Metrics) *int64 { return &m.TokensOut }),
	decimalField("CostUSD", "Cost USD", 5, "99999.99999", func(m *aggregate.Metrics) *decimal {
		return &decimal{m.CostUSD.Nanos(), 9}
	}),
	wholeField("LatencyP95Ms", "Latency P95 (ms)", func(m *aggregate.Metrics) *int64 { return m.LatencyP95Ms }),
	wholeField("LatencyAvgMs", "Latency Average (ms)", func(m *aggregate.Metrics) *int64 { return m.LatencyAvgMs }),
	decimalField("SuccessRate", "Success Rate (%)", 2, "100", func(m *aggregate.Metrics) *decimal {
		if m.SuccessRate == nil {
			return nil
		}
		return newDecimal(int64(*m.SuccessRate), 2)
	}),
	{
		column: Column{Name: "apex_createdat", SchemaName: "apex_CreatedAt", DisplayName: "Created At", Type: DateTime,
			Format: "DateAndTime", Behavior: "TimeZoneIndependent"},
		at: func(m *aggregate.Metrics) time.Time { return m.CreatedAt },
	},
}

// newColumn has the publisher's prefix, which makes names unique in an organisation.
func newColumn(name, title string, kind ColumnType) Column {
	return Column{Name: "apex_" + strings.ToLower(name), SchemaName: "apex_" + name, DisplayName: title, Type: kind}
}

func textField(name, title string, maxLength int, text func(*aggregate.Metrics) string) field {
	column := newColumn(name, title, Text)
	column.MaxLength = maxLength
	return field{column: column, text: text}
}

func wholeField(name, title string, whole func(*aggregate.Metrics) *int64) field {
	column := newColumn(name, title, Integer)
	column.Min, column.Max = "0", "2147483647"
	return field{column: column, number: func(m *aggregate.Metrics) *decimal {
		if n := whole(m); n != nil {
			return newDecimal(*n, 0)
		}
		return nil
	}}
}

func decimalField(name, title string, precision int, most json.Number, number func(*aggregate.Metrics) *decimal) field {
	column := newColumn(name, title, Decimal)
	column.Precision, column.Min, column.Max = precision, "0", most
	return field{column: column, number: number}
}
