package query_test

import (
	"crypto/rand"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/query"
)

func TestOpenWindowHearsLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for host, ok := range map[string]bool{
		"localhost": true, "LOCALHOST:9": true, "127.0.0.1:8080": true, "127.1.2.3": true, "[::1]:8080": true, "[::1]": true,
		"rebound.example.com": false, "localhost.example.com": false, "192.168.1.5:8080": false, "": false, "0.0.0.0:8080": false,
	} {
		got := w.send(http.MethodGet, "/readyz", "", "Host", host)
		if (got.Code == http.StatusOK) != ok {
			t.Errorf("Host %q: status %d", host, got.Code)
		}
		if !ok {
			w.wantProblem(http.StatusMisdirectedRequest, got)
		}
	}
}

func TestOpenWindowRefusesOtherOrigins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, c := range []struct {
		method, header, value string
		ok                    bool
	}{
		{"GET", "Origin", "http://localhost:8080", true},
		{"GET", "Origin", "http://localhost:3000", false},
		{"GET", "Origin", "https://evil.example.com", false},
		{"GET", "Origin", "null", false},
		{"POST", "Origin", "http://localhost:8080", true},
		{"POST", "Origin", "http://localhost:3000", false},
		{"POST", "Sec-Fetch-Site", "cross-site", false},
		{"POST", "Sec-Fetch-Site", "same-site", false},
		{"POST", "Sec-Fetch-Site", "same-origin", true},
	} {
		body := ""
		if c.method == http.MethodPost {
			body = example
		}
		got := w.send(c.method, campaign, body, c.header, c.value)
		if (got.Code < 300) != c.ok {
			t.Errorf("%+v: status %d", c, got.Code)
		}
		if !c.ok {
			w.wantProblem(http.StatusForbidden, got)
		}
	}
}

// withKeys makes a window with one key of each kind; changes see the configuration before it is used.
func withKeys(t *testing.T, changes ...func(*query.Config)) (w *world, read, write string) {
	t.Helper()
	var file strings.Builder
	token := func(id string, scopes ...string) string {
		line, token, err := query.NewKey(id, scopes, time.Time{}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(line + "\n")
		return token
	}
	read, write = token("reader", query.ScopeRead), token("writer", query.ScopeWrite)
	keys, err := query.ParseKeys(strings.NewReader(file.String()))
	if err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, func(c *query.Config) {
		c.Keys, c.Loopback = keys, false
		for _, change := range changes {
			change(c)
		}
	})
	return w, read, write
}

func TestKeysOpenWhatTheirScopeAllows(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t)
	for _, c := range []struct {
		method, target, token string
		status                int
	}{
		{"GET", campaign, "", 401},
		{"GET", campaign, read, 200},
		{"GET", campaign, write, 403},
		{"GET", campaign, read + "x", 401},
		{"GET", campaign + "/c/runs/r", "", 401},
		{"GET", campaign + "/c/runs/r", read, 404},
		{"POST", campaign, "", 401},
		{"POST", campaign, read, 403},
		{"POST", campaign, write, 201},
		{"GET", "/healthz", "", 200},
		{"GET", "/openapi.json", "", 200},
		{"GET", "/asyncapi.json", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/metrics", "", 401},
		{"GET", "/metrics", write, 403},
		{"GET", "/metrics", read, 200},
	} {
		for _, header := range []string{"Authorization", "X-API-Key"} {
			value := c.token
			if header == "Authorization" {
				value = "Bearer " + c.token
			}
			// With keys any host and origin may ask: a browser has no key to send by itself.
			got := w.send(c.method, c.target, example, header, value, "Host", "metrics.example.com")
			if got.Code != c.status {
				t.Errorf("%+v by %s: status %d", c, header, got.Code)
			}
			if c.status == 401 || c.status == 403 {
				w.wantProblem(c.status, got)
			}
			if (got.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
				t.Errorf("%+v: WWW-Authenticate %q", c, got.Header().Get("WWW-Authenticate"))
			}
		}
	}
}

func TestRefusedAttemptsAreLoggedByTheIDOfTheKeyAlone(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t)
	id, secret, _ := strings.Cut(read, ".")
	w.send(http.MethodGet, campaign, "", "X-API-Key", id+".wrong-secret")
	w.send(http.MethodGet, campaign+"/"+secret+"?key="+secret, "", "X-API-Key", secret) // pasted without its id
	w.send(http.MethodGet, campaign, "", "Authorization", "Bearer "+write)
	w.send(http.MethodGet, campaign, "", "Authorization", "Basic "+secret)
	w.send(http.MethodGet, "/readyz", "", "X-API-Key", secret+"."+id)
	log := w.log.String()
	for _, line := range []string{`key_id=reader reason="wrong secret"`, `key_id="" reason="unknown key"`,
		`key_id=writer reason="lacks the scope read"`, `key_id="" reason="no key"`} {
		if !strings.Contains(log, line+" remote_addr=192.0.2.1:1234") {
			t.Errorf("no line has %s", line)
		}
	}
	if n := strings.Count(log, "api request refused"); n != 5 {
		t.Errorf("logged %d times", n)
	}
	_, writeSecret, _ := strings.Cut(write, ".")
	for _, hidden := range []string{secret, secret[:8], writeSecret, "wrong-secret"} {
		if strings.Contains(log, hidden) {
			t.Errorf("the log shows %s", hidden)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

// TestStrangersSeeTheSameWhereverTheyKnock: status, headers and body tell nothing of which routes there are.
func TestStrangersSeeTheSameWhereverTheyKnock(t *testing.T) {
	t.Parallel()
	w, read, _ := withKeys(t)
	seen := map[string]string{}
	for _, key := range []string{"", "reader.wrong", "nobody.x"} {
		for _, target := range []string{campaign, campaign + "/c/runs/r", "/api/events", "/api/nothing", "/nothing", "/metrics",
			"/api/metrics/campaign/stream", "//", "/panel/../api/metrics/campaign", "/panel/%2e%2e/api/metrics/campaign",
			"/panel/..%2Fmetrics", "/api/../readyz", campaign + "/", "/healthz/", "/.git/config", campaign + "/%00/runs/x"} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"} {
				w.now = w.now.Add(time.Second)
				got := w.send(method, target, "{}", "X-API-Key", key)
				if got.Code != http.StatusUnauthorized {
					t.Errorf("%s %s: status %d", method, target, got.Code)
				}
				seen[jsonOf(got.Header())+got.Body.String()] = method + " " + target
			}
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d different answers: %v", len(seen), seen)
	}
	if got := w.send("GET", "/api/../readyz", "", "X-API-Key", read); got.Code == http.StatusUnauthorized {
		t.Errorf("a reader is told %d", got.Code)
	}
}

func TestEveryoneSeesThePanelAndWhetherTheProcessLives(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t)
	for target, status := range map[string]int{"/": 200, "/panel/index.html": 200, "/panel/nothing.js": 404, "/healthz": 200,
		"/readyz": 200, "/openapi.json": 200, "/asyncapi.json": 200} {
		if got := w.send(http.MethodGet, target, ""); got.Code != status {
			t.Errorf("%s: status %d, want %d", target, got.Code, status)
		}
	}
	if log := w.log.String(); log != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestUseIsCountedByKeyAndStatusAndLoggedAtFirst(t *testing.T) {
	t.Parallel()
	var keys *query.Keys
	w, read, write := withKeys(t, func(c *query.Config) { keys = c.Keys })
	for range 3 {
		w.send(http.MethodGet, campaign, "", "X-API-Key", read)
	}
	w.send(http.MethodGet, campaign, "", "X-API-Key", write)
	w.send(http.MethodGet, "/nothing", "", "X-API-Key", read)
	w.send(http.MethodGet, campaign, "", "X-API-Key", "reader.wrong")
	w.send(http.MethodGet, "/healthz", "")
	want := []query.Use{{"", 200, 1}, {"", 401, 1}, {"reader", 200, 3}, {"reader", 404, 1}, {"writer", 403, 1}}
	if got := keys.Uses(); !slices.Equal(got, want) {
		t.Errorf("counted %+v", got)
	}
	if log := w.log.String(); strings.Count(log, `first time by this process" key_id=reader`) != 1 {
		t.Errorf("log: %s", log)
	}
}

func TestReadinessTellsReasonsToReadersOnly(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t)
	w.state = query.State{State: query.StateDegraded, Reasons: []string{"store unavailable"},
		Streams: []query.StreamState{{Stream: stream, State: query.StateActive, Position: 7}}}
	for _, token := range []string{"", write, "reader.wrong"} {
		if got := strings.TrimSpace(w.send(http.MethodGet, "/readyz", "", "X-API-Key", token).Body.String()); got != `{"state":"degraded"}` {
			t.Errorf("%q sees %s", token, got)
		}
	}
	got := strings.TrimSpace(w.send(http.MethodGet, "/readyz", "", "Authorization", "Bearer "+read).Body.String())
	want := `{"state":"degraded","reasons":["store unavailable"],"streams":[{"stream":"RUN_EVENTS","state":"active","epoch":0,"position":7,"lastSequence":0,"pending":0,"delayMs":0,"applied":0,"duplicates":0,"deadLetters":0,"gone":0,"outageHours":null,"reasons":[]}]}`
	if got != want {
		t.Errorf("a reader sees %s", got)
	}
}

func TestReadinessIs503OnlyWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, state := range []string{query.StateStarting, query.StateStandby, query.StateDegraded, query.StateBlocked} {
		w.state = query.State{State: state}
		w.get("/readyz").has(t, map[string]any{"state": state, "reasons": []string{}, "streams": []string{}})
	}
	w.state = query.State{State: query.StateStopping}
	w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, "/readyz", ""))
	w.get("/healthz").has(t, map[string]any{"status": "ok"})
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, target := range []string{campaign, "/nothing", "/healthz", "/openapi.json"} {
		got := w.send(http.MethodGet, target, "").Header()
		if got.Get("X-Content-Type-Options") != "nosniff" || got.Get("Referrer-Policy") != "no-referrer" ||
			!strings.Contains(got.Get("Content-Security-Policy"), "default-src 'none'") ||
			got.Get("Cross-Origin-Resource-Policy") != "same-origin" || got.Get("Cache-Control") == "" {
			t.Errorf("%s: %v", target, got)
		}
	}
}

func TestBrowsersAreToldToComeByTLSOnceTheyDid(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t)
	for host, want := range map[string]bool{"metrics.example.com": true, "localhost:8080": false, "": false} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		if host != "" {
			r.Host, r.TLS = host, &tls.ConnectionState{}
		}
		got := httptest.NewRecorder()
		w.handler.ServeHTTP(got, r)
		if sent := got.Header().Get("Strict-Transport-Security") != ""; sent != want {
			t.Errorf("%q: sent %v", host, sent)
		}
	}
}
