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

const studioDir = "../../query/studio"

// copyStudio copies the files for Studio to where they may be compiled.
func copyStudio(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(studioDir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// installStudio returns the directory of the modules that the lock names, without what only a build of Next.js needs.
// They stay in the user's cache, so that only the first run needs a network.
func installStudio(t *testing.T) (modules string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed")
		}
	}
	lock, err := os.ReadFile(filepath.Join(studioDir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if cache = filepath.Join(cache, "runmetrics-test"); err != nil || os.MkdirAll(cache, 0o755) != nil {
		cache = t.TempDir()
	}
	installed := filepath.Join(cache, fmt.Sprintf("studio-%x", sha256.Sum256(lock)))
	modules = filepath.Join(installed, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	building, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(building)
	if err := os.CopyFS(building, os.DirFS(studioDir)); err != nil {
		t.Fatal(err)
	}
	npm(t, building, "ci", "--omit=optional")
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
		missing(t, fmt.Sprintf("npm cannot install what the files for Studio are tried with: %v: %s", err, line))
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
