package events_test

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

func BenchmarkDecode(b *testing.B) {
	m := events.Message{
		Subject: "runs.spring-launch-2026.run-000123",
		Data:    []byte(events.PlainExecution),
		Time:    time.Date(2026, 2, 14, 15, 0, 0, 0, time.UTC),
	}
	b.SetBytes(int64(len(m.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, rejected := events.Decode(m); rejected != nil {
			b.Fatal(rejected)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, rejected := events.Decode(events.Message{Data: []byte(events.PlainExecution)})
	if rejected != nil {
		b.Fatal(rejected)
	}
	buffer := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buffer = e.Append(buffer[:0])
	}
}

func BenchmarkEncodeChecked(b *testing.B) {
	e, rejected := events.Decode(events.Message{Data: []byte(events.PlainExecution)})
	if rejected != nil {
		b.Fatal(rejected)
	}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, rejected := events.EncodeChecked(&e, now); rejected != nil {
			b.Fatal(rejected)
		}
	}
}
