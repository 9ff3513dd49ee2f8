package query

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/sinks"
)

// retryAfter is what a 503 asks clients to wait, in seconds.
const retryAfter = "5"

// problem makes an RFC 9457 answer.
func problem(status int, detail string) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}
}

// bad is one bad field: where it stood, such as "query.limit" or "body.costUSD", and what is wrong with it.
func bad(location, message string) *huma.ErrorDetail {
	return &huma.ErrorDetail{Location: location, Message: message}
}

// invalid is the 400 that names every bad field, in detail for people and in errors for programs.
func invalid(fields []*huma.ErrorDetail) error {
	texts := make([]string, len(fields))
	for i, f := range fields {
		_, name, _ := strings.Cut(f.Location, ".")
		texts[i] = name + " " + f.Message
	}
	p := problem(http.StatusBadRequest, strings.Join(texts, "; "))
	p.Errors = fields
	return p
}

// unavailable is the 503 for something that is away and will come back by itself or by an operator's hand.
func unavailable(detail string) error {
	return retryLater(problem(http.StatusServiceUnavailable, detail))
}

// retryLater adds when to try again.
func retryLater(p error) error {
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {retryAfter}})
}

// writeProblem answers where no huma operation does: at the door, without a route, after a panic.
func writeProblem(w http.ResponseWriter, p *huma.ErrorModel) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // an error means that the client is gone
}

// storeFailed turns an error of the store into an answer and logs it. Nothing is logged when the client left,
// which ends the context of its request too.
func (s *server) storeFailed(request context.Context, operation string, err error) error {
	away := errors.Is(err, sinks.ErrUnavailable) || errors.Is(err, sinks.ErrBlocked) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	switch {
	case request.Err() != nil:
		return unavailable("the request was cancelled")
	case away:
		s.outages.note(request, operation, err, s.Now())
		return unavailable("the store does not answer at the moment; nothing is lost, /readyz says more")
	}
	trace.SpanFromContext(request).RecordError(err)
	s.Log.ErrorContext(request, "request failed", "operation", operation, "status", http.StatusInternalServerError,
		"error", err)
	return problem(http.StatusInternalServerError, "an unexpected error; the log of the server has it")
}
