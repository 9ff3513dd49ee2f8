package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// maxRecent is how many rows are shown at the most, as in the API.
const maxRecent = 500

func (a *app) dataverseRecent() *cobra.Command {
	r := &recentRows{app: a}
	cmd := &cobra.Command{
		Use:   "recent",
		Short: "Show the newest rows in Dataverse",
		Long: `recent shows the rows of the table in Dataverse, the newest by their time of creation first: what Studio's panel
would see there. It asks Dataverse only, and reads nothing from the database.`,
		Example: `  runmetrics dataverse recent
  runmetrics dataverse recent --limit 100 --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if r.limit < 1 || r.limit > maxRecent {
				return fmt.Errorf("--limit must be from 1 to %d", maxRecent)
			}
			return cobra.NoArgs(cmd, args)
		},
		RunE: a.enter(r.run),
	}
	cmd.Flags().IntVar(&r.limit, "limit", 10, "`number` of rows, 1 to 500")
	outputFlag(cmd, &r.output)
	return cmd
}

// recentRows is one run of the command.
type recentRows struct {
	app    *app
	limit  int
	output outputFormat
}

func (r *recentRows) run(ctx context.Context, _ []string) error {
	cfg, log, err := r.app.open(needDataverse)
	if err != nil {
		return err
	}
	client, err := newDataverse(cfg, log)
	if err != nil {
		return err
	}
	defer client.Close()
	table, err := readTable(ctx, client, cfg.DataverseTable)
	if err != nil {
		return err
	}
	if _, exists := table.Columns[columnCreatedAt]; !exists {
		return fmt.Errorf("table %s has no column %s to tell what is recent; `runmetrics setup` adds it", table.LogicalName, columnCreatedAt)
	}
	rows := []dataverse.Row{}
	query := dataverse.Query{Select: presentColumns(table), OrderBy: columnCreatedAt + " desc", Top: r.limit, PageSize: r.limit}
	for row, err := range client.Query(ctx, table.EntitySet, query) {
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if r.output == jsonOutput {
		return writeJSON(r.app.stdout, map[string]any{"metrics": named(rows, table.PrimaryID)})
	}
	return tabulate(r.app.stdout, rows)
}

// The columns that commands pick out of rows.
const (
	columnCampaign   = "apex_campaignid"
	columnRun        = "apex_runid"
	columnPhase      = "apex_phase"
	columnTotal      = "apex_agentstotal"
	columnSuccessful = "apex_agentssuccessful"
	columnAssets     = "apex_assetsgenerated"
	columnTokensIn   = "apex_tokensin"
	columnTokensOut  = "apex_tokensout"
	columnCost       = "apex_costusd"
	columnP95        = "apex_latencyp95ms"
	columnAverage    = "apex_latencyavgms"
	columnRate       = "apex_successrate"
	columnCreatedAt  = "apex_createdat"
)

// fieldNames are the API's names of what the columns hold.
var fieldNames = map[string]string{
	columnCampaign: "campaignId", columnRun: "runId", columnPhase: "phase", columnTotal: "agentsTotal",
	columnSuccessful: "agentsSuccessful", columnAssets: "assetsGenerated", columnTokensIn: "tokensIn",
	columnTokensOut: "tokensOut", columnCost: "costUSD", columnP95: "latencyP95Ms", columnAverage: "latencyAvgMs",
	columnRate: "successRate", columnCreatedAt: "createdAt",
}

// presentColumns are those of the 13 that the table has, and the row's id. One that was made by hand may lack some.
func presentColumns(t *dataverse.Table) []string {
	columns := []string{t.PrimaryID}
	for _, column := range dataverse.Wanted(t.LogicalName).Columns {
		if _, exists := t.Columns[column.Name]; exists {
			columns = append(columns, column.Name)
		}
	}
	return columns
}

// named gives rows the names of the API.
func named(rows []dataverse.Row, primaryID string) []map[string]any {
	list := make([]map[string]any, 0, len(rows))
	for _, row := range rows {
		record := map[string]any{"rowId": row[primaryID]}
		for column, name := range fieldNames {
			record[name] = row[column]
		}
		list = append(list, record)
	}
	return list
}

// tabulate prints rows for people.
func tabulate(w io.Writer, rows []dataverse.Row) error {
	lines := [][]string{{"CAMPAIGN", "RUN", "PHASE", "AGENTS", "SUCCESS %", "COST USD", "P95 MS", "AVG MS", "TOKENS IN", "TOKENS OUT",
		"ASSETS", "CREATED"}}
	for _, row := range rows {
		line := []string{cell(row, columnCampaign), cell(row, columnRun), cell(row, columnPhase), agentsOf(row)}
		for _, column := range []string{columnRate, columnCost, columnP95, columnAverage, columnTokensIn, columnTokensOut,
			columnAssets, columnCreatedAt} {
			line = append(line, cell(row, column))
		}
		lines = append(lines, line)
	}
	return writeColumns(w, lines)
}

// agentsOf is how many agents succeeded, of how many.
func agentsOf(row dataverse.Row) string {
	return cell(row, columnSuccessful) + "/" + cell(row, columnTotal)
}

// cell is a value for people: fit for a terminal, and a dash where there is none.
func cell(row dataverse.Row, column string) string {
	switch value := row[column].(type) {
	case nil:
		return "-"
	case json.Number:
		return plainNumber(value)
	default:
		return printable(fmt.Sprint(value))
	}
}

// plainNumber is a number without the zeros that Dataverse fills decimals with.
func plainNumber(n json.Number) string {
	text := n.String()
	if !strings.Contains(text, ".") || strings.ContainsAny(text, "eE") {
		return text
	}
	return strings.TrimRight(strings.TrimRight(text, "0"), ".")
}
