package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// posted is what the API says of events.
type posted struct {
	Accepted, Duplicates, Refused, Unconfirmed int
	Events                                     []struct{ ID, Status, Stream string }
}

// postEvents posts events as lines and returns the status.
func postEvents(t *testing.T, api string, list []events.Event) (int, posted) {
	t.Helper()
	var lines strings.Builder
	for i := range list {
		lines.Write(append(events.Encode(&list[i]), '\n'))
	}
	response, err := http.Post(api+"/api/events", "application/x-ndjson", strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer posted
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// someEvents generates events without repeats.
func someEvents(n int) []events.Event {
	var list []events.Event
	l := load{Seed: 6, Runs: 5, Agents: 50}
	for e := range l.All(n) {
		list = append(list, e)
	}
	return list
}

func TestServiceStoresPostedEventsOnceHoweverOftenTheyCome(t *testing.T) {
	t.Parallel()
	p := startService(t, embedded(t))
	at := p.up(t)
	sent := someEvents(1000)
	// A disk that others keep busy may take longer than a request waits: then one does what the answer says.
	eventually(t, "all of them are stored", func() bool {
		status, _ := postEvents(t, at.API, sent)
		return status == http.StatusAccepted
	})
	if status, got := postEvents(t, at.API, sent); status != http.StatusAccepted || got.Duplicates != len(sent) {
		t.Errorf("status %d, %d accepted, %d duplicates", status, got.Accepted, got.Duplicates)
	}
	var wanted int64
	for _, m := range foldAll(sent) {
		wanted += *m.Executions
	}
	eventually(t, "everything is committed", func() bool { return executions(list(t, at.API, "load-6")) == wanted })
}

func TestServiceSaysWhichPostedEventsAFullStreamHas(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	js := testJetStream(t, b)
	stream := testStream(t, js, 20_000)
	p := startService(t, with(environ, map[string]string{"LOG_FORMAT": "json"}))
	at := p.up(t)
	list := someEvents(200)
	status, got := postEvents(t, at.API, list)
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stored := int(info.State.Msgs)
	if status != http.StatusServiceUnavailable || got.Accepted != stored || got.Accepted+got.Unconfirmed != len(list) || stored == 0 {
		t.Fatalf("status %d, %d accepted of %d stored, %d unconfirmed", status, got.Accepted, stored, got.Unconfirmed)
	}
	roomier := info.Config
	roomier.MaxBytes = 10_000_000
	if _, err := js.UpdateStream(t.Context(), roomier); err != nil {
		t.Fatal(err)
	}
	status, got = postEvents(t, at.API, list)
	if status != http.StatusAccepted || got.Duplicates != stored || got.Accepted != len(list)-stored {
		t.Errorf("again: status %d, %d accepted, %d duplicates of %d", status, got.Accepted, got.Duplicates, stored)
	}
}
