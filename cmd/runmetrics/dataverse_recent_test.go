package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

func TestRecentShowsTheNewestRowsFirst(t *testing.T) {
	t.Parallel()
	environ := testOrganization(t, testEmulator(t, false))
	putRows(t, testClient(t, environ), nasty, 12)
	environ["USE_DATAVERSE"] = "" // looking needs no copying

	r := call(t, environ, "", "dataverse", "recent", "--limit", "3")
	r.want(t, exitOK)
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "CAMPAIGN ") {
		t.Fatalf("prints\n%s", r.stdout)
	}
	for i, want := range []string{"run-011", "run-010", "run-009"} {
		wantParts(t, lines[i+1], want, " 2/3 ", " 66.67 ", " 0.01234 ", " - ", "2026-03-01T12:")
	}
	if strings.ContainsAny(r.stdout, "\x1b\u009b\u202e\r") {
		t.Errorf("lets text steer the terminal: %q", r.stdout)
	}

	r = call(t, environ, "", "dataverse", "recent", "--output", "json")
	r.want(t, exitOK)
	var answer struct {
		Metrics []struct {
			RowID, CampaignID, RunID, Phase, CreatedAt string
			AgentsTotal, TokensOut                     int64
			CostUSD, SuccessRate                       json.Number
			LatencyP95Ms                               *int64
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &answer); err != nil || len(answer.Metrics) != 10 {
		t.Fatalf("%v, %d rows: %s", err, len(answer.Metrics), r.stdout)
	}
	first := answer.Metrics[0]
	if first.CampaignID != nasty || first.RunID != "run-011" || first.RowID == "" || first.AgentsTotal != 3 ||
		first.TokensOut != 20 || plainNumber(first.CostUSD) != "0.01234" || first.LatencyP95Ms != nil || first.CreatedAt != "2026-03-01T12:11:00Z" {
		t.Errorf("%+v", first)
	}
}

func TestRecentShowsATableThatLacksColumns(t *testing.T) {
	t.Parallel()
	environ := testOrganization(t, testEmulator(t, true))
	client := testClient(t, environ)
	r := call(t, environ, "", "dataverse", "recent")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "no such table", "runmetrics setup", "DATAVERSE_TABLE")

	byHand(t, client, func(d *dataverse.Definition) { drop(d, columnTokensIn) })
	if _, err := client.Create(t.Context(), testTable(t, client).EntitySet, dataverse.Row{columnCampaign: "by hand"}); err != nil {
		t.Fatal(err)
	}
	r = call(t, environ, "", "dataverse", "recent")
	r.want(t, exitOK)
	wantParts(t, r.stdout, "by hand", "-/-")
	r = call(t, environ, "", "dataverse", "recent", "--output", "json")
	r.want(t, exitOK)
	wantParts(t, r.stdout, `"tokensIn": null`)

	undated := testOrganization(t, testEmulator(t, true))
	byHand(t, testClient(t, undated), func(d *dataverse.Definition) { drop(d, columnCreatedAt) })
	r = call(t, undated, "", "dataverse", "recent")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, columnCreatedAt, "runmetrics setup")
	undated["DATAVERSE_URL"] = "http://127.0.0.1:1"
	r = call(t, undated, "", "dataverse", "recent")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "DATAVERSE_URL", "runmetrics doctor")
}

func TestDataverseCommandsNameWhatIsMissingOfTheirSettings(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"dataverse", "recent"}, {"dataverse", "test"}} {
		r := call(t, nil, "", args...)
		r.want(t, exitUsage)
		wantParts(t, r.stderr, "DATAVERSE_URL: ", "DATAVERSE_TENANT_ID: ", "DATAVERSE_CLIENT_ID: ", "DATAVERSE_CLIENT_SECRET: ")
	}
	for _, args := range [][]string{{"dataverse"}, {"dataverse", "recent", "--limit", "0"},
		{"dataverse", "recent", "--limit", "501"}, {"dataverse", "recent", "--output", "xml"}, {"dataverse", "test", "now"}, {"doctor", "--output", "html"}} {
		call(t, nil, "", args...).want(t, exitUsage)
	}
}

func TestAnInterruptedLookIsNotTakenForAFaultOfTheSettings(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	environ := testOrganization(t, testEmulator(t, false))
	if code := run(ctx, []string{"dataverse", "recent"}, environ, strings.NewReader(""), &stdout, &stderr); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "interrupted") || strings.Contains(stderr.String(), "DATAVERSE_") {
		t.Errorf("says %q", stderr.String())
	}
}
