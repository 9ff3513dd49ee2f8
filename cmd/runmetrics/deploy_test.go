package main

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// The broker that docker-compose.yml starts must not lose an acknowledged message, and must take what the stream takes.
func TestTheDeployedBrokerIsSafe(t *testing.T) {
	t.Parallel()
	o, err := server.ProcessConfigFile("../../deploy/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !o.JetStream || !o.SyncAlways {
		t.Errorf("JetStream %v, sync always %v", o.JetStream, o.SyncAlways)
	}
	if o.MaxPayload < brokerMaxPayload {
		t.Errorf("max payload %d, want at least %d", o.MaxPayload, brokerMaxPayload)
	}
}
