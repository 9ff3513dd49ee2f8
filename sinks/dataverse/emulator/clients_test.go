package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const clientsDir = "testdata/clients"

// Clients that others wrote for Dataverse work with the emulator as they are: msal-node gets the tokens, dynamics-web-api
// does the rest. Each script checks one part, against an emulator of its own.
func TestThirdPartyClientsWorkUnmodified(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a while, and the race detector sees nothing in it that other tests do not show")
	}
	modules := installClients(t)
	scripts, err := filepath.Glob(filepath.Join(clientsDir, "*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".mjs")
		if name == "harness" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runClient(t, modules, filepath.Base(script))
		})
	}
}

// runClient runs a script with the installed modules against a new emulator, and logs what it checked.
func runClient(t *testing.T, modules, script string) {
	t.Helper()
	e, err := New(Config{Limits: DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	// Libraries refuse to send a secret over plain HTTP, even on this machine.
	server := httptest.NewTLSServer(e)
	defer server.Close()
	dir := t.TempDir()
	certificate := filepath.Join(dir, "server.pem")
	pemBlock := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(certificate, pemBlock, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "clients"), os.DirFS(clientsDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "clients", "node_modules")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", script)
	node.Dir = filepath.Join(dir, "clients")
	node.Env = append(os.Environ(), "DATAVERSE_URL="+server.URL, "NODE_EXTRA_CA_CERTS="+certificate,
		"http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=")
	out, err := node.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		t.Log(strings.TrimSuffix(line, "\n"))
	}
	if err != nil {
		t.Errorf("%s: %v", script, err)
	}
}

// installClients returns the directory of the modules that the lock names. They stay in the user's cache, so that only
// the first run needs a network.
func installClients(t *testing.T) (modules string) {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program+" is not installed")
		}
	}
	lock, err := os.ReadFile(filepath.Join(clientsDir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache := cacheDir(t)
	installed := filepath.Join(cache, fmt.Sprintf("clients-%x", sha256.Sum256(lock)))
	modules = filepath.Join(installed, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	building, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(building)
	if err := os.CopyFS(building, os.DirFS(clientsDir)); err != nil {
		t.Fatal(err)
	}
	installLocked(t, building)
	if err := os.Rename(building, installed); err != nil {
		if _, gone := os.Stat(modules); gone != nil { // else somebody was faster
			t.Fatal(err)
		}
	}
	return modules
}

// cacheDir is a directory that outlives the test, if there is one.
func cacheDir(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	dir := filepath.Join(cache, "runmetrics-test")
	if err != nil || os.MkdirAll(dir, 0o755) != nil {
		return t.TempDir()
	}
	return dir
}

// installLocked installs what the directory's lock names.
func installLocked(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
		"--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		missing(t, fmt.Sprintf("npm cannot install the clients: %v: %s", err, line))
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
