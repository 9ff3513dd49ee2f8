package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// Somebody made the table by hand, with a title of their own, costs of 2 digits and a key over the three names, and filled
// it. Every row of the store ends up in the row that was there.
func TestATableMadeByHandIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, true), nil)
	byHand(t, w.client, func(d *dataverse.Definition) {
		d.PrimaryName = dataverse.Column{Name: "apex_title", SchemaName: "apex_Title", DisplayName: "Title",
			Type: dataverse.Text, MaxLength: 100}
		column(t, d, columnCost).Precision = 2
	})
	w.alternateKey(columnCampaign, columnRun, columnPhase)
	runs := numbered(520)
	made := make(map[string]uuid.UUID)
	for _, run := range runs[:500] {
		made[run] = w.create(testKey(run))
	}
	w.commit(1, runs[480:]...)
	w.send() // as the service does, which knows nothing of the other rows
	w.commit(1, runs[:480]...)

	doctor := call(t, w.environ, "", "doctor")
	wantParts(t, doctor.stdout, columnCost+" keeps 2 digits after the point, not 5", "apex_Names", "reconcile --adopt")
	found := w.reconcile(exitLeftovers).Counts
	if want := (counts{Rows: 520, OtherID: 500, Runs: 520, Equal: 20, Waiting: 480, Parked: 20}); found != want {
		t.Errorf("counts %+v\n  want %+v", found, want)
	}

	report := w.reconcile(exitOK, "--adopt", "--repair")
	if want := (counts{Rows: 520, Runs: 520, Equal: 520, Adopted: 500}); report.Counts != want {
		t.Errorf("counts %+v\n  want %+v", report.Counts, want)
	}
	w.wantOneRowARun()
	for run, id := range w.rowIDs() {
		if want, byHand := made[run]; byHand && id != want {
			t.Errorf("run %s has row %s, not %s", run, id, want)
		}
	}
	for _, row := range w.organization.Rows(w.set()) {
		if row["apex_title"] != "spring · "+row[columnRun].(string)+" · p" || row[columnCost].(json.Number).String() != "0.06" {
			t.Fatalf("%v", row)
		}
	}
	again := w.reconcile(exitOK, "--adopt", "--repair").Counts
	if want := (counts{Rows: 520, Runs: 520, Equal: 520}); again != want {
		t.Errorf("once more: %+v", again)
	}
}

// alternateKey makes a key of the table and waits until it holds.
func (w *copied) alternateKey(columns ...string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"SchemaName": "apex_Names", "KeyAttributes": columns})
	if err != nil {
		w.t.Fatal(err)
	}
	w.post("/api/data/v9.2/EntityDefinitions(LogicalName='"+dataverse.DefaultTable+"')/Keys", body)
	eventually(w.t, "the key holds", func() bool {
		table := testTable(w.t, w.client)
		return len(table.Keys) == 1 && table.Keys[0].Status == "Active"
	})
}

// post makes a request for which the client has no method.
func (w *copied) post(path string, body []byte) {
	w.t.Helper()
	answer, err := http.PostForm(w.environ["DATAVERSE_URL"]+"/contoso/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"emulator"}, "client_secret": {organizationSecret},
		"scope": {w.environ["DATAVERSE_URL"] + "/.default"}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	var token struct {
		Text string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil {
		w.t.Fatal(err)
	}
	url := w.environ["DATAVERSE_URL"] + path
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Text)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	if answer, err = http.DefaultClient.Do(request); err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusNoContent {
		w.t.Fatalf("%s: %s", answer.Status, text)
	}
}
