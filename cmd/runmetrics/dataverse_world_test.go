package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// organizationSecret is the secret of the only client of organizations in tests. No output may have it.
const organizationSecret = "s3cr3t-9f8e7d6c"

// testEmulator is an organization that nobody can reach yet. The table is there unless empty.
func testEmulator(t *testing.T, empty bool) *emulator.Emulator {
	t.Helper()
	e, err := emulator.New(emulator.Config{ClientSecret: organizationSecret, Empty: empty})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// testOrganization serves it, and returns the environment of programs that copy to it.
func testOrganization(t *testing.T, handler http.Handler) map[string]string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return map[string]string{"USE_DATAVERSE": "true", "DATAVERSE_URL": server.URL, "DATAVERSE_AUTHORITY": server.URL,
		"DATAVERSE_TENANT_ID": "contoso", "DATAVERSE_CLIENT_ID": "emulator", "DATAVERSE_CLIENT_SECRET": organizationSecret}
}

// testClient is a client of the organization in the environment.
func testClient(t *testing.T, environ map[string]string) *dataverse.Client {
	t.Helper()
	cfg, err := loadConfig(environ, "", needDataverse)
	if err != nil {
		t.Fatal(err)
	}
	client, err := newDataverse(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// testTable is the table's definition as the organization has it.
func testTable(t *testing.T, client *dataverse.Client) *dataverse.Table {
	t.Helper()
	table, err := client.Table(t.Context(), dataverse.DefaultTable)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// byHand makes the table as somebody did who had not read ours: other column limits where change says so.
func byHand(t *testing.T, client *dataverse.Client, change func(*dataverse.Definition)) {
	t.Helper()
	d := dataverse.Wanted(dataverse.DefaultTable)
	change(&d)
	if err := client.CreateTable(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// column is the definition of one column, to be changed.
func column(t *testing.T, d *dataverse.Definition, name string) *dataverse.Column {
	t.Helper()
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i]
		}
	}
	t.Fatalf("no column %s", name)
	return nil
}

// drop takes a column out of a definition.
func drop(d *dataverse.Definition, name string) {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			d.Columns = append(d.Columns[:i], d.Columns[i+1:]...)
			return
		}
	}
}

// putRows writes n rows of a campaign, one a minute, under ids that are not their runs'.
func putRows(t *testing.T, client *dataverse.Client, campaign string, n int) {
	t.Helper()
	table := testTable(t, client)
	var rows []dataverse.Row
	for i := range n {
		rate := aggregate.Percent(6667)
		m := aggregate.Metrics{CampaignID: campaign, RunID: fmt.Sprintf("run-%03d", i), Phase: "p", AgentsTotal: 3,
			AgentsSuccessful: 2, TokensIn: 10, TokensOut: 20, AssetsGenerated: 1, SuccessRate: &rate,
			CostUSD:   aggregate.Money{}.Add(12_345_000),
			CreatedAt: time.Date(2026, 3, 1, 12, i, 0, 0, time.UTC)}
		row, err := table.Row(&m, uuid.New())
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if _, err := client.UpsertMultiple(t.Context(), table, rows); err != nil {
		t.Fatal(err)
	}
}

// wantParts fails the test for each part that a text does not have.
func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("does not say %q:\n%s", part, text)
		}
	}
}
