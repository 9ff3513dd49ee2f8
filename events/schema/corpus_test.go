package schema_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/schema"
)

const corpusDir = "../../testdata/events"

// corpusCase is a line of the corpus; testdata/events/README.md says what it means.
type corpusCase struct {
	Case   string
	Type   events.Type // of good ones
	Rule   string      // of those beyond the schemas
	Reason events.Reason
	Fields []string

	Accepted, Doubles bool // of digits.ndjson

	Event  json.RawMessage
	Text   *string
	Base64 []byte

	Header     map[string][]string
	Subject    string
	Time       time.Time
	CloudEvent string // "structured", "binary"
}

// payload is the case as it would be published.
func (c *corpusCase) payload() []byte {
	switch {
	case c.Text != nil:
		return []byte(*c.Text)
	case c.Base64 != nil:
		return c.Base64
	}
	return c.Event
}

func (c *corpusCase) decode() (events.Event, *events.Rejection) {
	return events.Decode(events.Message{Subject: c.Subject, Header: c.Header, Data: c.payload(), Time: c.Time})
}

func readCorpus(t *testing.T, name string) []*corpusCase {
	t.Helper()
	file, err := os.Open(filepath.Join(corpusDir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []*corpusCase
	names := make(map[string]bool)
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		c := new(corpusCase)
		if err := json.Unmarshal(line, c); err != nil {
			t.Fatalf("%s, line %d: %v", name, len(all)+1, err)
		}
		if names[c.Case] {
			t.Fatalf("%s has two cases %q", name, c.Case)
		}
		names[c.Case] = true
		all = append(all, c)
	}
	return all
}

// schemasOf are the schemas that a case is judged by, in both dialects.
func (c *corpusCase) schemasOf(v *validators) []string {
	switch c.CloudEvent {
	case "structured":
		return []string{v.cloudEvent, v.inAsyncAPI("cloudEvent")}
	case "binary":
		return []string{v.inAsyncAPI("eventInCloudEvent")}
	}
	return []string{v.event}
}

func TestGoodEvents(t *testing.T) {
	v := newValidators(t)
	for _, c := range readCorpus(t, "good.ndjson") {
		e, rejected := c.decode()
		if rejected != nil || e.Type != c.Type {
			t.Errorf("%s: the decoder reads %q (%v)", c.Case, e.Type, rejected)
		}
		for _, name := range c.schemasOf(v) {
			if err := v.judge(name, c.payload()); err != nil {
				t.Errorf("%s: %s refuses it: %v", c.Case, name, err)
			}
		}
		if c.CloudEvent != "" {
			continue
		}
		for _, of := range schema.Types {
			for _, name := range []string{v.of(of), v.inAsyncAPI(string(of))} {
				if err := v.judge(name, c.payload()); (err == nil) != (of == c.Type) {
					t.Errorf("%s: %s says %v", c.Case, name, err)
				}
			}
		}
	}
}

func TestBadEvents(t *testing.T) {
	v := newValidators(t)
	for _, c := range readCorpus(t, "bad.ndjson") {
		c.wantRefused(t)
		for _, name := range c.schemasOf(v) {
			if v.judge(name, c.payload()) == nil {
				t.Errorf("%s: %s accepts it", c.Case, name)
			}
		}
		if c.CloudEvent != "" {
			continue
		}
		for _, of := range schema.Types {
			if v.judge(v.of(of), c.payload()) == nil || v.judge(v.inAsyncAPI(string(of)), c.payload()) == nil {
				t.Errorf("%s: a schema of %s accepts it", c.Case, of)
			}
		}
	}
}

func TestEventsBeyondTheSchemas(t *testing.T) {
	v := newValidators(t)
	shown := make(map[string]bool)
	for _, c := range readCorpus(t, "beyond.ndjson") {
		c.wantRefused(t)
		shown[c.Rule] = true
		if !slices.Contains(rules(t), c.Rule) {
			t.Errorf("%s: doc.go has no rule %q", c.Case, c.Rule)
		}
		for _, name := range c.schemasOf(v) {
			err := v.judge(name, c.payload())
			if err != nil && !strings.Contains(err.Error(), tooDeep) {
				t.Errorf("%s: %s refuses it: %v", c.Case, name, err)
			}
		}
	}
	shown["double-digits"] = true // digits.ndjson has them
	for _, rule := range rules(t) {
		if !shown[rule] {
			t.Errorf("no case shows %s", rule)
		}
	}
}

// The validator of this test reads numbers exactly. What one that reads doubles says, a test with Node shows.
func TestDigitsBeyondDoubles(t *testing.T) {
	v := newValidators(t)
	for _, c := range readCorpus(t, "digits.ndjson") {
		if _, rejected := c.decode(); (rejected == nil) != c.Accepted {
			t.Errorf("%s: the decoder says %v", c.Case, rejected)
		}
		if err := v.judge(v.event, c.payload()); (err == nil) != c.Accepted {
			t.Errorf("%s: the schema says %v", c.Case, err)
		}
	}
}

// wantRefused checks that the decoder gives the reason and the fields of the case, and no others.
func (c *corpusCase) wantRefused(t *testing.T) {
	t.Helper()
	_, rejected := c.decode()
	if rejected == nil {
		t.Errorf("%s: the decoder accepts it", c.Case)
		return
	}
	var bad []string
	for _, f := range rejected.Fields {
		bad = append(bad, f.Field)
	}
	if rejected.Reason != c.Reason || !slices.Equal(bad, c.Fields) {
		t.Errorf("%s: the decoder says %v, want %s of %q", c.Case, rejected, c.Reason, c.Fields)
	}
}

// rules are those that doc.go names.
func rules(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(doc)) {
		if rest, found := strings.CutPrefix(line, "//   - "); found {
			name, _, _ := strings.Cut(rest, ":")
			names = append(names, name)
		}
	}
	return names
}

// Each property has a good and a bad case, where it can be bad.
func TestCorpusHasEveryField(t *testing.T) {
	refused := make(map[string]bool)
	for _, c := range readCorpus(t, "bad.ndjson") {
		for _, f := range c.Fields {
			refused[f] = true
		}
	}
	for _, of := range schema.Types {
		for _, p := range append(envelope(of, false), fields(of)...) {
			if !refused[p.name] {
				t.Errorf("no bad case of %s", p.name)
			}
		}
	}
	for _, p := range report() {
		if !refused["metrics."+p.name] {
			t.Errorf("no bad case of metrics.%s", p.name)
		}
	}
}

// A rule that a schema cannot say is named where it applies.
func TestEveryRuleIsNamedInAComment(t *testing.T) {
	var all strings.Builder
	for _, text := range [][]byte{schema.AnyEvent(), schema.CloudEvent(), schema.AsyncAPI()} {
		all.Write(text)
	}
	for _, rule := range rules(t) {
		if !strings.Contains(all.String(), rule) {
			t.Errorf("no schema has a comment with %s", rule)
		}
	}
}
