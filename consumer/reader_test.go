package consumer_test

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEveryMessageIsAppliedOnceOrADeadLetter(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(25_000)
	messages := messagesOf(list)
	messages = append(messages, messagesOf(list[:500])...) // duplicates
	conflicting := list[3]
	conflicting.TokensIn++
	messages = append(messages, messageOf(&conflicting),
		&nats.Msg{Subject: "runs.campaign.run-1", Data: []byte("{")},
		&nats.Msg{Subject: "runs.other.run-1", Data: events.Encode(&list[1])})
	last := b.publish(t, messages...)

	r := b.startReader(t, store)
	watch(t, r)
	p := waitCommitted(t, b, store, last)
	if want := (sinks.Position{Applied: 25_000, Duplicates: 500, DeadLetters: 3}); p.Applied != want.Applied ||
		p.Duplicates != want.Duplicates || p.DeadLetters != want.DeadLetters || p.Gone != 0 {
		t.Fatalf("position %+v, want %+v", p, want)
	}
	expect(t, store, list)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	conserved(t, r, store)
	if s := r.Status(); s.State != consumer.Active || s.InFlight != 0 {
		t.Fatalf("stopped: %+v", s)
	}
}
