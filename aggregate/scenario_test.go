package aggregate_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

var outcomeNames = map[aggregate.Outcome]string{
	aggregate.Applied: "applied", aggregate.Duplicate: "duplicate", aggregate.Conflict: "conflict",
}

// testdata/README.md describes the files.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("../testdata/scenarios/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(bytes.TrimSpace(archive.Comment)) == 0 {
				t.Error("a comment must say why the scenario exists")
			}
			playScenario(t, archive)
		})
	}
}

func playScenario(t *testing.T, archive *txtar.Archive) {
	var history []events.Event
	var outcomes []string
	var want []byte
	for _, f := range archive.Files {
		switch f.Name {
		case "events.jsonl":
			history = decodeLines(t, f.Data)
		case "outcomes.txt":
			outcomes = strings.Fields(string(f.Data))
		case "want.json":
			want = f.Data
		default:
			t.Fatalf("unknown file %s", f.Name)
		}
	}
	if outcomes == nil {
		outcomes = slices.Repeat([]string{"applied"}, len(history))
	}
	r := aggregate.NewRun(history[0].Key)
	var got []string
	for i := range history {
		got = append(got, outcomeNames[r.Apply(&history[i])])
	}
	if !slices.Equal(got, outcomes) {
		t.Errorf("the events are %v, want %v", got, outcomes)
	}
	checkRecord(t, r.Metrics(), history)
	compareJSON(t, r.Metrics(), want)
	if !slices.Contains(outcomes, "conflict") {
		slices.Reverse(history)
		backward := aggregate.NewRun(history[0].Key)
		for i := range history {
			backward.Apply(&history[i])
		}
		sameRecord(t, backward.Metrics(), r.Metrics(), "in reverse order")
	}
}

func decodeLines(t *testing.T, data []byte) []events.Event {
	var history []events.Event
	for line := range bytes.Lines(data) {
		e, rejected := events.Decode(events.Message{Data: line})
		if rejected != nil {
			t.Fatalf("%s: %v", line, rejected)
		}
		history = append(history, e)
	}
	return history
}

// compareJSON compares the fields that want has. Numbers are compared as they are written.
func compareJSON(t *testing.T, m aggregate.Metrics, want []byte) {
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := fieldsOf(t, b), fieldsOf(t, want)
	if len(wanted) == 0 {
		t.Error("want.json names no field")
	}
	for name, value := range wanted {
		if g, exists := got[name]; !exists || !reflect.DeepEqual(g, value) {
			t.Errorf("%s is %v, want %v", name, g, value)
		}
	}
}

func fieldsOf(t *testing.T, object []byte) map[string]any {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	var fields map[string]any
	if err := d.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	return fields
}
