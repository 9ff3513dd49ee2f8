package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

const publishingPage = "../../PUBLISHING.md"

// section returns what stands below a heading of a page, up to the next heading like it.
func section(t *testing.T, page, heading string) string {
	t.Helper()
	level, _, _ := strings.Cut(heading, " ")
	_, after, found := strings.Cut(page, "\n"+heading+"\n")
	if !found {
		t.Fatalf("there is no %q", heading)
	}
	body, _, _ := strings.Cut(after, "\n"+level+" ")
	return body
}

// blocks returns what stands between lines of three backquotes, where the first of them names the language.
func blocks(page, language string) (list []string) {
	for n, block := range strings.Split(page, "```") {
		if text, is := strings.CutPrefix(block, language+"\n"); is && n%2 == 1 {
			list = append(list, text)
		}
	}
	return list
}

// shownCommands returns the commands of the shell blocks, which may be several lines.
func shownCommands(page string) (list []string) {
	for _, block := range blocks(page, "sh") {
		command := ""
		for line := range strings.Lines(block) {
			command += line
			if strings.HasSuffix(line, "\\\n") || strings.Count(command, "'")%2 == 1 {
				continue
			}
			list = append(list, strings.TrimSpace(command))
			command = ""
		}
	}
	return list
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPublishingPageShowsValidEvents(t *testing.T) {
	t.Parallel()
	shown := blocks(readFile(t, publishingPage), "json")
	if len(shown) == 0 {
		t.Fatal("the page shows no event")
	}
	for line := range strings.Lines(strings.Join(shown, "")) {
		if _, rejected := events.Decode(events.Message{Data: []byte(line), Time: time.Now()}); rejected != nil {
			t.Errorf("%v: %s", rejected, line)
		}
	}
}

var fieldName = regexp.MustCompile("`([A-Za-z]+)`")

// fieldsOf returns the names in the first cells of a table whose head begins with the cell "field".
func fieldsOf(t *testing.T, page string) (names []string) {
	t.Helper()
	_, table, found := strings.Cut(page, "\n| field |")
	if !found {
		t.Fatal("there is no table of fields")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, name := range fieldName.FindAllStringSubmatch(first, -1) {
			names = append(names, name[1])
		}
	}
	slices.Sort(names)
	return names
}

func TestPublishingPageSaysWhereEachFieldComesFrom(t *testing.T) {
	t.Parallel()
	contract := fieldsOf(t, section(t, readFile(t, "../../README.md"), "## Publish events"))
	mapped := fieldsOf(t, section(t, readFile(t, publishingPage), "## What you have, in our fields"))
	if !slices.Equal(mapped, contract) || len(contract) < 20 {
		t.Errorf("the page maps %q, the contract has %q", mapped, contract)
	}
}

func TestPublishingPageShowsPythonThatCompiles(t *testing.T) {
	t.Parallel()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3 is not installed")
	}
	for _, block := range blocks(readFile(t, publishingPage), "python") {
		command := exec.CommandContext(t.Context(), interpreter, "-c", "import sys; compile(sys.stdin.read(), 'PUBLISHING.md', 'exec')")
		command.Stdin = strings.NewReader(block)
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, bytes.TrimSpace(said), block)
		}
	}
}

// TestPublishingPageShowsCommandsThatWork runs them in a directory with the page's events.
func TestPublishingPageShowsGoThatCompiles(t *testing.T) {
	t.Parallel()
	programs := blocks(readFile(t, publishingPage), "go")
	if len(programs) == 0 {
		t.Fatal("there is no Go on the page")
	}
	for _, program := range programs {
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, said)
		}
	}
}

func TestPublishingPageShowsCommandsThatWork(t *testing.T) {
	tool := natsTool(t)
	t.Parallel()
	at := startDev(t)
	page := readFile(t, publishingPage)
	file := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(file, []byte(strings.Join(blocks(page, "json"), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"summer-sale": 3, "a.b/🚀": 0}
	for _, line := range shownCommands(page) {
		line = strings.NewReplacer("nats://127.0.0.1:4222", at.NATS, "events.ndjson", file).Replace(line)
		own, isOwn := strings.CutPrefix(line, "runmetrics ")
		switch {
		case isOwn:
			call(t, map[string]string{"NATS_URL": at.NATS}, "", strings.Fields(own)...).want(t, exitOK)
		case tool != "":
			shell(t, tool, line, "")
			want["a.b/🚀"] = 1
		default:
			t.Logf("not run: %.60s…", line)
		}
	}
	wantExecutions(t, at.API, want)
}
