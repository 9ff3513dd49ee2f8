package dataverse

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/apexsalesai/runmetrics/sinks"
)

func refusal(status int, code string) *Error {
	body := ""
	if code != "" {
		body = `{"error":{"code":"` + code + `","message":"m"}}`
	}
	return refused(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), time.Time{})
}

func TestStatusAndCodeSayWhatAnErrorMeans(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status    int
		code      string
		meaning   error
		hint      string
		ambiguous bool
	}{
		{400, "0x80044331", sinks.ErrRefused, "", false},
		{400, "0x80048D19", sinks.ErrRefused, "runmetrics doctor", false},
		{400, "", sinks.ErrRefused, "", false},
		{412, "0x80040237", sinks.ErrRefused, "", false},
		{412, "0x80060892", sinks.ErrRefused, "reconcile --adopt", false},
		{413, "", ErrTooLarge, "", false},
		{404, "0x80040217", ErrNoRow, "", false},
		{404, "0x80060891", ErrNoRow, "", false},
		{404, "0x8006088a", sinks.ErrBlocked, "DATAVERSE_TABLE", false},
		{404, "", sinks.ErrBlocked, "DATAVERSE_URL", false},
		{401, "", sinks.ErrBlocked, "DATAVERSE_TENANT_ID", false},
		{403, "0x80072560", sinks.ErrBlocked, "application user is missing", false},
		{403, "0x80040220", sinks.ErrBlocked, "security role", false},
		{403, "", sinks.ErrBlocked, "disabled", false},
		{405, "", sinks.ErrBlocked, "", false},
		{302, "", sinks.ErrBlocked, "DATAVERSE_URL", false},
		{501, "", sinks.ErrBlocked, "", false},
		{408, "", sinks.ErrUnavailable, "", false},
		{429, "0x80072322", sinks.ErrUnavailable, "", false},
		{500, "0x80040216", sinks.ErrUnavailable, "", false},
		{502, "", sinks.ErrUnavailable, "", true},
		{503, "", sinks.ErrUnavailable, "", false},
		{504, "", sinks.ErrUnavailable, "", true},
	} {
		err := refusal(test.status, test.code)
		if !errors.Is(err, test.meaning) {
			t.Errorf("%d %s: %v, want %v", test.status, test.code, err, test.meaning)
		}
		classes := 0
		for _, class := range []error{sinks.ErrRefused, sinks.ErrBlocked, sinks.ErrUnavailable} {
			if errors.Is(err, class) {
				classes++
			}
		}
		if classes != 1 {
			t.Errorf("%d %s means %d things at once", test.status, test.code, classes)
		}
		if !strings.Contains(err.Hint, test.hint) || test.hint == "" && err.Hint != "" {
			t.Errorf("%d %s: hint %q, want %q", test.status, test.code, err.Hint, test.hint)
		}
		if Ambiguous(err) != test.ambiguous {
			t.Errorf("%d: ambiguous %t", test.status, Ambiguous(err))
		}
		if timedOut := test.status == 408 || test.status == 504; TimedOut(err) != timedOut {
			t.Errorf("%d: timed out %t", test.status, TimedOut(err))
		}
	}
}

func TestThrottlingIsA429OrA503WithATime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		status int
		header string
		wait   time.Duration
		ok     bool
	}{
		{429, "", 0, true},
		{429, "17", 17 * time.Second, true},
		{429, "Fri, 02 Jan 2026 03:04:35 GMT", 30 * time.Second, true},
		{429, "Fri, 02 Jan 2026 03:04:00 GMT", 0, true},
		{429, "soon", 0, true},
		{429, "-5", 0, true},
		{429, "1e3", 0, true},
		{429, "99999999999999999999", time.Hour, true},
		{429, "18446744073709551615", time.Hour, true},
		{429, "Fri, 02 Jan 2099 03:04:35 GMT", time.Hour, true},
		{503, "60", time.Minute, true},
		{503, "", 0, false},
		{500, "60", 0, false},
	} {
		err := refused(&http.Response{StatusCode: test.status, Header: http.Header{"Retry-After": {test.header}}}, nil, now)
		if wait, ok := Throttled(err); wait != test.wait || ok != test.ok {
			t.Errorf("%d with %q: %s %t, want %s %t", test.status, test.header, wait, ok, test.wait, test.ok)
		}
	}
	if _, ok := Throttled(errors.New("another")); ok {
		t.Error("any error is throttling")
	}
}

func TestErrorBodiesHaveThreeShapes(t *testing.T) {
	t.Parallel()
	const put = "The requested resource does not support http method 'PUT'."
	for body, want := range map[string][2]string{
		`{"error":{"code":"0x8004431A","message":"out of range","innererror":{"message":"x"}}}`: {"0x8004431a", "out of range"},

		`{"error":{"code":"","message":"no code"}}`:                   {"", "no code"},
		`{"Message":"` + put + `"}`:                                   {"", put},
		`<html><body><h1>502 Bad Gateway</h1></body></html>`:          {"", ""},
		`{"error":"text"}`:                                            {"", ""},
		`{"error":{"code":7}}`:                                        {"", ""},
		`{"error":{"code":"0x1","message":"two\r\nlines\u001b[31m"}}`: {"0x1", "two  lines [31m"},
		``:         {"", ""},
		`[]`:       {"", ""},
		"\xff\xfe": {"", ""},
	} {
		if code, message := parseFault([]byte(body)); code != want[0] || message != want[1] {
			t.Errorf("%s: %q %q, want %q", body, code, message, want)
		}
	}
}

func TestAnErrorReadsAsOneSentence(t *testing.T) {
	t.Parallel()
	e := refused(&http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"5"}, "Req_id": {"r-1"}}},
		[]byte(`{"error":{"code":"0x80072326","message":"Number of concurrent requests exceeded the limit of 52."}}`), time.Time{})
	e.Op = "upsert 3 rows of things"
	const want = "upsert 3 rows of things: 429 Too Many Requests 0x80072326: " +
		"Number of concurrent requests exceeded the limit of 52; retry after 5s (request r-1)"
	if got := e.Error(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	silent := unanswered(errors.New("EOF"), true)
	silent.Op = "delete a row of things"
	if got := silent.Error(); got != "delete a row of things: no answer: EOF" {
		t.Error(got)
	}
	bare := refusal(502, "")
	bare.Op = "ask"
	if got := bare.Error(); got != "ask: 502 Bad Gateway" {
		t.Error(got)
	}
}

func FuzzParseFault(f *testing.F) {
	f.Add([]byte(`{"error":{"code":"0x80040237","message":"A record with matching key values already exists."}}`))
	f.Add([]byte(`{"Message":"m"}`))
	f.Add([]byte("<html>"))
	f.Add([]byte(`{"error":{"message":"` + strings.Repeat("ü", 900) + `"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, message := parseFault(body)
		for _, text := range []string{code, message} {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > longestMessage+len("…") {
				t.Errorf("%q", text)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"5", "-1", "Fri, 02 Jan 2026 03:04:35 GMT", "", "9999999999999999999999",
		"Friday, 02-Jan-26 03:04:35 GMT"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if wait := retryAfter(text, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)); wait < 0 || wait > longestWait {
			t.Errorf("%q: %s", text, wait)
		}
	})
}
