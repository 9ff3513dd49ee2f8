package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestBrokerNamesTheSettingOfATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	r := call(t, map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": address, "HTTP_ADDR": "127.0.0.1:0"}, "", "run")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, address) || !strings.Contains(r.stderr, "set NATS_LISTEN") {
		t.Errorf("says %s", r.stderr)
	}
}

func TestBrokerSaysWhyJetStreamDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nats"), []byte("a file where a directory must be"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := startBroker(&Config{DataDir: dir, NATSListen: "127.0.0.1:0", Deployment: "test"}, SyncAlways, quiet())
	if err == nil || strings.Contains(err.Error(), "NATS_LISTEN") {
		t.Errorf("says %v", err)
	}
}

func TestBrokerKeepsItsStreamsOverARestart(t *testing.T) {
	t.Parallel()
	cfg := &Config{DataDir: t.TempDir(), NATSListen: "127.0.0.1:0", Deployment: "test"}
	for i, every := range []SyncEvery{SyncAlways, SyncEvery(time.Second)} {
		b, err := startBroker(cfg, every, quiet())
		if err != nil {
			t.Fatal(err)
		}
		js := testJetStream(t, b)
		if i == 0 {
			// More than the disk has free: the reservation must not keep the stream from coming back.
			testStream(t, js, 512<<30)
		}
		if _, err := js.Publish(t.Context(), "runs.c.r", []byte("{}")); err != nil {
			t.Fatalf("start %d: %v", i+1, err)
		}
		stream, err := js.Stream(t.Context(), "RUN_EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		if got := messages(t, stream); got != uint64(i+1) {
			t.Errorf("start %d: %d messages", i+1, got)
		}
		b.Stop()
	}
}

func TestBrokerRefusesMessagesOverOneMebibyte(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	conn, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.MaxPayload(); got != 1<<20 {
		t.Errorf("takes up to %d bytes", got)
	}
}
