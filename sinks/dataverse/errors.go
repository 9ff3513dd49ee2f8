package dataverse

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/apexsalesai/runmetrics/sinks"
)

var (
	// ErrTooLarge: the request has more bytes than the service takes. Fewer rows may pass.
	ErrTooLarge = errors.New("request too large")
	// ErrNoRow: there is no row with this id.
	ErrNoRow = errors.New("no such row")
	// ErrNoTable: there is no table of this name, or the application user may not see it.
	ErrNoTable = errors.New("no such table")
)

// blocked is a sinks.ErrBlocked in words of its own: "store blocked" would be taken for the database.
type blocked struct{ error }

// Unwrap makes errors.Is find both what it means and what it says.
func (b blocked) Unwrap() []error { return []error{sinks.ErrBlocked, b.error} }

// Error is a request that failed. It is one of sinks.ErrUnavailable (try again later), sinks.ErrBlocked (a person must
// act) and sinks.ErrRefused (this content never passes), by status and code: messages are for people and change.
type Error struct {
	Op         string // what was tried
	Status     int    // HTTP status; 0: no answer
	Code       string // Dataverse's in hex, "0x80040237", or the authority's, "AADSTS7000215"; empty where none came
	Message    string // of the service, or why there was no answer: untrusted text without control characters
	Hint       string // what is wrong on our side and what to do; empty where waiting is all
	RequestID  string // by which Microsoft's support finds the request
	RetryAfter time.Duration

	meaning error // one of the errors of sinks
	detail  error // a more exact error: ErrTooLarge, ErrNoRow, or the network's; may be nil
	lost    bool  // it may have arrived, and nobody answered
}

// Error says all of it in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + ": ")
	if e.Status == 0 {
		b.WriteString("no answer")
	} else {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%d %s %s", e.Status, http.StatusText(e.Status), e.Code), " "))
	}
	parts := []string{}
	if e.Message != "" {
		parts = append(parts, strings.TrimSuffix(e.Message, "."))
	}
	if e.Hint != "" {
		parts = append(parts, e.Hint)
	}
	if e.RetryAfter > 0 {
		parts = append(parts, "retry after "+e.RetryAfter.String())
	}
	if len(parts) > 0 {
		b.WriteString(": " + strings.Join(parts, "; "))
	}
	if e.RequestID != "" {
		b.WriteString(" (request " + e.RequestID + ")")
	}
	return b.String()
}

// Unwrap makes errors.Is find what the error means, and errors.As what the network said.
func (e *Error) Unwrap() []error {
	if e.detail == nil {
		return []error{e.meaning}
	}
	return []error{e.meaning, e.detail}
}

// Throttled tells whether the service asks to send nothing for a while, and for how long; 0 where it does not say.
func Throttled(err error) (wait time.Duration, ok bool) {
	var e *Error
	if !errors.As(err, &e) {
		return 0, false
	}
	ok = e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0
	if !ok {
		return 0, false
	}
	return e.RetryAfter, true
}

// Ambiguous tells whether the request may have taken place, or may still: it was sent, and no answer of Dataverse came.
func Ambiguous(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.lost
}

// TimedOut tells whether the request took too long once it was sent: fewer rows may pass.
func TimedOut(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	var network net.Error
	slow := errors.Is(e.detail, context.DeadlineExceeded) || errors.As(e.detail, &network) && network.Timeout()
	return e.lost && (slow || e.Status == http.StatusGatewayTimeout) || e.Status == http.StatusRequestTimeout
}

// unanswered is a request without an answer.
func unanswered(err error, mayHaveArrived bool) *Error {
	err = withoutURL(err)
	e := &Error{Message: clean(err.Error()), meaning: sinks.ErrUnavailable, detail: err, lost: mayHaveArrived}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		e.meaning = sinks.ErrBlocked
		e.Hint = "the server's certificate is not trusted: is the URL right, and the proxy's certificate installed?"
	}
	return e
}

// withoutURL takes the URL out of an error of net/http: it says nothing that the operation does not, and may be long.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// refused reads an answer that says no.
func refused(answer *http.Response, body []byte, now time.Time) *Error {
	e := &Error{Status: answer.StatusCode,
		RequestID:  clean(cmp.Or(answer.Header.Get("x-ms-service-request-id"), answer.Header.Get("REQ_ID"))),
		RetryAfter: retryAfter(answer.Header.Get("Retry-After"), now)}
	e.Code, e.Message = parseFault(body)
	e.lost = e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout // these come from a gateway
	e.judge()
	if e.Status < 400 {
		e.Message = "it points to " + clean(answer.Header.Get("Location"))
	}
	return e
}

// withhold takes a secret out of what a service said, in case that it, or something on the way to it, quotes requests.
func (e *Error) withhold(secret string) {
	if secret == "" {
		return
	}
	without := strings.NewReplacer(secret, "(not shown)", url.QueryEscape(secret), "(not shown)")
	for _, text := range []*string{&e.Code, &e.Message, &e.RequestID} {
		*text = without.Replace(*text)
	}
}

// The codes that change what an answer means.
const (
	codeNoRow          = "0x80040217"
	codeNoRowOfKey     = "0x80060891"
	codeNoAppUser      = "0x80072560"
	codeNoPrivilege    = "0x80040220"
	codeKeyTaken       = "0x80060892"
	codePayload        = "0x80048d19"
	codeNoSuchResource = "0x8006088a"
)

// judge finds out what status and code mean.
func (e *Error) judge() {
	switch {
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooManyRequests,
		e.Status >= 500 && e.Status != http.StatusNotImplemented:
		e.meaning = sinks.ErrUnavailable
	case e.Status == http.StatusNotFound && (e.Code == codeNoRow || e.Code == codeNoRowOfKey):
		e.meaning, e.detail = sinks.ErrRefused, ErrNoRow
	case e.Status == http.StatusRequestEntityTooLarge:
		e.meaning, e.detail = sinks.ErrRefused, ErrTooLarge
	case e.Status == http.StatusBadRequest, e.Status == http.StatusPreconditionFailed:
		e.meaning = sinks.ErrRefused
	default:
		e.meaning = sinks.ErrBlocked
	}
	e.Hint = e.hint()
}

// hint says what a person can do.
func (e *Error) hint() string {
	switch {
	case e.Status < 400:
		return "DATAVERSE_URL must be the organization's own, such as https://contoso.crm.dynamics.com"
	case e.Status == http.StatusUnauthorized:
		return "a new token is not accepted either: DATAVERSE_URL must be an organization of the tenant DATAVERSE_TENANT_ID"
	case e.Status == http.StatusForbidden && e.Code == codeNoAppUser:
		return "the application user is missing: in the Power Platform admin center, add DATAVERSE_CLIENT_ID under " +
			"Users / Application users of this environment, with a security role"
	case e.Status == http.StatusForbidden && e.Code == codeNoPrivilege:
		return "the application user lacks a right: give it a security role that may create, read, write and delete the table's rows"
	case e.Status == http.StatusForbidden:
		return "the application user is disabled, or its security role lacks a right"
	case e.Code == codeNoSuchResource, e.Status == http.StatusNotFound && e.detail == nil:
		return "DATAVERSE_URL or DATAVERSE_TABLE is wrong, or the table is gone"
	case e.Code == codeKeyTaken:
		return "a row of this run exists under another id: runmetrics dataverse reconcile --adopt takes it over"
	case e.Code == codePayload:
		return "do the table's columns still fit? runmetrics doctor compares them"
	}
	return ""
}

// longestMessage is how much of a service's message is kept, in bytes.
const longestMessage = 1000

// parseFault reads the body of an answer that says no. There are three shapes: Dataverse's, its host's, and what a
// gateway on the way says, which is for browsers and left out.
func parseFault(body []byte) (code, message string) {
	var fault struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"Message"`
	}
	_ = json.Unmarshal(body, &fault) // what cannot be read stays empty
	return strings.ToLower(clean(fault.Error.Code)), clean(cmp.Or(fault.Error.Message, fault.Message))
}

// clean makes foreign text fit for a log, a terminal and a database: valid, on one line, not endless.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	if len(s) > longestMessage {
		s = strings.ToValidUTF8(s[:longestMessage], "") + "…"
	}
	return strings.TrimSpace(s)
}

// longestWait is the most that a Retry-After is believed. The service's windows are five minutes.
const longestWait = time.Hour

// retryAfter reads the header: seconds, or a date. What cannot be read or lies in the past is 0.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longestWait/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(0, date.Sub(now)), longestWait)
	}
	return 0
}
