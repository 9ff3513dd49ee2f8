package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events/schema"
)

func TestSchemaPrintsEachDocumentThatItLists(t *testing.T) {
	t.Parallel()
	list := call(t, noConfiguration, "", "schema")
	list.want(t, exitOK)
	for _, d := range schemaDocuments() {
		if !strings.Contains(list.stdout, "  "+d.name+" ") {
			t.Errorf("%s is not listed:\n%s", d.name, list.stdout)
		}
		r := call(t, noConfiguration, "", "schema", d.name)
		r.want(t, exitOK)
		if !json.Valid([]byte(r.stdout)) || !strings.HasSuffix(r.stdout, "}\n") || r.stderr != "" {
			t.Errorf("%s: %.200s %s", d.name, r.stdout, r.stderr)
		}
	}
	if got, want := strings.Count(list.stdout, "\n"), len(schema.Types)+4; got != want {
		t.Errorf("%d documents, want %d", got, want)
	}
}

func TestSchemaNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	r := call(t, nil, "", "schema", "run.paused")
	r.want(t, exitUsage)
	if !strings.Contains(r.stderr, `no document "run.paused"; there are: event, agent.finished,`) {
		t.Errorf("says %s", r.stderr)
	}
	call(t, nil, "", "schema", "event", "asyncapi").want(t, exitUsage)
}

// What the AsyncAPI document says of the stream is what setup makes.
func TestAsyncAPIDescribesTheStreamThatSetupMakes(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	var document struct {
		Channels struct {
			Runs struct {
				JetStream struct{ Stream map[string]any } `json:"x-jetstream"`
			}
		}
	}
	if err := json.Unmarshal(schema.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	described := document.Channels.Runs.JetStream.Stream
	name, _ := described["name"].(string)
	stream, err := testJetStream(t, b).Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(stream.CachedInfo().Config)
	if err != nil {
		t.Fatal(err)
	}
	var made map[string]any
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	for setting, value := range described {
		if !reflect.DeepEqual(made[setting], value) {
			t.Errorf("%s is %v, the document says %v", setting, made[setting], value)
		}
	}
	if len(described) < 10 {
		t.Errorf("the document has %d settings: %v", len(described), described)
	}
}
