package emulator

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAClientWithAnOldTokenIsSentToGetANewOne(t *testing.T) {
	t.Parallel()
	o := start(t, Config{TokenLife: 30 * time.Minute})
	o.clock.advance(30*time.Minute - time.Second)
	if got := o.do(http.MethodGet, "WhoAmI", ""); got.status != http.StatusOK {
		t.Errorf("a second before its end: %+v", got)
	}
	o.clock.advance(time.Second)
	got := o.do(http.MethodGet, "WhoAmI", "")
	if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("at its end: %+v", got)
	}
	if s := o.Stats(); s.Tokens != 1 || s.Requests != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestTheLimitsOfTheConfigurationHold(t *testing.T) {
	t.Parallel()
	o := start(t, Config{Limits: Limits{Requests: 3}})
	for range 3 {
		if got := o.do(http.MethodPost, campaigns, `{}`); got.status != http.StatusNoContent {
			t.Fatalf("within the limit: %+v", got)
		}
	}
	got := o.do(http.MethodPost, campaigns, `{}`)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "300" || got.header.Get("REQ_ID") == "" {
		t.Errorf("beyond it: %+v", got)
	}
	if s := o.Stats(); s.Targets != 3 {
		t.Errorf("%d targets, want those of the requests that were let in", s.Targets)
	}
	o.clock.advance(300 * time.Second)
	if got := o.do(http.MethodPost, campaigns, `{}`); got.status != http.StatusNoContent {
		t.Errorf("a window later: %+v", got)
	}
}

func TestEachRowThatARequestAsksToWriteIsATarget(t *testing.T) {
	t.Parallel()
	o := start(t, Config{})
	const typed = `{"@odata.type":"Microsoft.Dynamics.CRM.apex_campaignmetric","apex_phase":"p"}`
	for _, c := range []struct {
		what    string
		send    func() received
		targets int
	}{
		{"a create", func() received { return o.do(http.MethodPost, campaigns, `{}`) }, 1},
		{"an upsert", func() received { return o.do(http.MethodPatch, campaigns+"("+rowID(1)+")", `{}`) }, 1},
		{"a refused update", func() received {
			return o.do(http.MethodPatch, campaigns+"("+rowID(2)+")", `{}`, "If-Match", "*")
		}, 1},
		{"a delete", func() received { return o.do(http.MethodDelete, campaigns+"("+rowID(1)+")", "") }, 1},
		{"a query", func() received { return o.do(http.MethodGet, campaigns, "") }, 0},
		{"a bulk call", func() received {
			const three = `{"Targets":[` + typed + `,` + typed + `,` + typed + `]}`
			return o.do(http.MethodPost, campaigns+"/Microsoft.Dynamics.CRM.CreateMultiple", three)
		}, 3},
		{"a batch", func() received {
			text := inBatch + "POST " + campaigns + " HTTP/1.1\n\n{}\n" + inBatch + "GET " + campaigns + " HTTP/1.1\n\n\n" +
				inBatch + "PATCH " + campaigns + "(" + rowID(3) + ") HTTP/1.1\n\n{}\n--b--\n"
			return o.batch(text)
		}, 2},
	} {
		before := o.Stats()
		got := c.send()
		after := o.Stats()
		if n := after.Targets - before.Targets; n != c.targets {
			t.Errorf("%s has %d targets, want %d: %+v", c.what, n, c.targets, got)
		}
		if n := after.Requests - before.Requests; n != 1 {
			t.Errorf("%s counts as %d requests", c.what, n)
		}
	}
}

func TestAChangeSetThatFailsLeavesTheRowsAsTheyWere(t *testing.T) {
	t.Parallel()
	o := start(t, Config{})
	o.do(http.MethodPatch, campaigns+"("+rowID(1)+")", `{"apex_phase":"old"}`)
	before := o.do(http.MethodGet, campaigns, "")
	row := campaigns + "(" + rowID(1) + ")"
	text := set
	for i, operation := range []string{
		"PATCH " + row + " HTTP/1.1\n\n{\"apex_phase\":\"new\"}\n",
		"POST " + campaigns + " HTTP/1.1\n\n{}\n",
		"DELETE " + row + " HTTP/1.1\n\n\n",
		"DELETE " + row + " HTTP/1.1\n\n\n", // it has gone
	} {
		text += fmt.Sprintf(inSet, i) + operation
	}
	text += "--c--\n--b--\n"
	got := o.batch(text)
	if got.status != http.StatusNotFound || !strings.Contains(got.body, "0x80040217") {
		t.Errorf("the batch: %+v", got)
	}
	if after := o.do(http.MethodGet, campaigns, ""); after.body != before.body {
		t.Errorf("the rows are %s\nand were %s", after.body, before.body)
	}
}

func TestAReferenceNeedsAnAddress(t *testing.T) {
	t.Parallel()
	o := start(t, Config{})
	row := campaigns + "(" + rowID(1) + ")"
	text := set + fmt.Sprintf(inSet, 1) + "POST " + campaigns + " HTTP/1.1\n\n{}\n" +
		fmt.Sprintf(inSet, 2) + "PATCH $1 HTTP/1.1\n\n{\"apex_name\":\"a\"}\n" +
		fmt.Sprintf(inSet, 3) + "PATCH " + row + " HTTP/1.1\nPrefer: return=representation\n\n{}\n"
	if got := o.batch(text + "--c--\n--b--\n"); got.status != http.StatusOK || len(o.Rows(campaigns)) != 2 {
		t.Fatalf("the batch: %+v", got)
	}
	text += fmt.Sprintf(inSet, 4) + "PATCH $3 HTTP/1.1\n\n{}\n--c--\n--b--\n"
	if got := o.batch(text); got.status != http.StatusNotImplemented || !strings.Contains(got.body, "$3") {
		t.Errorf("a reference to a row that came back whole: %+v", got)
	}
	if rows := o.Rows(campaigns); len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
	o.refuse(http.StatusMethodNotAllowed, "0x0", http.MethodPut, "$batch", "")
}

// batch sends a batch, whose lines end with CRLF.
func (o *org) batch(text string) received {
	o.Helper()
	text = strings.ReplaceAll(text, "\n", "\r\n")
	return o.do(http.MethodPost, "$batch", text, "Content-Type", "multipart/mixed; boundary=b")
}

func TestATenantMayHaveTheNameOfTheControlEndpoint(t *testing.T) {
	t.Parallel()
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for path, part := range map[string]string{
		"/emulator/v2.0/.well-known/openid-configuration": "/emulator/oauth2/v2.0/token",
		"/emulator/stats": `"requests":`,
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
