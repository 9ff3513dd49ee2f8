package schema_test

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

// tooDeep is in the error of encoding/json for a text that the decoder of events refuses for the same reason.
const tooDeep = "exceeded max depth"

// validators are the schemas, compiled: the files as JSON Schema 2020-12, those inside the AsyncAPI document as draft 7,
// which is what AsyncAPI's own dialect adds to.
type validators struct {
	event, cloudEvent string
	compiled          map[string]*jsonschema.Schema
}

func newValidators(t testing.TB) *validators {
	t.Helper()
	v := &validators{event: "event", cloudEvent: "cloudEvent", compiled: make(map[string]*jsonschema.Schema)}
	v.compile(t, v.event, schema.AnyEvent())
	v.compile(t, v.cloudEvent, schema.CloudEvent())
	asyncAPI := jsonschema.NewCompiler()
	asyncAPI.DefaultDraft(jsonschema.Draft7)
	v.add(t, asyncAPI, "asyncapi.json", schema.AsyncAPI())
	names := []string{"cloudEvent", "eventInCloudEvent"}
	for _, of := range schema.Types {
		v.compile(t, v.of(of), schema.Event(of))
		names = append(names, string(of))
	}
	for _, name := range names {
		compiled, err := asyncAPI.Compile("asyncapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		v.compiled[v.inAsyncAPI(name)] = compiled
	}
	return v
}

func (v *validators) of(t events.Type) string { return string(t) + ".schema.json" }

func (v *validators) inAsyncAPI(name string) string { return name + " in asyncapi.json" }

// compile also checks the schema against the schema of its dialect.
func (v *validators) compile(t testing.TB, name string, text []byte) {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	v.add(t, compiler, name, text)
	compiled, err := compiler.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	if compiled.DraftVersion != 2020 {
		t.Errorf("%s is of draft %d", name, compiled.DraftVersion)
	}
	v.compiled[name] = compiled
}

func (v *validators) add(t testing.TB, compiler *jsonschema.Compiler, name string, text []byte) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
}

// judge says why a schema refuses a payload, or nil. Text that is not JSON is refused before.
func (v *validators) judge(name string, payload []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return err
	}
	return v.compiled[name].Validate(value)
}
