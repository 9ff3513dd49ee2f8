package query_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/query"
)

func TestOriginsAreWrittenAsBrowsersSendThem(t *testing.T) {
	t.Parallel()
	for origin, ok := range map[string]bool{
		"https://studio.example.com": true, "https://studio.example.com:8443": true, "http://localhost:3000": true,
		"http://127.0.0.1:5173": true, "http://[::1]:3000": true, "https://[2001:db8::1]": true,
		"http://studio.example.com": false, "https://*.example.com": false, "*": false, "null": false, "": false,
		"https://studio.example.com/": false, "https://studio.example.com/app": false, "https://studio.example.com?x": false,
		"https://Studio.example.com": false, "HTTPS://studio.example.com": false, "studio.example.com": false,
		"https://user@studio.example.com": false, "//studio.example.com": false, "ftp://localhost": false, "https://": false,
		"https://a b": false, "https://studio.example.com#x": false,
	} {
		if err := query.CheckOrigin(origin); (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestOriginsNeedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	c := query.Config{Reader: w.store, Letters: w.store.Letters, Publish: w.publish, Committed: w.committed,
		State: func() query.State { return w.state }, Origins: []string{"https://studio.example.com"}}
	if _, err := query.New(c); err == nil || !strings.Contains(err.Error(), "Keys") {
		t.Errorf("opened without keys: %v", err)
	}
}

const studio = "https://studio.example.com"

func TestPreflightIsAnsweredForListedOriginsAndWhatTheAPIUses(t *testing.T) {
	t.Parallel()
	w, _, _ := withKeys(t, func(c *query.Config) { c.Origins = []string{studio, "http://localhost:3000"} })
	for _, c := range []struct {
		origin, method, headers string
		ok                      bool
	}{
		{studio, "GET", "authorization", true},
		{"http://localhost:3000", "POST", "authorization,content-type,idempotency-key", true},
		{studio, "GET", "if-none-match,last-event-id,x-api-key", true},
		{studio, "POST", "authorization,content-type,traceparent,tracestate", true},
		{studio, "GET", "", true},
		{studio, "DELETE", "authorization", false},
		{studio, "GET", "authorization,x-forwarded-for", false},
		{"https://evil.example.com", "GET", "authorization", false},
		{"https://studio.example.com.evil.example.com", "GET", "authorization", false},
		{"http://studio.example.com", "GET", "authorization", false},
		{"null", "GET", "authorization", false},
	} {
		for _, target := range []string{campaign, "/nothing"} { // no difference
			headers := []string{"Origin", c.origin, "Access-Control-Request-Method", c.method}
			if c.headers != "" {
				headers = append(headers, "Access-Control-Request-Headers", c.headers)
			}
			got := w.send(http.MethodOptions, target, "", headers...)
			h := got.Header()
			if got.Code != http.StatusNoContent || (h.Get("Access-Control-Allow-Origin") == c.origin) != c.ok {
				t.Errorf("%+v: status %d, %v", c, got.Code, h)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" || strings.Contains(jsonOf(h), "*") {
				t.Errorf("%+v: allows too much: %v", c, h)
			}
			for _, name := range []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"} {
				if !varies(h, name) {
					t.Errorf("%+v: Vary %q lacks %s", c, h.Values("Vary"), name)
				}
			}
		}
	}
	if log := w.log.String(); log != "" {
		t.Errorf("logged: %s", log)
	}
}

func varies(h http.Header, by string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(h.Values("Vary"), ","), ","), func(name string) bool {
		return strings.EqualFold(strings.TrimSpace(name), by)
	})
}

func TestAnswersOfListedOriginsCanBeRead(t *testing.T) {
	t.Parallel()
	w, read, write := withKeys(t, func(c *query.Config) { c.Origins = []string{studio} })
	for _, c := range []struct {
		method, token, origin string
		status                int
		readable              bool
	}{
		{"GET", read, studio, 200, true},
		{"POST", write, studio, 201, true},
		{"GET", "", studio, 401, true}, // so that a page can tell a missing key from a missing network
		{"GET", write, studio, 403, true},
		{"GET", read, "https://evil.example.com", 200, false}, // who knows the key needs no browser
		{"GET", read, "", 200, false},
	} {
		headers := []string{"X-API-Key", c.token}
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		got := w.send(c.method, campaign, example, headers...)
		h := got.Header()
		if got.Code != c.status || (h.Get("Access-Control-Allow-Origin") == c.origin && c.origin != "") != c.readable || !varies(h, "Origin") {
			t.Errorf("%+v: status %d, %v", c, got.Code, h)
		}
		exposed := h.Get("Access-Control-Expose-Headers")
		if c.readable && !(strings.Contains(exposed, "Etag") && strings.Contains(exposed, "Location") && strings.Contains(exposed, "Retry-After")) {
			t.Errorf("%+v: exposes %q", c, exposed)
		}
	}
}

func TestWithoutOriginsNoPageIsLetIn(t *testing.T) {
	t.Parallel()
	w, read, _ := withKeys(t)
	preflight := w.send(http.MethodOptions, campaign, "", "Origin", studio, "Access-Control-Request-Method", "GET")
	if preflight.Code != http.StatusUnauthorized || preflight.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("status %d, %v", preflight.Code, preflight.Header())
	}
	if got := w.send(http.MethodGet, campaign, "", "Origin", studio, "X-API-Key", read); got.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", got.Header())
	}
}
