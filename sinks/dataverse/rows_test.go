package dataverse_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

var rowID = uuid.MustParse("44444444-4444-4444-4444-444444444444")

// line is the request as one writes it down: method, URL, the header that matters, body.
func line(r *http.Request, body string, header string) string {
	return strings.TrimRight(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get(header)+" "+body, " ")
}

func TestSingleRowsOnTheWire(t *testing.T) {
	t.Parallel()
	row := dataverse.Row{"text": `a"<`, "whole": int64(9007199254740993), "exact": json.Number("0.10000"), "none": nil, "yes": true}
	const body = `{"exact":0.10000,"none":null,"text":"a\"\u003c","whole":9007199254740993,"yes":true}`
	for name, test := range map[string]struct {
		call   func(*dataverse.Client) error
		header string
		want   string
	}{
		"create": {func(c *dataverse.Client) error {
			id, err := c.Create(t.Context(), "things", row)
			if id != rowID {
				t.Errorf("created %s", id)
			}
			return err
		}, "If-Match", "POST /api/data/v9.2/things  " + body},
		"update": {func(c *dataverse.Client) error { return c.Update(t.Context(), "things", rowID, row) }, "If-Match",
			"PATCH /api/data/v9.2/things(44444444-4444-4444-4444-444444444444) * " + body},
		"upsert": {func(c *dataverse.Client) error { return c.Upsert(t.Context(), "things", rowID, row) }, "If-Match",
			"PATCH /api/data/v9.2/things(44444444-4444-4444-4444-444444444444)  " + body},
		"delete": {func(c *dataverse.Client) error { return c.Delete(t.Context(), "things", rowID) }, "If-Match",
			"DELETE /api/data/v9.2/things(44444444-4444-4444-4444-444444444444)"},
	} {
		s := newService(t, answer(204, "", "OData-EntityId: https://x/api/data/v9.2/things("+rowID.String()+")"))
		if err := test.call(s.client()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		requests, bodies := s.seen()
		if got := line(requests[0], bodies[0], test.header); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, test.want)
		}
	}
}

func TestARowIsReadWithAllItsDigits(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(200, `{"@odata.etag":"W/\"1\"","cost":99999.99999,"whole":9007199254740993,"text":"ü",`+
		`"none":null,"zeros":2.5000}`))
	row, err := s.client().Get(t.Context(), "things", rowID, "cost", "whole")
	if err != nil {
		t.Fatal(err)
	}
	want := dataverse.Row{"cost": json.Number("99999.99999"), "whole": json.Number("9007199254740993"), "text": "ü",
		"none": nil, "zeros": json.Number("2.5000"), "@odata.etag": `W/"1"`}
	for column, value := range want {
		if row[column] != value {
			t.Errorf("%s: %#v, want %#v", column, row[column], value)
		}
	}
	requests, _ := s.seen()
	if got := requests[0].URL.RequestURI(); got != "/api/data/v9.2/things("+rowID.String()+")?$select=cost%2Cwhole" {
		t.Error(got)
	}
}

func TestNoFloatGetsIntoARow(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, ""))
	client := s.client()
	for _, value := range []any{0.1, float32(0.1), 7, []any{1}, json.Number("0x1"), json.Number("NaN"), json.Number("1 ")} {
		row := dataverse.Row{"thingid": rowID.String(), "cost": value}
		_, createErr := client.Create(t.Context(), "things", row)
		_, bulkErr := client.UpsertMultiple(t.Context(), things, []dataverse.Row{row})
		for _, err := range []error{createErr, bulkErr, client.Upsert(t.Context(), "things", rowID, row),
			client.Update(t.Context(), "things", rowID, row)} {
			if !errors.Is(err, sinks.ErrRefused) {
				t.Errorf("%T %v: %v", value, value, err)
			}
		}
	}
	if requests, _ := s.seen(); len(requests) > 0 {
		t.Errorf("%d of them were sent", len(requests))
	}
}

func TestACreatedRowWithoutItsIdIsSaid(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, "", "OData-EntityId: https://x/api/data/v9.2/things(key='a')"))
	_, err := s.client().Create(t.Context(), "things", dataverse.Row{"a": "b"})
	if err == nil || !strings.Contains(err.Error(), "it exists") {
		t.Error(err)
	}
}

var things = &dataverse.Table{LogicalName: "thing", EntitySet: "things", PrimaryID: "thingid"}

func TestABulkRequestSaysOfEachRowWhatItIs(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, "", "x-ms-dop-hint: 4", "x-ms-ratelimit-burst-remaining-xrm-requests: 5999"))
	other := uuid.MustParse("55555555-5555-5555-5555-555555555555")
	rows := []dataverse.Row{
		{"thingid": rowID.String(), "cost": json.Number("0.00002")},
		{"thingid": other.String(), "cost": nil},
	}
	told, err := s.client().UpsertMultiple(t.Context(), things, rows)
	if err != nil || told.DOPHint != 4 || told.RequestsLeft != 5999 || told.Took <= 0 {
		t.Errorf("%+v, %v", told, err)
	}
	requests, bodies := s.seen()
	const want = `POST /api/data/v9.2/things/Microsoft.Dynamics.CRM.UpsertMultiple  {"Targets":[` +
		`{"@odata.type":"Microsoft.Dynamics.CRM.thing","cost":0.00002,"thingid":"44444444-4444-4444-4444-444444444444"},` +
		`{"@odata.type":"Microsoft.Dynamics.CRM.thing","cost":null,"thingid":"55555555-5555-5555-5555-555555555555"}]}`
	if got := line(requests[0], bodies[0], "Prefer"); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if len(rows[0]) != 2 {
		t.Error("the caller's row was changed")
	}
}

func TestABulkRequestNeedsTheIdOfEachRow(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, ""))
	for _, row := range []dataverse.Row{{"cost": nil}, {"thingid": ""}, {"thingid": nil}} {
		_, err := s.client().UpsertMultiple(t.Context(), things, []dataverse.Row{{"thingid": rowID.String()}, row})
		if err == nil || !strings.Contains(err.Error(), "row 1 has no thingid") {
			t.Error(err)
		}
	}
	if requests, _ := s.seen(); len(requests) > 0 {
		t.Error("a row without its id was sent")
	}
}

func TestABulkAnswerMayTellNothing(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(204, "", "x-ms-dop-hint: many", "x-ms-ratelimit-burst-remaining-xrm-requests: 1,000.5"))
	told, err := s.client().UpsertMultiple(t.Context(), things, []dataverse.Row{{"thingid": rowID.String()}})
	if err != nil || told.DOPHint != 0 || told.RequestsLeft != -1 {
		t.Errorf("%+v, %v", told, err)
	}
}
