package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

// shownMessage is a message of the AsyncAPI document.
type shownMessage struct {
	Headers, Payload map[string]string // references
	Examples         []struct {
		Headers map[string]string
		Payload json.RawMessage
	}
}

// AsyncAPI's parser looks at no example, so this does: each is an event as it can be published, headers and all.
func TestExamplesOfTheAsyncAPIDocumentAreGood(t *testing.T) {
	v := newValidators(t)
	var document struct {
		Components struct{ Messages map[string]shownMessage }
	}
	if err := json.Unmarshal(schema.AsyncAPI(), &document); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	v.add(t, compiler, "asyncapi.json", schema.AsyncAPI())
	for name, m := range document.Components.Messages {
		if len(m.Examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, e := range m.Examples {
			headers, err := marshal(e.Headers)
			if err != nil {
				t.Fatal(err)
			}
			v.wantGood(t, compiler, m.Payload["$ref"], e.Payload)
			if name == "publishAck" {
				continue
			}
			v.wantGood(t, compiler, m.Headers["$ref"], headers)
			all := make(map[string][]string)
			for header, value := range e.Headers {
				all[header] = []string{value}
			}
			decoded, rejected := events.Decode(events.Message{Header: all, Data: e.Payload})
			if rejected != nil || e.Headers["Nats-Msg-Id"] != events.MessageID(&decoded) {
				t.Errorf("%s: example with message id %q: %v", name, e.Headers["Nats-Msg-Id"], rejected)
			}
		}
	}
}

func (v *validators) wantGood(t *testing.T, compiler *jsonschema.Compiler, ref string, text []byte) {
	t.Helper()
	compiled, err := compiler.Compile("asyncapi.json" + ref)
	if err != nil {
		t.Fatal(err)
	}
	v.compiled[ref] = compiled
	if err := v.judge(ref, text); err != nil {
		t.Errorf("%s refuses its example %s: %v", ref, text, err)
	}
}

// Examples of the schemas are good, too.
func TestExamplesOfTheSchemasAreGood(t *testing.T) {
	v := newValidators(t)
	texts := map[string][]byte{v.event: schema.AnyEvent(), v.cloudEvent: schema.CloudEvent()}
	for _, of := range schema.Types {
		texts[v.of(of)] = schema.Event(of)
	}
	for name, text := range texts {
		var document struct{ Examples []json.RawMessage }
		if err := json.Unmarshal(text, &document); err != nil || len(document.Examples) == 0 {
			t.Fatalf("%s has no examples (%v)", name, err)
		}
		for _, example := range document.Examples {
			_, rejected := events.Decode(events.Message{Data: example})
			if err := v.judge(name, example); err != nil || rejected != nil {
				t.Errorf("example of %s: %v, %v", name, err, rejected)
			}
		}
	}
}

func TestASchemaThatIsNotThereIsNothing(t *testing.T) {
	if got := schema.Event("run.paused"); got != nil {
		t.Errorf("got %s", got)
	}
}
