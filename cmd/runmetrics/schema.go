package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
	"github.com/apexsalesai/runmetrics/query"
)

// schemaDocument is a document that "runmetrics schema" prints.
type schemaDocument struct {
	name, about string
	text        func() []byte
}

// schemaDocuments are all of them, in the order in which they are listed.
func schemaDocuments() []schemaDocument {
	all := []schemaDocument{{"event", "JSON Schema of an event of any type", schema.AnyEvent}}
	about := map[events.Type]string{
		events.AgentFinished:    "an execution of an agent ended",
		events.AgentStarted:     "an agent began",
		events.RunStarted:       "a run began",
		events.RunFinished:      "a run ended",
		events.RunReported:      "a runtime reports a whole record",
		events.ExecutionsVoided: "events that count nowhere",
	}
	for _, t := range schema.Types {
		all = append(all, schemaDocument{string(t), "JSON Schema: " + about[t], func() []byte { return schema.Event(t) }})
	}
	return append(all,
		schemaDocument{"cloudevent", "JSON Schema of a CloudEvent with an event in it", schema.CloudEvent},
		schemaDocument{"asyncapi", "AsyncAPI 3.0: subjects, headers, messages and JetStream settings", schema.AsyncAPI},
		schemaDocument{"openapi", "OpenAPI 3.1 of the HTTP API", query.OpenAPI})
}

func (a *app) schema() *cobra.Command {
	documents := schemaDocuments()
	var lines [][]string
	var names []string
	for _, d := range documents {
		lines = append(lines, []string{"  " + d.name, d.about})
		names = append(names, d.name)
	}
	var list strings.Builder
	_ = writeColumns(&list, lines) // a strings.Builder takes everything
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the contract of events: JSON Schema, AsyncAPI, OpenAPI",
		Long: `schema prints a document that describes what runmetrics takes. Without a name it says what there is:

` + list.String() + `
JSON Schema is of the dialect 2020-12. What it cannot say stands in comments that begin with "Beyond JSON Schema"; where a
schema refuses an event, runmetrics does, too. "runmetrics publish --check FILE" knows every rule.`,
		Example: `  runmetrics schema
  runmetrics schema agent.finished > agent.finished.schema.json
  runmetrics schema asyncapi > asyncapi.json`,
		ValidArgs: names,
		Args:      func(_ *cobra.Command, args []string) error { return checkSchemaArgs(args, names) },
		RunE: a.enter(func(_ context.Context, args []string) error {
			if len(args) == 0 {
				return writeColumns(a.stdout, lines)
			}
			i := slices.Index(names, args[0])
			_, err := a.stdout.Write(documents[i].text())
			return err
		}),
	}
}

func checkSchemaArgs(args, names []string) error {
	if len(args) > 1 {
		return errors.New("schema prints one document at a time")
	}
	if len(args) == 1 && !slices.Contains(names, args[0]) {
		return fmt.Errorf("there is no document %q; there are: %s", args[0], strings.Join(names, ", "))
	}
	return nil
}
