package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// alertPages are for whoever an alert wakes.
const alertPages = "../../docs/alerts"

// pageSections are what each page has, in this order.
var pageSections = []string{"What it means", "How urgent", "Look at this first", "Causes, and what to do",
	"It is over when", "What not to do"}

func TestEveryAlertHasItsPage(t *testing.T) {
	t.Parallel()
	_, names := shippedAlerts(t)
	index, err := os.ReadFile(filepath.Join(alertPages, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(alertPages, name+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		page := string(text)
		if !strings.HasPrefix(page, "# "+name+"\n") {
			t.Errorf("the page of %s does not begin with its name", name)
		}
		var sections []string
		for line := range strings.Lines(page) {
			if title, is := strings.CutPrefix(line, "## "); is {
				sections = append(sections, strings.TrimSpace(title))
			}
		}
		if !slices.Equal(sections, pageSections) {
			t.Errorf("the page of %s has the sections %q, want %q", name, sections, pageSections)
		}
		if !strings.Contains(string(index), "]("+name+".md)") {
			t.Errorf("README.md does not link to %s.md", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(alertPages, "Runmetrics*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); !slices.Contains(names, name) {
			t.Errorf("%s is of no alert", file)
		}
	}
}

var (
	spannedCommand = regexp.MustCompile("`runmetrics ([^`]+)`")
	linedCommand   = regexp.MustCompile(`(?m)^ *runmetrics (.+)$`)
)

// TestCommandsOfAlertPagesAreSuch: every one is there, with the flags that it is given. Each is asked for its help only.
func TestCommandsOfAlertPagesAreSuch(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(alertPages, "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	seen := make(map[string]bool)
	for _, file := range append(files, filepath.Join(prometheusDir, "rules.yml"), filepath.Join(prometheusDir, "prometheus.yml")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []*regexp.Regexp{spannedCommand, linedCommand} {
			for _, found := range pattern.FindAllStringSubmatch(string(text), -1) {
				if seen[found[1]] {
					continue
				}
				seen[found[1]] = true
				if r := call(t, nil, "", append(strings.Fields(found[1]), "--help")...); r.code != exitOK || r.stderr != "" {
					t.Errorf("%s: runmetrics %s: %s", filepath.Base(file), found[1], r.stderr)
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d commands were found", len(seen))
	}
}

var (
	linkTarget = regexp.MustCompile(`\]\(([^)#]+)(?:#([^)]*))?\)`)
	notInLink  = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// TestLinksOfAlertPagesLeadSomewhere: to a file that is there, and to a heading in it.
func TestLinksOfAlertPagesLeadSomewhere(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(alertPages, "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range linkTarget.FindAllStringSubmatch(string(text), -1) {
			if strings.HasPrefix(link[1], "https://") {
				continue
			}
			target, err := os.ReadFile(filepath.Join(alertPages, link[1]))
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if link[2] != "" && !slices.Contains(anchors(string(target)), link[2]) {
				t.Errorf("%s: %s has no heading for #%s", file, link[1], link[2])
			}
		}
	}
}

// anchors are the headings of a page as GitHub links to them.
func anchors(page string) []string {
	var list []string
	for line := range strings.Lines(page) {
		if title := strings.TrimLeft(line, "#"); title != line {
			plain := notInLink.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			list = append(list, strings.ReplaceAll(plain, " ", "-"))
		}
	}
	return list
}
