package main

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// TestServiceSaysHowManyMessagesLeftTheStreamUnread on /readyz and on /metrics.
func TestServiceSaysHowManyMessagesLeftTheStreamUnread(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	environ["LOG_FORMAT"] = "json"
	call(t, environ, "", "setup").want(t, exitOK)
	call(t, environ, "", "publish", "--generate", "60").want(t, exitOK)
	stream, err := testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(21)); err != nil {
		t.Fatal(err)
	}
	service := &program{api: startService(t, environ).up(t).API}
	var state struct {
		Streams []struct{ Position, Gone int64 }
	}
	eventually(t, "the rest is committed", func() bool {
		service.read(t, "/readyz", &state)
		return len(state.Streams) == 1 && state.Streams[0].Position == 60
	})
	if got := state.Streams[0].Gone; got != 20 {
		t.Errorf("/readyz says %d, want 20", got)
	}
	measured := service.scrape(t)["RUN_EVENTS"]
	for name, want := range map[string]int64{"runmetrics_messages_gone_total": 20, "runmetrics_stored_gone": 20,
		"runmetrics_stored_applied": 40, "runmetrics_stream_position": 60, "runmetrics_messages_read_total": 40} {
		if got := measured[name]; got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	wantConserved(t, service)
}
