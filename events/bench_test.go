package events_test

import (
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// benchmarkEvent is what a runtime typically sends, about 350 bytes.
const benchmarkEvent = `{"id":"0192f3a4-7c1e-7b52-9d3a-5f6e7a8b9c0d","campaignId":"spring-launch-2026","runId":"run-000123",` +
	`"phase":"2-3","occurredAt":"2026-02-14T14:47:08.035Z","agentId":"writer-0042","attempt":1,"status":"succeeded",` +
	`"latencyMs":1234.5,"tokensIn":5231,"tokensOut":812,"assetsGenerated":2,"costUSD":0.059133500000000006,` +
	`"agentName":"Copy writer","model":"gpt-5.2"}`

func BenchmarkDecode(b *testing.B) {
	m := events.Message{
		Subject: "runs.spring-launch-2026.run-000123",
		Data:    []byte(benchmarkEvent),
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
	e, rejected := events.Decode(events.Message{Data: []byte(benchmarkEvent)})
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
	e, rejected := events.Decode(events.Message{Data: []byte(benchmarkEvent)})
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
