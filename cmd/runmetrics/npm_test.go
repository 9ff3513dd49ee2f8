package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// installModules returns the directory of the modules that a directory's lock names. They stay in the user's cache, so that
// only the first run needs a network.
func installModules(t *testing.T, name, dir string, args ...string) (modules string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed")
		}
	}
	files := map[string][]byte{"package.json": nil, "package-lock.json": nil}
	for file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		files[file] = text
	}
	cache, err := os.UserCacheDir()
	if cache = filepath.Join(cache, "runmetrics-test"); err != nil || os.MkdirAll(cache, 0o755) != nil {
		cache = t.TempDir()
	}
	installed := filepath.Join(cache, fmt.Sprintf("%s-%x", name, sha256.Sum256(files["package-lock.json"])))
	modules = filepath.Join(installed, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	building, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(building)
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(building, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	npm(t, building, append([]string{"ci"}, args...)...)
	if err := os.Rename(building, installed); err != nil {
		if _, gone := os.Stat(modules); gone != nil { // else somebody was faster
			t.Fatal(err)
		}
	}
	return modules
}

// npm installs what the directory's lock names.
func npm(t *testing.T, dir string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "npm", append(args, "--ignore-scripts", "--no-audit", "--no-fund",
		"--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000")...)
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		missing(t, fmt.Sprintf("npm cannot install what the test uses: %v: %s", err, line))
	}
}

// missing ends a test that needs what this machine does not have. Where everything must be tested, that is a failure.
func missing(t *testing.T, problem string) {
	t.Helper()
	if os.Getenv("RUNMETRICS_TEST_ALL") == "1" {
		t.Fatalf("%s, and RUNMETRICS_TEST_ALL=1 allows no skip", problem)
	}
	t.Skip(problem)
}
