package main

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestReconcileTellsTheServiceWhatIsDue: adoption marks runs that the service is to send, and no commit wakes it.
func TestReconcileTellsTheServiceWhatIsDue(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "a")
	conn, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	told, err := conn.SubscribeSync(dueSubject("main"))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	environ := with(w.environ, map[string]string{"NATS_URL": b.URL()})
	call(t, environ, "", "dataverse", "reconcile")
	call(t, environ, "", "dataverse", "reconcile", "--adopt")
	if _, err := told.NextMsg(20 * time.Second); err != nil {
		t.Errorf("the service is not told: %v", err)
	}
	if n, _, err := told.Pending(); n > 0 || err != nil {
		t.Errorf("it is told %d times more, %v: a comparison changes nothing", n, err)
	}
}
