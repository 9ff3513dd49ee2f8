package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Runtimes in JavaScript check their events with ajv. It judges the corpus as the decoder does, but for what JSON Schema
// cannot say, and AsyncAPI's own parser finds nothing to complain about. The documents are what the program prints.
func TestSchemasInNode(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a while, and the race detector sees nothing in it that other tests do not show")
	}
	dir := copyPublishers(t)
	documents := t.TempDir()
	for _, d := range schemaDocuments() {
		r := call(t, nil, "", "schema", d.name)
		r.want(t, exitOK)
		if err := os.WriteFile(filepath.Join(documents, d.name), []byte(r.stdout), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	corpus, err := filepath.Abs("../../testdata/events")
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "schema.mjs", documents, corpus)
	node.Dir = dir
	out, err := node.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no problems") {
		t.Errorf("node schema.mjs: %v", err)
	}
	t.Logf("%s", out)
}
