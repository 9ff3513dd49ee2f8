package query_test

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

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
		line, token, err := query.NewKey(id, scopes, rand.Reader)
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

func TestRefusedKeysAreLoggedByTheirIDAlone(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t)
	id, secret, _ := strings.Cut(read, ".")
	w.send(http.MethodGet, campaign, "", "X-API-Key", id+".wrong-secret")
	w.send(http.MethodGet, campaign, "", "X-API-Key", secret) // pasted without its id
	w.send(http.MethodGet, campaign, "", "X-API-Key", write)
	w.send(http.MethodGet, campaign, "")
	log := w.log.String()
	if n := strings.Count(log, "api key refused"); n != 3 {
		t.Errorf("logged %d times: %s", n, log)
	}
	if !strings.Contains(log, "key_id=reader") || !strings.Contains(log, "key_id=writer") ||
		strings.Contains(log, secret) || strings.Contains(log, "wrong-secret") || strings.Contains(log, write) {
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
	want := `{"state":"degraded","reasons":["store unavailable"],"streams":[{"stream":"RUN_EVENTS","state":"active","epoch":0,"position":7,"lastSequence":0,"pending":0,"applied":0,"duplicates":0,"deadLetters":0,"gone":0,"outageHours":null,"reasons":[]}]}`
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
			!strings.Contains(got.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", target, got)
		}
	}
}
