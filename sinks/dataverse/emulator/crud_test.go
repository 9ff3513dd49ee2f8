package emulator

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestACreatedRowComesBackWithItsAddressAndItsValues(t *testing.T) {
	o := start(t, Config{})
	r := o.mustDo(http.StatusNoContent, http.MethodPost, campaigns, `{"apex_name":"a 🚀","apex_agentstotal":3,"apex_costusd":1.5,`+
		`"apex_successrate":66.67,"apex_createdat":"2026-01-02T03:04:05.9+02:00","createdon":"2000-01-01T00:00:00Z"}`)
	address := r.header.Get("OData-EntityId")
	if !strings.HasPrefix(address, o.url+campaigns+"(") || r.header.Get("Location") != address || r.body != "" {
		t.Fatalf("created %+v", r)
	}
	if r.header.Get("OData-Version") != "4.0" {
		t.Errorf("header %v", r.header)
	}
	got := o.get(address)
	for name, want := range map[string]any{
		"@odata.context": o.url + "$metadata#apex_campaignmetrics/$entity", "@odata.etag": `W/"1"`, "versionnumber": number("1"),
		"apex_name": "a 🚀", "apex_agentstotal": number("3"), "apex_costusd": number("1.50000"), "apex_successrate": number("66.67"),
		"apex_createdat": "2026-01-02T01:04:05Z", "apex_runid": nil, "createdon": "2026-03-04T05:06:07Z",
		"modifiedon": "2026-03-04T05:06:07Z",
	} {
		if v, given := got[name]; v != want || !given {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	selected := o.get(address + "?%24select=apex_runid,+apex_costusd")
	context := o.url + "$metadata#apex_campaignmetrics(apex_runid,apex_costusd)/$entity"
	if len(selected) != 5 || selected["apex_campaignmetricid"] == nil || selected["@odata.context"] != context {
		t.Errorf("selected %v", selected)
	}
}

func TestAWriteReturnsTheRowOnDemand(t *testing.T) {
	o := start(t, Config{})
	prefer := []string{"Prefer", "return=representation"}
	body := `{"apex_name":"a","apex_campaignmetricid":"` + rowID(1) + `"}`
	r := o.mustDo(http.StatusCreated, http.MethodPost, campaigns+"?$select=apex_name", body, prefer...)
	if r.header.Get("OData-EntityId") != "" || r.header.Get("Preference-Applied") != "return=representation" {
		t.Errorf("header %v", r.header)
	}
	got := decode(t, r.body)
	if got["apex_campaignmetricid"] != rowID(1) || got["apex_name"] != "a" || got["@odata.etag"] != `W/"1"` || len(got) != 4 {
		t.Errorf("created %v", got)
	}
	o.mustDo(http.StatusOK, http.MethodPatch, rowAt(1), `{"apex_name":"b"}`, prefer...)
	r = o.mustDo(http.StatusCreated, http.MethodPatch, rowAt(2), `{"apex_name":"c"}`, prefer...)
	if r.header.Get("ETag") != `W/"3"` {
		t.Errorf("header %v", r.header)
	}
}

func TestAnIdIsTakenOnce(t *testing.T) {
	o := start(t, Config{})
	body := `{"apex_campaignmetricid":"` + rowID(1) + `"}`
	o.mustDo(http.StatusNoContent, http.MethodPost, campaigns, body)
	o.refuse(http.StatusPreconditionFailed, "0x80040237", http.MethodPost, campaigns, body)
	o.refuse(http.StatusPreconditionFailed, "0x80040237", http.MethodPatch, rowAt(1), "{}", "If-None-Match", "*")
	o.patch(rowAt(2), "{}", "If-None-Match", "*")
}

func TestAnUpsertMergesIntoTheRowOrMakesItWithTheIdOfTheURL(t *testing.T) {
	o := start(t, Config{})
	r := o.patch(rowAt(7), `{"apex_name":"a","apex_tokensin":5}`)
	if r.header.Get("OData-EntityId") != o.url+rowAt(7) {
		t.Errorf("header %v", r.header)
	}
	o.clock.advance(30 * time.Minute)
	o.patch(campaigns+"(apex_campaignmetricid="+rowID(7)+")", `{"apex_name":null,"apex_phase":"x"}`)
	got := o.get(rowAt(7))
	if got["apex_name"] != nil || got["apex_phase"] != "x" || got["apex_tokensin"] != number("5") ||
		got["createdon"] != "2026-03-04T05:06:07Z" || got["modifiedon"] != "2026-03-04T05:36:07Z" || got["@odata.etag"] != `W/"2"` {
		t.Errorf("row %v", got)
	}
	o.refuse(http.StatusBadRequest, "0x80048d19", http.MethodPatch, rowAt(7), `{"apex_campaignmetricid":"`+rowID(8)+`"}`)
}

func TestConditionsGuardWrites(t *testing.T) {
	o := start(t, Config{})
	message := o.refuse(http.StatusNotFound, "0x80040217", http.MethodPatch, rowAt(1), "{}", "If-Match", "*")
	if message != "apex_campaignmetric With Id = "+rowID(1)+" Does Not Exist" {
		t.Error(message)
	}
	o.patch(rowAt(1), "{}")
	old := o.get(rowAt(1))["@odata.etag"].(string)
	o.patch(rowAt(1), "{}", "If-Match", old)
	for _, method := range []string{http.MethodPatch, http.MethodDelete} {
		o.refuse(http.StatusPreconditionFailed, "0x80060882", method, rowAt(1), "{}", "If-Match", old)
	}
	o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(1), "", "If-Match", "*")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		o.refuse(http.StatusNotFound, "0x80040217", method, rowAt(1), "")
	}
}

func TestAConditionWhoseEffectIsNotDocumentedIsNotIgnored(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a"}`)
	for _, c := range []struct{ method, path, body, header, condition string }{
		{"PUT", rowAt(1) + "/apex_name", `{"value":"b"}`, "If-Match", `W/"1"`},
		{"DELETE", rowAt(1) + "/apex_name", "", "If-Match", "*"},
		{"DELETE", rowAt(1), "", "If-None-Match", "*"},
		{"PATCH", rowAt(1), `{"apex_name":"b"}`, "If-None-Match", `W/"1"`},
		{"PATCH", rowAt(1), `{"apex_name":"b"}`, "If-Match", `W/"1", W/"2"`},
		{"GET", rowAt(1), "", "If-None-Match", "*"},
		{"GET", rowAt(1), "", "If-Match", `W/"1"`},
	} {
		o.refuse(http.StatusNotImplemented, "", c.method, c.path, c.body, c.header, c.condition)
	}
	if got := o.get(rowAt(1))["apex_name"]; got != "a" {
		t.Errorf("it is written: %v", got)
	}
	o.mustDo(http.StatusNoContent, "PUT", rowAt(1)+"/apex_name", `{"value":"b"}`, "If-None-Match", "null")
	o.mustDo(http.StatusNoContent, "DELETE", rowAt(1), "", "If-None-Match", "null")
}

func TestAnUpsertByIdAnswersTheAddressById(t *testing.T) {
	o := start(t, Config{})
	for _, path := range []string{campaigns + "(" + strings.ToUpper(rowID(10)) + ")", campaigns + "(apex_campaignmetricid=" + rowID(10) + ")"} {
		if got := o.patch(path, "{}").header.Get("OData-EntityId"); got != o.url+rowAt(10) {
			t.Errorf("%s answers %s", path, got)
		}
	}
}

func TestARowThatDidNotChangeIsNotSentAgain(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), "{}")
	etag := o.get(rowAt(1), "If-None-Match", "null")["@odata.etag"].(string)
	o.mustDo(http.StatusNotModified, http.MethodGet, rowAt(1), "", "If-None-Match", etag)
	o.mustDo(http.StatusOK, http.MethodGet, rowAt(1), "", "If-None-Match", etag, "Prefer", `odata.include-annotations="*"`)
	o.patch(rowAt(1), "{}")
	o.mustDo(http.StatusOK, http.MethodGet, rowAt(1), "", "If-None-Match", etag)
}

func TestOneColumnIsReadAndWrittenByItself(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a \"b\"","apex_costusd":2}`)
	got := o.get(rowAt(1) + "/apex_costusd")
	if got["value"] != number("2.00000") || got["@odata.context"] != o.url+"$metadata#"+rowAt(1)+"/apex_costusd" {
		t.Errorf("column %v", got)
	}
	if r := o.mustDo(http.StatusOK, http.MethodGet, rowAt(1)+"/apex_name/$value", ""); r.body != `a "b"` {
		t.Errorf("raw %q", r.body)
	}
	o.mustDo(http.StatusNoContent, http.MethodPut, rowAt(1)+"/apex_name", `{"value":"c"}`)
	o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(1)+"/apex_costusd", "")
	o.mustDo(http.StatusNoContent, http.MethodGet, rowAt(1)+"/apex_costusd", "")
	if got := o.get(rowAt(1)); got["apex_name"] != "c" || got["apex_costusd"] != nil {
		t.Errorf("row %v", got)
	}
	o.refuse(http.StatusBadRequest, "0x80044331", http.MethodPut, rowAt(1)+"/apex_phase", `{"value":"12345678901234567"}`)
	o.refuse(http.StatusBadRequest, "0x80048d19", http.MethodPut, rowAt(1)+"/apex_phase", `{"apex_phase":"1"}`)
}

func TestValuesBeyondTheLimitsOfTheirColumnsAreRefused(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"before"}`)
	for _, c := range []struct{ code, body, says string }{
		{"0x80044331", `{"apex_phase":"12345678901234567"}`, "exceeded the maximum allowed length of '16'"},
		{"0x80044331", `{"apex_phase":"🚀🚀🚀🚀🚀🚀🚀🚀1"}`, "apex_phase"}, // 17 UTF-16 code units
		{"0x8004432f", `{"apex_tokensin":-1}`, "Minimum Value: 0, Maximum value: 2147483647"},
		{"0x80048d19", `{"apex_tokensin":2147483648}`, "Edm.Int32"},
		{"0x80048d19", `{"apex_tokensin":1.5}`, "Edm.Int32"},
		{"0x80048d19", `{"apex_tokensin":"1"}`, "Edm.Int32"},
		{"0x80044330", `{"apex_costusd":100000}`, "outside the valid range(0 to 99999.99999)"},
		{"0x80044330", `{"apex_costusd":99999.999991}`, "99999.999991"},
		{"0x80044330", `{"apex_successrate":-0.0001}`, "-0.0001"},
		{"0x80048d19", `{"apex_costusd":"1.5"}`, "Edm.Decimal"},
		{"0x80048d19", `{"apex_costusd":1e999999999}`, "Edm.Decimal"},
		{"0x80048d19", `{"apex_name":5}`, "Edm.String"},
		{"0x80048d19", `{"apex_name":["a"]}`, "Edm.String"},
		{"0x80048d19", `{"apex_createdat":"2026-01-01T00:00:00+02:00Z"}`, "Edm.DateTimeOffset"},
		{"0x80048d19", `{"apex_createdat":"2026-01-01T5:00:00Z"}`, "Edm.DateTimeOffset"},
		{"0x80048d19", `{"apex_createdat":"2026-01-01T05:00:00,5Z"}`, "Edm.DateTimeOffset"},
		{"0x80048d19", `{"apex_createdat":"2026-01-01"}`, "Edm.DateTimeOffset"},
		{"0x80048d19", `{"apex_createdat":"2026-01-01"}`, "Edm.DateTimeOffset"},
		{"0x80048d19", `{"apex_createdat":1767225600}`, "Edm.DateTimeOffset"},
		{"0x80040239", `{"apex_createdat":"1752-12-31T23:59:59Z"}`, "1753"},
		{"0x80048d19", `{"apex_nothing":1}`, "apex_nothing"},
		{"0x80048d19", `{"Apex_Name":"a"}`, "Apex_Name"},
		{"0x80048d19", `{"apex_campaignmetricid":"1"}`, "Edm.Guid"},
		{"0x80048d19", `{"@odata.type":"Microsoft.Dynamics.CRM.account"}`, "account"},
		{"0x80048d19", `{"apex_name":"a"`, "EOF"},
		{"0x80048d19", `{} {}`, "one JSON object"},
		{"0x80048d19", `[]`, "array"},
		{"0x80048d19", ``, "EOF"},
	} {
		for _, request := range [][2]string{{http.MethodPatch, rowAt(1)}, {http.MethodPost, campaigns}} {
			if message := o.refuse(http.StatusBadRequest, c.code, request[0], request[1], c.body); !strings.Contains(message, c.says) {
				t.Errorf("%s: %q does not say %q", c.body, message, c.says)
			}
		}
	}
	if rows := o.Rows(campaigns); len(rows) != 1 || rows[0]["apex_name"] != "before" || rows[0]["versionnumber"] != number("1") {
		t.Errorf("rows %v", rows)
	}
}

func TestValuesWithinTheLimitsAreKept(t *testing.T) {
	o := start(t, Config{})
	for _, c := range []struct{ column, sent, want string }{
		{"apex_phase", `"1234567890123456"`, `"1234567890123456"`},
		{"apex_phase", `""`, `null`},
		{"apex_tokensin", `2147483647`, `2147483647`},
		{"apex_costusd", `99999.99999`, `99999.99999`},
		{"apex_costusd", `1.000005`, `1.00001`},
		{"apex_costusd", `1.0000049999`, `1.00000`},
		{"apex_costusd", `1.5e2`, `150.00000`},
		{"apex_costusd", `0.0000000000000000000000001`, `0.00000`},
		{"apex_costusd", `12345.678901234567890123`, `12345.67890`},
		{"apex_successrate", `0.295`, `0.30`},
		{"apex_createdat", `"1753-01-01T00:00:00Z"`, `"1753-01-01T00:00:00Z"`},
		{"apex_createdat", `"2026-01-01T00:00:00"`, `"2026-01-01T00:00:00Z"`},
		{"apex_name", `"<a> & 'b' \"c\" \\ \n é"`, `"\u003ca\u003e \u0026 'b' \"c\" \\ \n é"`},
	} {
		o.patch(rowAt(1), `{"`+c.column+`":`+c.sent+`}`)
		r := o.mustDo(http.StatusOK, http.MethodGet, rowAt(1)+"?$select="+c.column, "")
		if want := `"` + c.column + `":` + c.want + "}"; !strings.HasSuffix(r.body, want) {
			t.Errorf("%s %s: got %s, want %s", c.column, c.sent, r.body, want)
		}
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	o := start(t, Config{})
	o.refuse(http.StatusRequestEntityTooLarge, "0x0", http.MethodPost, campaigns, strings.Repeat(" ", maxBody+1))
}

func TestAnIdThatNobodyGaveIsNew(t *testing.T) {
	o := start(t, Config{})
	for range 2 {
		o.mustDo(http.StatusNoContent, http.MethodPost, campaigns, "{}")
	}
	rows := o.Rows(campaigns)
	if len(rows) != 2 || rows[0]["apex_campaignmetricid"] == rows[1]["apex_campaignmetricid"] {
		t.Fatalf("rows %v", rows)
	}
	if _, err := uuid.Parse(rows[0]["apex_campaignmetricid"].(string)); err != nil {
		t.Error(err)
	}
}
