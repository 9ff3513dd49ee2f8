package query

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Receipt says where a stream keeps a published event.
type Receipt struct {
	Stream    string
	Sequence  uint64
	Duplicate bool // the stream had the event before, at this sequence
	// Err is why the stream did not confirm the event: it is away or full. Whether it was stored is then open.
	Err error
}

// Config wires the window. Reader, Letters, Publish, Committed and State are required.
type Config struct {
	Reader sinks.Reader
	// Letters lists dead letters, as sinks.Letters says.
	Letters func(ctx context.Context, f sinks.LetterFilter, after *sinks.LetterID, limit int) ([]sinks.Letter, error)
	// Publish sends the events in their order and returns once the streams have stored them, or the context has ended.
	// There is a receipt for each.
	Publish func(ctx context.Context, list []*events.Event) []Receipt
	// Committed returns nil once the store has dealt with everything of the stream up to the receipt's sequence, or the
	// error of the context.
	Committed func(ctx context.Context, r Receipt) error
	// Feed knows what changed lately; streams end when it is closed. One that nobody tells anything where nil: then streams
	// show what is stored when they begin.
	Feed *Feed
	// State is what /readyz shows. It is called by each such request, so it must not ask the database.
	State func() State
	// Backlog counts what the copy in Dataverse still has to get; nil where there is none.
	Backlog func(ctx context.Context) (Backlog, error)
	// Metrics answers /metrics, which is not there where this is nil. It must not ask the database either.
	Metrics http.Handler

	// Keys are asked for by everything but the panel's files, /healthz, /readyz, /openapi.json and /asyncapi.json. With nil
	// the window is open to whoever reaches the listener.
	Keys *Keys
	// KeyRate is how many requests a second each key may send, and twice as many at once; 0 is any number.
	KeyRate int
	// Origins are those of pages that browsers let ask from elsewhere, as CheckOrigin wants them. They need Keys.
	Origins []string
	// Loopback says that the listener is bound to a loopback address. Without keys the Host header must then be a
	// loopback name, or any web page could reach us under a name of its own that resolves to 127.0.0.1.
	Loopback bool

	// Meter gets how long requests take; nothing is measured where nil. Tracer makes a span for each request that is let in,
	// but for what is open to everyone and /metrics, in the trace of the caller. What a request publishes comes from that
	// span; where Tracer is nil, from the caller's.
	Meter  metric.Meter
	Tracer trace.Tracer

	// IdleTimeout is after how long without a commit a running run is shown as stalled; 0 is never.
	IdleTimeout time.Duration
	Now         func() time.Time // time.Now where nil
	Log         *slog.Logger     // nothing is logged where nil
	Version     string           // of the program, shown in /openapi.json; "unknown" where empty
}

func (c *Config) complete() error {
	switch {
	case c.Reader == nil:
		return errors.New("query config: Reader is missing")
	case c.Letters == nil:
		return errors.New("query config: Letters is missing")
	case c.Publish == nil:
		return errors.New("query config: Publish is missing")
	case c.Committed == nil:
		return errors.New("query config: Committed is missing")
	case c.State == nil:
		return errors.New("query config: State is missing")
	case len(c.Origins) > 0 && c.Keys == nil:
		return errors.New("query config: Origins need Keys")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Feed == nil {
		var err error
		if c.Feed, err = NewFeed(FeedConfig{Changed: c.Reader.Changed, Log: c.Log, Now: c.Now}); err != nil {
			return err
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "unknown"
	}
	return nil
}

// idleSince is the commit time before which a running run counts as stalled now; zero where none does. Stores keep
// microseconds.
func (c *Config) idleSince() time.Time {
	if c.IdleTimeout <= 0 {
		return time.Time{}
	}
	return c.Now().Add(-c.IdleTimeout).Truncate(time.Microsecond)
}
