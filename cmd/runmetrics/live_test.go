package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// TestCommandsThatChangeTheStoreAreSeenByWhoPolls though nothing is committed.
func TestCommandsThatChangeTheStoreAreSeenByWhoPolls(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	environ["LOG_FORMAT"] = "json"
	call(t, environ, "", "setup").want(t, exitOK)
	l := load{Seed: 1, Runs: 1, Agents: 5}
	call(t, environ, "", "publish", "--generate", fmt.Sprint(l.perRun()), "--seed", "1", "--runs", "1", "--agents", "5").want(t, exitOK)
	if _, err := testJetStream(t, b).Publish(t.Context(), events.Subject("c", "r"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	p := &program{api: startService(t, environ).up(t).API}
	eventually(t, "everything is committed", func() bool { return p.position(t) == uint64(l.perRun()+1) })
	run := "/api/metrics/campaign/load-1/runs/" + l.At(0).RunID
	for _, change := range []struct {
		path    string
		command []string
	}{
		{"/api/deadletters", []string{"deadletters", "drop", "--reason", "malformed", "--because", "a test", "--apply"}},
		{run, []string{"prune", "--before", "2026-01-02T00:00:00Z", "--apply"}},
	} {
		etag := p.get(t, change.path).header.Get("ETag")
		if status := p.poll(t, change.path, etag); status != http.StatusNotModified {
			t.Errorf("%s is answered %d", change.path, status)
		}
		call(t, environ, "", change.command...).want(t, exitOK)
		eventually(t, "the change is seen", func() bool { return p.poll(t, change.path, etag) == http.StatusOK })
	}
}
