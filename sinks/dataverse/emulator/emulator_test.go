package emulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// org is an emulator behind a server, with a client that has a token.
type org struct {
	*testing.T
	*Emulator
	clock *clock
	url   string // with a slash at its end
	token string
}

const campaigns = "apex_campaignmetrics"

// start starts an emulator.
func start(t *testing.T, c Config) *org {
	t.Helper()
	o := &org{T: t, clock: newClock()}
	if c.Now == nil {
		c.Now = o.clock.Now
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	o.Emulator = e
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	o.url = server.URL + "/api/data/v9.2/"
	response, err := http.PostForm(server.URL+"/tenant/oauth2/v2.0/token", map[string][]string{
		"grant_type": {"client_credentials"}, "scope": {server.URL + "/.default"},
		"client_id": {"emulator"}, "client_secret": {"emulator"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&granted); err != nil || granted.Token == "" {
		t.Fatalf("token: %v, status %d", err, response.StatusCode)
	}
	o.token = granted.Token
	return o
}

// received is what came back.
type received struct {
	status int
	header http.Header
	body   string
}

// do sends a request. Headers are name and value in turn.
func (o *org) do(method, path, body string, headers ...string) received {
	o.Helper()
	address := path
	if !strings.HasPrefix(path, "http") {
		address = o.url + path
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.token)
	r.Header.Set("If-None-Match", "null")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		o.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		o.Fatal(err)
	}
	return received{response.StatusCode, response.Header, string(content)}
}

// rowID is the n-th of the ids that tests use, in order.
func rowID(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

// mustDo is do for a request that must be answered with a status.
func (o *org) mustDo(status int, method, path, body string, headers ...string) received {
	o.Helper()
	r := o.do(method, path, body, headers...)
	if r.status != status {
		o.Fatalf("%s %s: status %d, want %d: %s", method, path, r.status, status, r.body)
	}
	return r
}

// patch writes a row.
func (o *org) patch(path, body string, headers ...string) received {
	o.Helper()
	return o.mustDo(http.StatusNoContent, http.MethodPatch, path, body, headers...)
}

// upsertMultiple writes rows.
func (o *org) upsertMultiple(body string) received {
	o.Helper()
	return o.mustDo(http.StatusNoContent, http.MethodPost, bulkOf("UpsertMultiple"), body)
}

// refuse sends a request that must be refused with a status and a code.
func (o *org) refuse(status int, code, method, path, body string, headers ...string) string {
	o.Helper()
	r := o.do(method, path, body, headers...)
	var refusal struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(r.body), &refusal); err != nil {
		o.Fatalf("%s %s: status %d, %v: %s", method, path, r.status, err, r.body)
	}
	if r.status != status || refusal.Error.Code != code || refusal.Error.Message == "" {
		o.Errorf("%s %s: %d %q %q, want %d %q", method, path, r.status, refusal.Error.Code, refusal.Error.Message, status, code)
	}
	if r.header.Get("REQ_ID") == "" {
		o.Errorf("%s %s: no REQ_ID", method, path)
	}
	return refusal.Error.Message
}

// unknown sends a request whose answer must say that the emulator does not know something, and name it.
func (o *org) unknown(name, method, path, body string) {
	o.Helper()
	if message := o.refuse(http.StatusNotImplemented, "", method, path, body); !strings.Contains(message, name) {
		o.Errorf("%s %s: %q does not name %q", method, path, message, name)
	}
}

// get reads a row or an object.
func (o *org) get(path string, headers ...string) map[string]any {
	o.Helper()
	return decode(o.T, o.mustDo(http.StatusOK, http.MethodGet, path, "", headers...).body)
}

// page reads rows, and the next link.
func (o *org) page(path string, headers ...string) (rows []map[string]any, next string) {
	o.Helper()
	answer := o.get(path, headers...)
	for _, r := range answer["value"].([]any) {
		rows = append(rows, r.(map[string]any))
	}
	next, _ = answer["@odata.nextLink"].(string)
	return rows, next
}

func decode(t *testing.T, body string) (o map[string]any) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&o); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return o
}

// valuesOf are the values of a column, as text.
func valuesOf(rows []map[string]any, column string) string {
	var values []string
	for _, r := range rows {
		values = append(values, fmt.Sprint(r[column]))
	}
	return strings.Join(values, " ")
}

// rowAt is the address of the n-th row.
func rowAt(n int) string { return campaigns + "(" + rowID(n) + ")" }

func TestARequestIsServedOnlyWithAToken(t *testing.T) {
	o := start(t, Config{})
	o.mustDo(http.StatusOK, http.MethodGet, "WhoAmI", "")
	o.token = "another"
	o.refuse(http.StatusUnauthorized, "", http.MethodGet, "WhoAmI", "")
	if stats := o.Stats(); stats.Requests != 2 || stats.Tokens != 1 {
		t.Errorf("stats %+v", stats)
	}
}

func TestWhoAmINamesTheUserTheSameEachTime(t *testing.T) {
	o := start(t, Config{})
	first := o.get("WhoAmI")
	for _, name := range []string{"BusinessUnitId", "UserId", "OrganizationId"} {
		if id, _ := first[name].(string); len(id) != 36 {
			t.Errorf("%s is %v", name, first[name])
		}
	}
	for _, path := range []string{"WhoAmI()", strings.Replace(o.url, "v9.2", "v9.0", 1) + "WhoAmI"} {
		if again := o.get(path); again["UserId"] != first["UserId"] {
			t.Errorf("%s: %v, want %v", path, again, first)
		}
	}
	o.mustDo(http.StatusMethodNotAllowed, http.MethodPost, "WhoAmI", "")
}

func TestWhatIsNotKnownSaysSo(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{"apex_name":"a"}`)
	for _, c := range []struct{ name, method, path, body string }{
		{"$metadata", "GET", "$metadata", ""},
		{"/api/data/v9.2/", "GET", "", ""},
		{"v8.2", "GET", strings.Replace(o.url, "v9.2", "v8.2", 1) + "WhoAmI", ""},
		{"RetrieveVersion", "GET", "RetrieveVersion()", ""},
		{"PublishXml", "POST", "PublishXml", "{}"},
		{"$ref", "PUT", rowAt(1) + "/owner/$ref", "{}"},
		{"accounts", "GET", "accounts", ""},
		{"sdkmessagefilters", "GET", "sdkmessagefilters?$select=sdkmessagefilterid", ""},
		{"Foo", "POST", rowAt(1) + "/Microsoft.Dynamics.CRM.Foo", "{}"},
		{"tables/$batch", "POST", "tables/$batch", ""},
		{"FooAttributeMetadata", "GET", definitionPath + "/Attributes/Microsoft.Dynamics.CRM.FooAttributeMetadata", ""},
		{"RelationshipDefinitions", "GET", "RelationshipDefinitions", ""},
		{"$expand", "GET", campaigns + "?$expand=ownerid", ""},
		{"$expand", "GET", rowAt(1) + "?$expand=ownerid", ""},
		{"$apply", "GET", campaigns + "?$apply=aggregate($count+as+n)", ""},
		{"fetchXml", "GET", campaigns + "?fetchXml=%3Cfetch/%3E", ""},
		{"year", "GET", campaigns + "?$filter=year(apex_createdat)+eq+2026", ""},
		{"LastXDays", "GET", campaigns + "?$filter=Microsoft.Dynamics.CRM.LastXDays(PropertyName='apex_createdat',PropertyValue=2)", ""},
		{"ownerid/name", "GET", campaigns + "?$filter=ownerid/name+eq+'a'", ""},
		{"apex_runid", "GET", campaigns + "?$filter=apex_name+eq+apex_runid", ""},
		{"@p", "GET", campaigns + "?$filter=@p+eq+1", ""},
		{"@p", "GET", campaigns + "?$filter=apex_name+eq+@p", ""},
		{"now", "GET", campaigns + "?$filter=createdon+lt+now()", ""},
		{"add", "GET", campaigns + "?$filter=apex_agentstotal+add+1+eq+2", ""},
		{"in", "GET", campaigns + "?$filter=apex_name+in+('a','b')", ""},
		{"eq", "GET", campaigns + "?$filter=contains(apex_name,'a')+eq+true", ""},
		{"eq", "GET", campaigns + "?$filter=(apex_name+eq+'a')+eq+true", ""},
		{"not", "GET", campaigns + "?$filter=not+apex_name+eq+'a'", ""},
		{"apex_runid", "GET", campaigns + "?$filter=contains(apex_name,apex_runid)", ""},
		{"tolower", "GET", campaigns + "?$filter=contains(tolower(apex_name),'a')", ""},
		{"apex_name", "GET", campaigns + "?$filter=Microsoft.Dynamics.CRM.In(PropertyName=apex_name,PropertyValues=['a'])", ""},
		{`"a"`, "GET", campaigns + `?$filter=Microsoft.Dynamics.CRM.In(PropertyName='apex_name',PropertyValues=["a"])`, ""},
		{"*", "GET", campaigns + "?$select=*", ""},
		{"Merge", "POST", campaigns + "/Microsoft.Dynamics.CRM.Merge", "{}"},
		{"lookup", "POST", campaigns, `{"ownerid@odata.bind":"/systemusers(1)"}`},
	} {
		o.unknown(c.name, c.method, c.path, c.body)
	}
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	o := start(t, Config{})
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", "new_accounts", "")
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", "apex_campaignmetric", "") // the logical name is no entity set
	o.refuse(http.StatusNotFound, "0x8006088a", "GET", rowAt(1)+"/apex_nothing", "")
	o.refuse(http.StatusMethodNotAllowed, "0x0", "PATCH", campaigns, "{}")
	o.mustDo(http.StatusRequestURITooLong, "GET", campaigns+"?$filter=apex_name+eq+'"+strings.Repeat("a", maxURL)+"'", "")
	o.refuse(http.StatusMethodNotAllowed, "0x0", "POST", rowAt(1), "{}")
	empty := start(t, Config{Empty: true})
	empty.refuse(http.StatusNotFound, "0x8006088a", "GET", campaigns, "")
	if rows := empty.Rows(campaigns); rows != nil {
		t.Errorf("rows %v", rows)
	}
}

func TestTargetsCountRowsThatWereAskedToBeWritten(t *testing.T) {
	o := start(t, Config{})
	o.mustDo(http.StatusNoContent, "POST", campaigns, `{"apex_name":"a"}`)
	o.patch(rowAt(1), `{}`)
	o.mustDo(http.StatusBadRequest, "PATCH", rowAt(1), `{"apex_nothing":1}`)
	o.mustDo(http.StatusNoContent, "DELETE", rowAt(1), "")
	o.mustDo(http.StatusBadRequest, "POST", bulkOf("UpsertMultiple"), `{"Targets":[`+target1(`"apex_name":"x"`)+`,{}]}`)
	o.mustDo(http.StatusOK, "GET", campaigns, "")
	if n := o.Stats().Targets; n != 6 {
		t.Errorf("%d targets, want 6", n)
	}
}

func TestRequestsTakeAtLeastTheLatency(t *testing.T) {
	o := start(t, Config{Latency: time.Millisecond})
	o.mustDo(http.StatusOK, http.MethodGet, "WhoAmI", "")
}

func TestAFaultThatMakesNoSenseIsTheProgrammersMistake(t *testing.T) {
	o := start(t, Config{})
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	o.Inject(Fault{Kind: "rain"})
}

func TestRowsAreDeletedByTheControlEndpoint(t *testing.T) {
	o := start(t, Config{})
	o.patch(rowAt(1), `{}`)
	o.mustDo(http.StatusNoContent, http.MethodDelete, strings.Replace(o.url, "/api/data/v9.2/", "/emulator/rows", 1), "")
	if rows := o.Rows(campaigns); len(rows) != 0 || rows == nil {
		t.Errorf("rows %v", rows)
	}
}
