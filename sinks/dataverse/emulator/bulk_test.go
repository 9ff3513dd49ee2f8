package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// number is a number as tests read it.
type number = json.Number

func bulkOf(action string) string { return campaigns + "/Microsoft.Dynamics.CRM." + action }

// target1 is a target of a bulk action with some properties.
func target1(properties ...string) string {
	return "{" + strings.Join(append([]string{`"@odata.type":"Microsoft.Dynamics.CRM.apex_campaignmetric"`}, properties...), ",") + "}"
}

// targets is the body of a bulk action.
func targets(list ...string) string { return `{"Targets":[` + strings.Join(list, ",") + `]}` }

// withID is the property of the n-th id.
func withID(n int) string { return fmt.Sprintf(`"apex_campaignmetricid":"%s"`, rowID(n)) }

func TestUpsertMultipleMakesAndMergesRows(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a","apex_phase":"p"}`)
	r := o.upsertMultiple(targets(
		target1(withID(1), `"apex_name":"b"`), target1(withID(2), `"apex_name":"c"`),
		target1(withID(2), `"apex_phase":"twice"`), target1(`"apex_name":"without id"`)))
	if r.body != "" || r.header.Get("OData-EntityId") != "" {
		t.Errorf("answer %+v", r)
	}
	rows, _ := o.page(campaigns + "?$orderby=apex_name")
	if names, phases := valuesOf(rows, "apex_name"), valuesOf(rows, "apex_phase"); names != "b c without id" || phases != "p twice <nil>" {
		t.Errorf("rows %v", rows)
	}
}

func TestABulkActionIsAllOrNothing(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a"}`)
	before := fmt.Sprint(o.Rows(campaigns))
	good := target1(withID(1), `"apex_name":"lost"`)
	for _, c := range []struct {
		action, bad string
		status      int
		code        string
	}{
		{"UpsertMultiple", target1(withID(2), `"apex_phase":"12345678901234567"`), http.StatusBadRequest, "0x80044331"},
		{"UpsertMultiple", `{` + withID(2) + `}`, http.StatusBadRequest, "0x80048d19"}, // no @odata.type
		{"UpsertMultiple", `{"@odata.type":"Microsoft.Dynamics.CRM.account"}`, http.StatusBadRequest, "0x80048d19"},
		{"UpsertMultiple", `5`, http.StatusBadRequest, "0x80048d19"},
		{"UpsertMultiple", target1(`"@odata.id":"accounts(1)"`), http.StatusBadRequest, "0x80048d19"},
		{"UpdateMultiple", target1(withID(2), `"apex_phase":"p"`), http.StatusNotFound, "0x80040217"},
		{"UpdateMultiple", target1(`"apex_phase":"p"`), http.StatusBadRequest, "0x80048d19"},
	} {
		o.refuse(c.status, c.code, http.MethodPost, bulkOf(c.action), targets(good, c.bad))
		if after := fmt.Sprint(o.Rows(campaigns)); after != before {
			t.Errorf("%s %s: rows are %s, want %s", c.action, c.bad, after, before)
		}
	}
	o.refuse(http.StatusPreconditionFailed, "0x80040237", http.MethodPost, bulkOf("CreateMultiple"), targets(target1(), target1(withID(1))))
	if after := fmt.Sprint(o.Rows(campaigns)); after != before {
		t.Errorf("rows are %s, want %s", after, before)
	}
}

func TestCreateMultipleAnswersTheIdsInOrder(t *testing.T) {
	o := start(t, Config{})
	r := o.mustDo(http.StatusOK, http.MethodPost, bulkOf("CreateMultiple"),
		targets(target1(withID(5), `"apex_name":"a"`), target1(`"apex_name":"b"`), target1(withID(4))))
	answer := decode(t, r.body)
	ids := answer["Ids"].([]any)
	if len(ids) != 3 || ids[0] != rowID(5) || ids[2] != rowID(4) ||
		answer["@odata.context"] != o.url+"$metadata#Microsoft.Dynamics.CRM.CreateMultipleResponse" {
		t.Fatalf("answer %v", answer)
	}
	if got := o.get(fmt.Sprintf("%s(%s)", campaigns, ids[1])); got["apex_name"] != "b" {
		t.Errorf("row %v", got)
	}
}

func TestUpdateMultipleChangesRowsThatExist(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a","apex_phase":"p"}`)
	o.mustDo(http.StatusNoContent, http.MethodPost, bulkOf("UpdateMultiple"), targets(target1(withID(1), `"apex_name":"b"`)))
	if got := o.get(rowAt(1)); got["apex_name"] != "b" || got["apex_phase"] != "p" {
		t.Errorf("row %v", got)
	}
}

func TestABulkActionWithoutTargetsIsRefused(t *testing.T) {
	o := start(t, Config{})
	for _, body := range []string{``, `{}`, `{"Targets":[]}`, `{"Targets":{}}`, `{"Targets":[{}],"More":1}`, `{"Targets":[]}{}`} {
		o.refuse(http.StatusBadRequest, "0x80048d19", http.MethodPost, bulkOf("UpsertMultiple"), body)
	}
	o.refuse(http.StatusMethodNotAllowed, "0x0", http.MethodGet, bulkOf("UpsertMultiple"), "")
	message := o.refuse(http.StatusNotImplemented, "0x80040265", http.MethodPost, bulkOf("DeleteMultiple"), targets(target1(withID(1))))
	if message != "DeleteMultiple has not yet been implemented." {
		t.Error(message)
	}
}

func TestAChangeSetIsUndoneWithItsBulkActionsAndDefinitions(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"before"}`)
	before := fmt.Sprint(o.Rows(campaigns))
	change := func(method, path, body string) string {
		return "--c\nContent-Type: application/http\nContent-Transfer-Encoding: binary\n\n" + method + " " + path +
			" HTTP/1.1\nContent-Type: application/json\n\n" + body + "\n"
	}
	set := "--b\nContent-Type: multipart/mixed;boundary=c\n\n" +
		change("DELETE", rowAt(1), "") +
		change("POST", bulkOf("UpsertMultiple"), targets(target1(withID(1)), target1(withID(2)))) +
		change("POST", "EntityDefinitions(LogicalName='apex_campaignmetric')/Attributes",
			`{"@odata.type":"Microsoft.Dynamics.CRM.StringAttributeMetadata","SchemaName":"apex_More"}`) +
		change("PATCH", rowAt(3), `{"apex_more":"new"}`) +
		change("POST", "EntityDefinitions", tableBody("new_Table"))
	end := "--c--\n--b--\n"
	send := func(want int, body string) {
		t.Helper()
		o.mustDo(want, http.MethodPost, "$batch", strings.ReplaceAll(body, "\n", "\r\n"), "Content-Type", "multipart/mixed;boundary=b")
	}
	send(http.StatusBadRequest, set+change("PATCH", rowAt(1), `{"apex_tokensin":-1}`)+end)
	if after := fmt.Sprint(o.Rows(campaigns)); after != before || o.Rows("new_tables") != nil {
		t.Errorf("rows are %s, want %s", after, before)
	}
	o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"?$select=apex_more", "")
	send(http.StatusOK, set+end)
	if got := o.get(rowAt(3)); got["apex_more"] != "new" || len(o.Rows(campaigns)) != 3 || o.Rows("new_tables") == nil {
		t.Errorf("row %v", got)
	}
}

func TestReadersSeeABulkActionWholeOrNotAtAll(t *testing.T) {
	o := start(t, Config{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := range 30 {
				both := fmt.Sprintf(`"apex_agentstotal":%d`, 100*w+n)
				o.do(http.MethodPost, bulkOf("UpsertMultiple"), targets(target1(withID(1), both), target1(withID(2), both)))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		writers.Wait()
		close(done)
	}()
	for open := true; open; {
		select {
		case <-done:
			open = false
		default:
		}
		rows := decode(t, o.do(http.MethodGet, campaigns+"?$orderby=apex_agentstotal", "").body)["value"].([]any)
		if len(rows) == 0 {
			continue
		}
		if len(rows) != 2 || rows[0].(map[string]any)["apex_agentstotal"] != rows[1].(map[string]any)["apex_agentstotal"] {
			t.Fatalf("rows %v", rows)
		}
	}
}
