package query_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What requests are made of: what is right, what is nearly right, and what nobody would send.
var (
	hostileMethods = []string{"HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get", "P\xffST", strings.Repeat("M", 300)}
	hostilePaths   = []string{"/api/metrics/campaign", "/api/metrics/campaign", "/api/metrics/campaign/c/runs/r1",
		"/api/metrics/campaign/c/summary", "/api/metrics/campaign/summary", "/api/metrics/campaign/stream", "/api/events", "/api/events",
		"/api/deadletters", "/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/panel/index.html", "/panel/", "/api", "/nothing", "*", ""}
	hostileSegments = []string{"%2e%2e", "..", ".", "%00", "%", "%zz", "%ff", "%2f", "//", ";a=b", "%F0%9F%9A%80", "%0d%0aX:y", "~",
		"%252e", "\\", "%5c", "c", "runs", "summary", strings.Repeat("x", 65), strings.Repeat("%41", 3000)}
	hostileNames = []string{"limit", "cursor", "campaignId", "runId", "phase", "status", "since", "until", "format", "lastEventId", "x", ""}
	hostileTexts = []string{"", "0", "1", "500", "-1", "1e9", "99999999999999999999", "NaN", "running", "stalled", "csv", "ndjson", "json", "xml",
		"2026-01-01T00:00:00Z", "2026-01-01T00:00:00+99:99", "9999-12-31T23:59:59.999999999Z", "0000-01-01T00:00:00Z", "AQ", "AgAAAAAAAAAAAAAA",
		"%00", "%ff%fe", "%F0%9F%9A%80", "'%20OR%201=1--", "c", "r1", "%E2%80%AE", "%zz", "+", strings.Repeat("A", 44), strings.Repeat("9", 5000)}
	hostileHeaders = []string{"If-None-Match: *", "If-None-Match: W/\"x\", \"", "Last-Event-ID: 2026-01-01T00:00:00Z", "Last-Event-ID: \x01junk",
		"Last-Event-ID: 99999-99-99", "Origin: https://studio.example.com", "Origin: null", "Origin: ://", "Access-Control-Request-Method: GET",
		"Accept: text/csv", "Accept: application/x-ndjson;q=2,*/*;q=x", "Accept: " + strings.Repeat("a/b,", 2000), "Range: bytes=0-1,5-",
		"Expect: 100-continue", "Expect: nonsense", "Upgrade: websocket\r\nConnection: upgrade", "Connection: close", "Host: evil.example.com",
		"Content-Encoding: gzip",
		"Idempotency-Key: \xff", "Idempotency-Key:", "X-Forwarded-For: 1.2.3.4", "Cookie: a=" + strings.Repeat("b", 9000),
		"X-Long: " + strings.Repeat("y", 40_000), "no colon", "Sec-Fetch-Site: cross-site", "If-Modified-Since: yesterday", "TE: trailers",
		"ce-id: 1\r\nce-specversion: 1.0"}
	// hostileFraming is about where a request ends.
	hostileFraming = []string{"Transfer-Encoding: chunked", "Transfer-Encoding: identity, chunked", "Content-Length: 5", "Content-Length: -1",
		"Content-Length: 1\r\nContent-Length: 2", "Transfer-Encoding: chunked\r\nContent-Length: 3"}
	hostileTypes  = []string{"text/plain", "", "application/json; charset=", "multipart/form-data; boundary=x", strings.Repeat("a", 2000)}
	hostileValues = []string{"null", "-0", "1e400", "1e-400", "0.1e+9", "99999999999999999999999999", "\"\\u0000\"", "\"\\ud800\"", "\"\xff\"", "[]", "{}",
		"true", "\"2026-02-14T11:00:00Z\"", "\"c\"", "\"9999-12-31T00:00:00Z\"", "NaN", "\"" + strings.Repeat("z", 3000) + "\"", "{\"a\":{\"a\":1,\"a\":2}}",
		strings.Repeat("[", 11_000), strings.Repeat("{\"a\":", 5000)}
	hostileFields = []string{"id", "type", "campaignId", "runId", "phase", "occurredAt", "agentId", "attempt", "status", "latencyMs", "costUSD", "metrics",
		"voids", "version", "specversion", "data", "agentsTotal", "tokensIn", "createdAt"}
)

func one(r *rand.Rand, of []string) string { return of[r.IntN(len(of))] }

// oddly is true in one of n cases.
func oddly(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

// request writes a request. Its method is returned too, because that decides on whether the answer has a body, and whether
// it is whole: a server waits for the rest of one that is not.
func (h *hostile) request() (method, text string, whole bool) {
	r := h.r
	path := one(r, hostilePaths)
	method = "GET"
	if path == "/api/events" || path == "/api/metrics/campaign" && oddly(r, 2) {
		method = "POST"
	}
	if oddly(r, 8) {
		method = one(r, hostileMethods)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.%d\r\n", method, h.target(path), min(r.IntN(20), 1))
	if !oddly(r, 50) {
		b.WriteString("Host: localhost\r\n")
	}
	switch r.IntN(8) {
	case 0:
	case 1:
		fmt.Fprintf(&b, "Authorization: %s %s\r\n", one(r, []string{"Basic", "Bearer", "bearer ", ""}), one(r, hostileTexts))
	case 2:
		fmt.Fprintf(&b, "X-API-Key: %s%s\r\n", one(r, h.tokens), one(r, []string{"x", " ", ".", "\x7f"}))
	default:
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", one(r, h.tokens))
	}
	for oddly(r, 4) {
		b.WriteString(one(r, hostileHeaders) + "\r\n")
	}
	whole = !oddly(r, 12)
	if !whole {
		b.WriteString(one(r, hostileFraming) + "\r\n")
	}
	if method == "POST" || oddly(r, 20) {
		body, kind := h.body()
		if oddly(r, 10) {
			kind = one(r, hostileTypes)
		}
		fmt.Fprintf(&b, "Content-Type: %s\r\n", kind)
		if oddly(r, 10) {
			fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%s", len(body), body, one(r, []string{"0\r\n\r\n", "zz\r\n", "0\r\nX: y\r\n\r\n"}))
			return method, b.String(), false
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
		return method, b.String(), whole
	}
	return method, b.String() + "\r\n", whole
}

// target adds to a path what does not belong there.
func (h *hostile) target(path string) string {
	r := h.r
	for oddly(r, 8) {
		if path = path + "/" + one(r, hostileSegments); oddly(r, 3) {
			path = "/" + one(r, hostileSegments) + path
		}
	}
	if oddly(r, 100) {
		path = "http://evil.example.com" + path
	}
	for sign := "?"; oddly(r, 3); sign = "&" {
		path += sign + one(r, hostileNames) + "=" + one(r, hostileTexts)
	}
	return path
}

func (h *hostile) body() (text, kind string) {
	r := h.r
	switch {
	case oddly(r, 400):
		return strings.Repeat("{\"id\":1}\n", 600_000), "application/x-ndjson" // over all limits
	case oddly(r, 12):
		return one(r, hostileValues), "application/json"
	case oddly(r, 6):
		return example, "application/json"
	}
	var events []string
	for range 1 + r.IntN(4) {
		event := finishedEvent(fmt.Sprint("h", r.IntN(50)))
		for oddly(r, 3) {
			event = strings.TrimSuffix(event, "}") + "," + fmt.Sprintf("%q:%s}", one(r, hostileFields), one(r, hostileValues))
		}
		events = append(events, event)
	}
	text, kind = strings.Join(events, "\n"), "application/x-ndjson"
	if oddly(r, 2) {
		text, kind = "["+strings.Join(events, one(r, []string{",", ",", ",", "", ",,"}))+"]", "application/json"
	}
	if oddly(r, 6) {
		text = text[:r.IntN(len(text))]
	}
	return text, kind
}
