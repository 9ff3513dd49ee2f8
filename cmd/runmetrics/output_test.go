package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// nasty is what an agent could name itself: colours, a C1 control sequence, a reversed reading, a tag outside the BMP.
const nasty = "a\x1b[31m\u009b2J\u202eb\r\nc\U000E0041🚀"

func TestColumnsLineUpWhereCharactersAreWide(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := writeColumns(&b, [][]string{{"NAME", "N"}, {"日本", "1"}, {"e\u0301", "22"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME  N\n日本  1\ne\u0301     22\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestForeignTextCannotSteerATerminal(t *testing.T) {
	t.Parallel()
	if got := printable(nasty); got != "a�[31m�2J�b��c�🚀" {
		t.Errorf("%q", got)
	}
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]string{"name": nasty}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\u009b\u202e\r\U000E0041") || !strings.Contains(b.String(), "🚀") {
		t.Errorf("%q", b.String())
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["name"] != nasty {
		t.Errorf("reads back as %q, %v", back["name"], err)
	}
}
