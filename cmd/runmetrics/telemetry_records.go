package main

import (
	"context"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
)

// sentRecords are the records of the log that a collector gets: those that stderr gets, too, as OTLP can carry them.
type sentRecords struct {
	sdklog.Processor
	least log.Severity
}

// severityOf is OpenTelemetry's number for a level.
func severityOf(level slog.Level) log.Severity {
	return log.Severity(level-slog.LevelDebug) + log.SeverityDebug
}

// Enabled tells whether a record is to be made at all.
func (s sentRecords) Enabled(_ context.Context, of sdklog.EnabledParameters) bool {
	return of.Severity >= s.least
}

// OnEmit makes UTF-8 of what is none, as some text that comes from outside: one such record would keep all that are sent
// with it from being taken.
func (s sentRecords) OnEmit(ctx context.Context, r *sdklog.Record) error {
	r.SetBody(inUTF8(r.Body()))
	list := make([]attribute.KeyValue, 0, r.AttributesLen())
	r.WalkAttributes(func(a attribute.KeyValue) bool {
		list = append(list, attribute.KeyValue{Key: a.Key, Value: inUTF8(a.Value)})
		return true
	})
	r.SetAttributes(list...)
	return s.Processor.OnEmit(ctx, r)
}

func inUTF8(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(strings.ToValidUTF8(v.AsString(), "\uFFFD"))
	case attribute.SLICE:
		list := v.AsSlice()
		for i := range list {
			list[i] = inUTF8(list[i])
		}
		return attribute.SliceValue(list...)
	case attribute.MAP:
		list := v.AsMap()
		for i := range list {
			list[i] = attribute.KeyValue{Key: attribute.Key(strings.ToValidUTF8(string(list[i].Key), "\uFFFD")), Value: inUTF8(list[i].Value)}
		}
		return attribute.MapValue(list...)
	default: // numbers and bytes; the bridge makes no list of a single type
		return v
	}
}
