package main

import (
	"io"
	"log/slog"
)

// newLog makes the logger of the process. Everything goes to stderr; stdout belongs to what a command was asked for.
func newLog(w io.Writer, cfg *Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
