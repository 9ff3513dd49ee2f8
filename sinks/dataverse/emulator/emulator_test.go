package emulator

import (
	"bytes"
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
		"grant_type": {"client_credentials"}, "client_id": {"emulator"}, "client_secret": {"emulator"}, "scope": {server.URL + "/.default"},
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

// reply is what came back.
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

func TestSmoke(t *testing.T) {
	o := start(t, Config{})
	t.Log(o.do("GET", "WhoAmI", ""))
	t.Log(o.do("POST", campaigns, `{"apex_name":"a","apex_costusd":1.5,"apex_createdat":"2026-01-01T00:00:00Z"}`))
	t.Log(o.do("GET", campaigns+"?$select=apex_name,apex_costusd&$filter=apex_name%20eq%20'A'&$count=true", ""))
	for n := range 10 {
		o.do("PATCH", campaigns+"("+rowID(n)+")", fmt.Sprintf(`{"apex_name":"n %d","apex_agentstotal":%d}`, n, n%3))
	}
	r := o.do("GET", campaigns+"?$select=apex_name,apex_agentstotal&$orderby=apex_agentstotal+desc", "", "Prefer", "odata.maxpagesize=4")
	for {
		t.Log(r)
		var page map[string]any
		_ = json.NewDecoder(bytes.NewReader([]byte(r.body))).Decode(&page)
		next, _ := page["@odata.nextLink"].(string)
		if next == "" {
			break
		}
		r = o.do("GET", next, "", "Prefer", "odata.maxpagesize=4")
	}
	t.Log(o.do("POST", campaigns+"/Microsoft.Dynamics.CRM.UpsertMultiple", `{"Targets":[{"@odata.type":"Microsoft.Dynamics.CRM.apex_campaignmetric","apex_campaignmetricid":"`+rowID(99)+`","apex_name":"up"}]}`))
	t.Log(o.do("GET", campaigns+"("+rowID(99)+")", ""))
}
