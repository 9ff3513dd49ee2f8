package schema

import (
	"embed"

	"github.com/apexsalesai/runmetrics/events"
)

//go:embed *.json
var files embed.FS

// Types are the types of events, in the order of the contract's table.
var Types = []events.Type{events.AgentFinished, events.AgentStarted, events.RunStarted, events.RunFinished,
	events.RunReported, events.ExecutionsVoided}

// Event is the JSON Schema of the events of one type; nil for a type that the contract does not have.
func Event(t events.Type) []byte { return read(string(t) + ".schema.json") }

// AnyEvent is the JSON Schema of an event of any type. It chooses by the event's type.
func AnyEvent() []byte { return read("event.schema.json") }

// CloudEvent is the JSON Schema of a CloudEvent in structured mode with an event of any type inside.
func CloudEvent() []byte { return read("cloudevent.schema.json") }

// AsyncAPI is the AsyncAPI 3.0 document of the stream: servers, subjects, headers, messages with examples, JetStream.
func AsyncAPI() []byte { return read("asyncapi.json") }

// read returns a copy of a file, which the caller may change.
func read(name string) []byte {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return text
}
