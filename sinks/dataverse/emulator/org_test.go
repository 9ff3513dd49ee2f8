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
