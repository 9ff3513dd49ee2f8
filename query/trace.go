package query

import (
	"net/http"

	"go.opentelemetry.io/otel/propagation"
)

// traceHeaders are those of https://www.w3.org/TR/trace-context/.
var traceHeaders = propagation.TraceContext{}.Fields()

// withTrace puts the caller's span into the request's context: the request's own span is its child, and where there is
// none, events are published as if from the caller's.
func withTrace(r *http.Request) *http.Request {
	for _, name := range traceHeaders {
		if r.Header.Get(name) != "" {
			return r.WithContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		}
	}
	return r
}
