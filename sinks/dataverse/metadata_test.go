package dataverse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// definitions answers as Dataverse does for one table.
func definitions(t *testing.T) http.HandlerFunc {
	t.Helper()
	attributes, err := os.ReadFile("testdata/attributes.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body := ""
		switch strings.TrimPrefix(r.URL.Path, "/api/data/v9.2/") {
		case "EntityDefinitions":
			if r.URL.Query().Get("$filter") != "LogicalName eq 'apex_campaignmetric'" {
				body = `{"value":[]}`
				break
			}
			body = `{"value":[{"LogicalName":"apex_campaignmetric","SchemaName":"apex_CampaignMetric",` +
				`"EntitySetName":"apex_campaignmetrics","PrimaryIdAttribute":"apex_campaignmetricid",` +
				`"PrimaryNameAttribute":"apex_name","MetadataId":"` + rowID.String() + `"}]}`
		case "EntityDefinitions(LogicalName='apex_campaignmetric')/Attributes":
			body = string(attributes)
		case "EntityDefinitions(LogicalName='apex_campaignmetric')/Keys":
			body = `{"value":[{"SchemaName":"apex_RunKey","LogicalName":"apex_runkey",` +
				`"KeyAttributes":["apex_runid","apex_phase"],"EntityKeyIndexStatus":"Active"}]}`
		default:
			t.Errorf("asked for %s", r.URL)
		}
		answer(200, body)(w, r)
	}
}

func TestATablesDefinitionIsRead(t *testing.T) {
	t.Parallel()
	s := newService(t, definitions(t))
	table, err := s.client().Table(t.Context(), "apex_campaignmetric")
	if err != nil {
		t.Fatal(err)
	}
	want := &dataverse.Table{
		LogicalName: "apex_campaignmetric", SchemaName: "apex_CampaignMetric", EntitySet: "apex_campaignmetrics",
		PrimaryID: "apex_campaignmetricid", PrimaryName: "apex_name",
		Keys: []dataverse.Key{{SchemaName: "apex_RunKey", Columns: []string{"apex_runid", "apex_phase"}, Status: "Active"}},
		Columns: map[string]dataverse.Column{
			"apex_campaignmetricid": {Name: "apex_campaignmetricid", SchemaName: "apex_CampaignMetricId",
				Type: "Uniqueidentifier", ReadOnly: true},
			"apex_name": {Name: "apex_name", SchemaName: "apex_Name", Type: dataverse.Text, MaxLength: 850, Format: "Text"},
			"apex_costusd": {Name: "apex_costusd", SchemaName: "apex_CostUSD", Type: dataverse.Decimal, Min: "0.0000000000",
				Max: "99999.9999900000", Precision: 5},
			"apex_tokensin": {Name: "apex_tokensin", SchemaName: "apex_TokensIn", Type: dataverse.Integer, Min: "-2147483648",
				Max: "2147483647", Format: "None"},
			"apex_createdat": {Name: "apex_createdat", SchemaName: "apex_CreatedAt", Type: dataverse.DateTime, Format: "DateAndTime",
				Behavior: "UserLocal"},
			"versionnumber": {Name: "versionnumber", SchemaName: "VersionNumber", Type: "BigInt", Min: "-9223372036854775808",
				Max: "9223372036854775807", ReadOnly: true},
			"createdby":  {Name: "createdby", SchemaName: "CreatedBy", Type: "Lookup", Format: "None", ReadOnly: true},
			"apex_price": {Name: "apex_price", SchemaName: "apex_Price", Type: "Money", Max: "922337203685477.0"},
		},
	}
	if !reflect.DeepEqual(table, want) {
		t.Errorf("\n got %+v\nwant %+v", table, want)
	}
	requests, _ := s.seen()
	for _, r := range requests {
		if r.Header.Get("Consistency") != "Strong" {
			t.Errorf("%s may be answered from a cache", r.URL)
		}
	}
}

func TestATableThatIsNotThereIsErrNoTable(t *testing.T) {
	t.Parallel()
	s := newService(t, definitions(t))
	for _, name := range []string{"apex_other", "o'neil"} {
		_, err := s.client().Table(t.Context(), name)
		if !errors.Is(err, dataverse.ErrNoTable) || !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), name) {
			t.Error(err)
		}
	}
}

func TestTheWantedTableIsCreatedLikeThis(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, ""))
	client := s.client()
	wanted := dataverse.Wanted(dataverse.DefaultTable)
	if err := client.CreateTable(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	if err := client.CreateColumn(t.Context(), dataverse.DefaultTable, wanted.Columns[8]); err != nil {
		t.Fatal(err)
	}
	requests, bodies := s.seen()
	for i, path := range []string{"EntityDefinitions", "EntityDefinitions(LogicalName='apex_campaignmetric')/Attributes"} {
		if requests[i].Method != "POST" || requests[i].URL.Path != "/api/data/v9.2/"+path {
			t.Errorf("%s %s", requests[i].Method, requests[i].URL)
		}
	}
	var got bytes.Buffer
	for _, body := range bodies {
		if err := json.Indent(&got, []byte(body), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	const path = "testdata/create_table.txt"
	want, err := os.ReadFile(path)
	if err == nil && bytes.Equal(want, got.Bytes()) {
		return
	}
	if !dataverse.Update() {
		t.Fatalf("it sends another definition than %s: %v\n%s", path, err, got.Bytes())
	}
	if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
