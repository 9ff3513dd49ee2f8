package main

import (
	"context"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// newLog makes the logger of the process. Everything goes to stderr; stdout belongs to what a command was asked for.
func newLog(w io.Writer, cfg *Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(withTrace{slog.NewJSONHandler(w, options)})
	}
	return slog.New(withTrace{slog.NewTextHandler(w, options)})
}

// withTrace adds which span a record was logged in, so that who reads a trace finds the lines and the other way round.
type withTrace struct{ slog.Handler }

// Handle adds the ids of the context's span.
func (h withTrace) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps what the wrapped handler is.
func (h withTrace) WithAttrs(attrs []slog.Attr) slog.Handler {
	return withTrace{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps what the wrapped handler is; ids then stand in the group.
func (h withTrace) WithGroup(name string) slog.Handler { return withTrace{h.Handler.WithGroup(name)} }
