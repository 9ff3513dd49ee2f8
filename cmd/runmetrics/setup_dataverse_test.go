package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

const testTableVerdict = "table apex_campaignmetric"

func TestSetupMakesTheTableOnceAndNothingInADryRun(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, true)))
	client := testClient(t, environ)

	dry := call(t, environ, "", "setup", "--dry-run")
	dry.want(t, exitOK)
	if got := verdicts(dry.stdout)[testTableVerdict]; got != "would be created" {
		t.Errorf("says %q", got)
	}
	if _, err := client.Table(t.Context(), dataverse.DefaultTable); !errors.Is(err, dataverse.ErrNoTable) {
		t.Fatalf("the dry run made a table: %v", err)
	}

	r := call(t, environ, "", "setup")
	r.want(t, exitOK)
	if got := verdicts(r.stdout)[testTableVerdict]; got != "created" {
		t.Errorf("says %q", got)
	}
	if findings := testTable(t, client).Check(); len(findings) > 0 {
		t.Errorf("the new table is not as it is wanted: %+v", findings)
	}
	for _, args := range [][]string{{"setup"}, {"setup", "--dry-run"}} {
		again := call(t, environ, "", args...)
		again.want(t, exitOK)
		if got := verdicts(again.stdout)[testTableVerdict]; got != "unchanged" {
			t.Errorf("%v says %q", args, got)
		}
	}
}

func TestSetupAddsColumnsAndLeavesTheOthers(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, true)))
	client := testClient(t, environ)
	byHand(t, client, func(d *dataverse.Definition) {
		drop(d, columnPhase)
		drop(d, columnCreatedAt)
		column(t, d, columnCost).Precision = 2
	})
	for verdict, args := range map[string][]string{"would be changed": {"setup", "--dry-run"}} {
		dry := call(t, environ, "", args...)
		dry.want(t, exitOK)
		if got := verdicts(dry.stdout)[testTableVerdict]; got != verdict {
			t.Errorf("says %q", got)
		}
	}
	if _, exists := testTable(t, client).Columns[columnPhase]; exists {
		t.Error("the dry run made a column")
	}
	r := call(t, environ, "", "setup")
	r.want(t, exitOK)
	wantParts(t, r.stdout, "changed", "column apex_phase of type String", "column apex_createdat of type DateTime",
		"left: apex_costusd keeps 2 digits after the point, not 5", "set the column's decimal places to 5")
	table := testTable(t, client)
	if table.Columns[columnPhase].MaxLength != 16 || table.Columns[columnCost].Precision != 2 {
		t.Errorf("columns %+v", table.Columns)
	}
	again := call(t, environ, "", "setup")
	again.want(t, exitOK)
	if got := verdicts(again.stdout)[testTableVerdict]; got != "unchanged" || !strings.Contains(again.stdout, "left: apex_costusd") {
		t.Errorf("says %s", again.stdout)
	}
}

func TestSetupFailsWhereNoRowCanBeWritten(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, true)))
	byHand(t, testClient(t, environ), func(d *dataverse.Definition) {
		c := column(t, d, columnTotal)
		c.Type, c.MaxLength, c.Min, c.Max = dataverse.Text, 10, "", ""
	})
	r := call(t, environ, "", "setup")
	r.want(t, exitFailure)
	wantParts(t, r.stdout, "failed: apex_agentstotal is of type String, not Integer → ", "stream    RUN_EVENTS", "created")
}

func TestSetupNeedsDataverseOnlyWhereThereIsToBeACopy(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	copied := with(environ, testOrganization(t, testEmulator(t, true)))
	r := call(t, with(copied, map[string]string{"USE_DATAVERSE": "false"}), "", "setup")
	r.want(t, exitOK)
	if got := verdicts(r.stdout)[testTableVerdict]; got != "skipped, USE_DATAVERSE is not true" {
		t.Errorf("says %q", got)
	}
	r = call(t, with(copied, map[string]string{"DATAVERSE_CLIENT_ID": "", "DATAVERSE_URL": ""}), "", "setup")
	r.want(t, exitUsage)
	wantParts(t, r.stderr, "DATAVERSE_CLIENT_ID: ", "DATAVERSE_URL: ")
	r = call(t, with(copied, map[string]string{"DATAVERSE_CLIENT_SECRET": "wrong-" + organizationSecret}), "", "setup")
	r.want(t, exitFailure)
	if got := verdicts(r.stdout); !strings.HasPrefix(got[testTableVerdict], "failed: ") || got[testConsumer] != "unchanged" {
		t.Errorf("says %s", r.stdout)
	}
	wantParts(t, r.stdout, "DATAVERSE_CLIENT_SECRET")
	if strings.Contains(r.stdout+r.stderr, organizationSecret) {
		t.Errorf("shows the secret: %s%s", r.stdout, r.stderr)
	}
}
