package schema_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/apexsalesai/runmetrics/events/schema"
)

var update = flag.Bool("update", false, "write the files of this directory anew")

// written are the files of this directory as the description in these tests makes them.
func written() map[string]object {
	head := func(file string) object { return object{{"$schema", dialect}, {"$id", home + file}} }
	all := map[string]object{"asyncapi.json": asyncAPI()}
	for _, t := range schema.Types {
		file := string(t) + ".schema.json"
		all[file] = head(file).with(bodyOf(t, false)...).with(member{"examples", examplesOf(t)})
	}
	var examples list
	for _, t := range schema.Types {
		examples = append(examples, examplesOf(t)[0])
	}
	all["event.schema.json"] = head("event.schema.json").
		with(member{"title", "Event"}, describe("An event of any type; type says which."+aboutAll)).
		with(choosing(inDefinitions)...).
		with(member{"examples", examples}, member{"$defs", definitions(false)})
	all["cloudevent.schema.json"] = head("cloudevent.schema.json").
		with(member{"title", "CloudEvent"}, describe("A CloudEvent 1.0 in structured mode, JSON format, with an "+
			"event in its data.")).
		with(cloudEvent(inDefinitions)...).
		with(member{"examples", list{exampleCloudEvent()}}, member{"$defs", definitions(true)})
	return all
}

// The files are made of one description, which shares its limits with the decoder.
func TestFilesAreWhatTheDescriptionSays(t *testing.T) {
	for file, content := range written() {
		want, err := indented(content)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("events/schema/%s is not what the description says; go test ./events/schema -run TestFiles "+
				"-update writes it anew", file)
		}
	}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, described := written()[file.Name()]; bytes.HasSuffix([]byte(file.Name()), []byte(".json")) && !described {
			t.Errorf("events/schema/%s is left over", file.Name())
		}
	}
}
