package emulator

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const definitionPath = "EntityDefinitions(LogicalName='apex_campaignmetric')"

// makeKey makes a key over columns, and waits until it can be used.
func (o *org) makeKey(schemaName, columns string) {
	o.Helper()
	o.mustDo(http.StatusNoContent, http.MethodPost, definitionPath+"/Keys", keyBody(schemaName, columns))
	o.clock.advance(keyDone)
}

func keyBody(schemaName, columns string) string {
	return `{"SchemaName":"` + schemaName + `","KeyAttributes":[` + columns + `],` + label("DisplayName", "A key") + `}`
}

const runKey = `"apex_runid","apex_phase"`

func TestAKeyCanBeUsedOnceItIsActive(t *testing.T) {
	o := start(t, Config{})
	path := campaigns + "(apex_runid='r',apex_phase='p')"
	o.refuse(http.StatusBadRequest, "0x80060890", http.MethodGet, path, "")
	r := o.mustDo(http.StatusNoContent, http.MethodPost, definitionPath+"/Keys", keyBody("apex_RunKey", runKey))
	for i, want := range []string{keyPending, keyInProgress, keyActive} {
		got := o.get(r.header.Get("OData-EntityId"))
		if got["EntityKeyIndexStatus"] != want || fmt.Sprint(got["KeyAttributes"]) != "[apex_runid apex_phase]" {
			t.Errorf("key %v, want %s", got, want)
		}
		if i < 2 {
			o.refuse(http.StatusBadRequest, "0x80060890", http.MethodPatch, path, `{}`)
			o.clock.advance(time.Second)
		}
	}
	o.patch(path, `{}`)
	o.refuse(http.StatusBadRequest, "0x80060890", http.MethodGet, campaigns+"(apex_runid='r')", "")
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"(apex_nothing='r')", "")
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"(apex_runid='r',apex_phase=5)", "")
}

func TestAKeyOfRowsThatAreNotUniqueFails(t *testing.T) {
	o := start(t, Config{})
	for n, phase := range []string{`"p"`, `"P"`, `null`, `null`} { // nulls are not equal
		o.patch(rowAt(n), `{"apex_runid":"r","apex_phase":`+phase+`}`)
	}
	o.makeKey("apex_RunKey", runKey)
	if got := o.get(definitionPath + "/Keys(LogicalName='apex_runkey')"); got["EntityKeyIndexStatus"] != keyFailed {
		t.Errorf("key %v", got)
	}
	o.refuse(http.StatusBadRequest, "0x80060890", http.MethodGet, campaigns+"(apex_runid='r',apex_phase='p')", "")
	o.patch(rowAt(9), `{"apex_runid":"r","apex_phase":"p"}`)
}

func TestRowsAreUniqueByAnActiveKey(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	o.patch(rowAt(1), `{"apex_runid":"r","apex_phase":"p"}`)
	body := `{"apex_runid":"R","apex_phase":"p"}`
	o.refuse(http.StatusPreconditionFailed, "0x80060892", http.MethodPost, campaigns, body)
	o.patch(rowAt(2), `{"apex_runid":"r"}`)
	o.refuse(http.StatusPreconditionFailed, "0x80060892", http.MethodPatch, rowAt(2), body)
	o.patch(rowAt(1), body) // its own
	o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(1), "")
	o.patch(rowAt(2), body)
}

func TestAnUpsertByKeyAnswersTheKeyAndNotTheId(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	path := campaigns + "(apex_phase='p%201',apex_runid='it''s')"
	for range 2 { // creates, updates
		r := o.patch(path, `{"apex_name":"a"}`)
		if r.header.Get("OData-EntityId") != o.url+path {
			t.Errorf("header %v", r.header)
		}
	}
	got := o.get(path)
	if got["apex_runid"] != "it's" || got["apex_phase"] != "p 1" || len(o.Rows(campaigns)) != 1 {
		t.Errorf("row %v", got)
	}
	o.refuse(http.StatusNotFound, "0x80060891", http.MethodGet, campaigns+"(apex_runid='other',apex_phase='p')", "")
	o.refuse(http.StatusNotFound, "0x80060891", http.MethodPatch, campaigns+"(apex_runid='other',apex_phase='p')", "{}", "If-Match", "*")
	o.refuse(http.StatusBadRequest, "0x80044331", http.MethodPatch, campaigns+"(apex_runid='r',apex_phase='12345678901234567')", "{}")
	o.mustDo(http.StatusNoContent, http.MethodDelete, path, "")
}

func TestKeyValuesInTheBodyCountOnlyForANewRow(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	path := campaigns + "(apex_runid='r',apex_phase='p')"
	o.patch(path, `{"apex_runid":"body"}`) // the body wins
	got := o.get(campaigns + "(apex_runid='body',apex_phase='p')")
	o.patch(campaigns+"(apex_runid='body',apex_phase='p')", `{"apex_runid":"dropped","apex_name":"a"}`)
	again := o.get(campaigns + "(apex_runid='body',apex_phase='p')")
	if again["apex_name"] != "a" || again["apex_campaignmetricid"] != got["apex_campaignmetricid"] {
		t.Errorf("row %v", again)
	}
}

func TestUpsertMultipleByKeyMustNotHaveTheKeyInTheBodyOfANewRow(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	address := func(prefix string) string {
		return `"@odata.id":"` + prefix + campaigns + `(apex_runid='r',apex_phase='p')"`
	}
	both := targets(target1(address(""), `"apex_runid":"r"`, `"apex_name":"b"`))
	o.refuse(http.StatusBadRequest, "0x80040216", http.MethodPost, bulkOf("UpsertMultiple"), both)
	o.upsertMultiple(targets(target1(address(o.url), `"apex_name":"a"`), target1(withID(1))))
	o.upsertMultiple(both)
	if got := o.get(campaigns + "(apex_runid='r',apex_phase='p')"); got["apex_name"] != "b" {
		t.Errorf("row %v", got)
	}
	o.mustDo(http.StatusNoContent, http.MethodPost, bulkOf("UpdateMultiple"), targets(target1(address(""), `"apex_name":"c"`)))
	for _, bad := range []string{"r/1", "r:1", "r%1"} {
		o.refuse(http.StatusBadRequest, "0x80060888", http.MethodPost, bulkOf("UpsertMultiple"),
			targets(target1(`"@odata.id":"`+campaigns+`(apex_runid='`+bad+`',apex_phase='p')"`)))
	}
}

func TestValuesThatCannotStandInAURLCanBeStoredButNotAddressed(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_IdKey", `"apex_runid"`)
	for i, c := range []struct{ value, escaped string }{
		{"a/b", "a/b"}, {"a/b", "a%2Fb"}, {"a<b", "a%3Cb"}, {"a>b", "a%3Eb"}, {"a*b", "a*b"}, {"a%b", "a%25b"}, {"a&b", "a&b"},
		{"a:b", "a:b"}, {`a\\b`, "a%5Cb"}, {"a?b", "a%3Fb"}, {"a+b", "a+b"},
	} {
		o.do(http.MethodPatch, rowAt(i), `{"apex_runid":"`+c.value+`"}`)
		for _, method := range []string{http.MethodGet, http.MethodPatch} {
			o.refuse(http.StatusBadRequest, "0x80060888", method, campaigns+"(apex_runid='"+c.escaped+"')", "{}")
		}
	}
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"(apex_runid='a?b')", "")
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"(apex_runid='a", "")
	if n := len(o.Rows(campaigns)); n != 10 { // a/b stands there twice
		t.Errorf("%d rows", n)
	}
	o.patch(campaigns+"(apex_runid='run-1.2_3%20~(%C3%A9)')", "{}")
}

func TestKeysMayHaveNumbersAndTimes(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_NumberKey", `"apex_tokensin","apex_costusd","apex_createdat"`)
	address := func(tokens string) string {
		return campaigns + "(apex_tokensin=" + tokens + ",apex_costusd=1.5,apex_createdat=2026-01-01T00:00:00Z)"
	}
	path := address("5")
	o.patch(path, "{}")
	if got := o.get(path); got["apex_costusd"] != number("1.50000") || got["apex_tokensin"] != number("5") {
		t.Errorf("row %v", got)
	}
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, address("5.5"), "")
	o.refuse(http.StatusBadRequest, "0x8004432f", http.MethodPatch, address("-5"), "{}")
}

func TestAKeyThatCannotBeMadeIsRefused(t *testing.T) {
	o := start(t, Config{})
	o.makeKey("apex_RunKey", runKey)
	for _, c := range []struct{ code, body string }{
		{"0x80060893", keyBody("apex_RunKey", `"apex_runid"`)},
		{"0x80060894", keyBody("apex_Other", `"apex_phase","apex_runid"`)},
		{"0x80040203", keyBody("NoPrefix", `"apex_runid"`)},
		{"0x80040203", keyBody("apex_Other", ``)},
		{"0x80040203", keyBody("apex_Other", `"apex_nothing"`)},
		{"0x80040203", keyBody("apex_Other", `"createdon"`)},
		{"0x80040203", keyBody("apex_Other", `"apex_runid","apex_runid"`)},
	} {
		o.refuse(http.StatusBadRequest, c.code, http.MethodPost, definitionPath+"/Keys", c.body)
	}
	o.unknown("Other", http.MethodPost, definitionPath+"/Keys", `{"Other":1}`)
	o.unknown("DELETE", http.MethodDelete, definitionPath+"/Keys(LogicalName='apex_runkey')", "")
}
