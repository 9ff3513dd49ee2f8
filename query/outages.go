package query

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// outageTime is how often the log is told of requests that fail because something is away.
const outageTime = time.Minute

// outages writes that requests are answered with 503 because the store or a stream is away: at once, and then once a minute
// for each operation, with how many there were between. Whoever polls would bury everything else. The span of each such
// request has its error.
type outages struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]time.Time // by operation, of which there are as many as routes
	more map[string]int       // requests since
}

func newOutages(log *slog.Logger) *outages {
	return &outages{log: log, told: make(map[string]time.Time), more: make(map[string]int)}
}

// note takes in a request that failed now.
func (o *outages) note(request context.Context, operation string, err error, now time.Time) {
	trace.SpanFromContext(request).RecordError(err)
	o.mu.Lock()
	defer o.mu.Unlock()
	if told, known := o.told[operation]; known && now.Sub(told) < outageTime {
		o.more[operation]++
		return
	}
	log := o.log
	if more := o.more[operation]; more > 0 {
		log = log.With("unmentioned", more)
	}
	log.WarnContext(request, "request failed; /readyz says more", "operation", operation,
		"status", http.StatusServiceUnavailable, "error", err)
	o.told[operation], o.more[operation] = now, 0
}
