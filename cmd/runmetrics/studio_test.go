package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestStudio tries what Studio's developers copy: compiled as strictly as TypeScript can, with the real types of Next.js
// and React, and run by Node against the real service. Each script has a service of its own.
func TestStudio(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a while, and the race detector sees nothing in it that other tests do not show")
	}
	dir := copyStudio(t)
	if err := os.Symlink(installStudio(t), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	t.Run("types-of-the-API", func(t *testing.T) {
		t.Parallel()
		testStudioTypes(t, dir)
	})
	node(t, dir, nil, "node_modules/typescript/bin/tsc", "--outDir", "built")
	scripts, err := filepath.Glob(filepath.Join(dir, "test/*.test.ts"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".test.ts")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newStudioService(t).try(t, dir, "built/test/"+name+".test.js")
		})
	}
}

// testStudioTypes generates api.ts from the OpenAPI document as it is checked in, and compares.
func testStudioTypes(t *testing.T, dir string) {
	document, err := filepath.Abs("../../query/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	node(t, dir, nil, "generate.mjs", document, "made.ts")
	want, err := os.ReadFile(filepath.Join(dir, "made.ts"))
	if err != nil {
		t.Fatal(err)
	}
	checkedIn := filepath.Join(studioDir, "api.ts")
	if *update {
		if err := os.WriteFile(checkedIn, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(checkedIn); err != nil || !bytes.Equal(got, want) {
		t.Errorf("api.ts is not what openapi.json says (%v): go test ./cmd/runmetrics -run TestStudio/types -update", err)
	}
}

// What the README for Studio shows stands in a file that is compiled, and built or run.
func TestStudioReadmeShowsWhatIsTried(t *testing.T) {
	t.Parallel()
	var tried []string
	for _, pattern := range []string{"example/app/*.ts*", "example/app/*/*.tsx", "test/*.test.ts"} {
		files, err := filepath.Glob(filepath.Join(studioDir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing is like %s: %v", pattern, err)
		}
		for _, file := range files {
			tried = append(tried, unindented(t, file))
		}
	}
	readme := unindented(t, filepath.Join(studioDir, "README.md"))
	blocks := regexp.MustCompile("(?s)```tsx?\n(.*?)\n```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 6 {
		t.Errorf("found %d blocks", len(blocks))
	}
	for _, block := range blocks {
		if !slices.ContainsFunc(tried, func(text string) bool { return strings.Contains(text, block[1]) }) {
			t.Errorf("stands in no file that is tried:\n%s", block[1])
		}
	}
}

// unindented reads a file without the blanks at both ends of its lines.
func unindented(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// node runs a script to its end, which must be a good one, and returns what it printed.
func node(t *testing.T, dir string, environ []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := nodeCommand(ctx, dir, environ, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("node %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func nodeCommand(ctx context.Context, dir string, environ []string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "node", args...)
	command.Dir = dir
	command.WaitDelay = 5 * time.Second // for children of its own that hold its output
	command.Env = append(os.Environ(), "http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=")
	command.Env = append(command.Env, environ...)
	return command
}

// studioService is a service with keys, which a script can have started again.
type studioService struct {
	environ  map[string]string
	process  *process
	api      string
	key      string // may read and write
	readKey  string // may only read
	restarts chan chan<- struct{}
}

func newStudioService(t *testing.T) *studioService {
	t.Helper()
	s := &studioService{environ: embedded(t), restarts: make(chan chan<- struct{})}
	var lines [2]string
	lines[0], s.key = newStudioKey(t, "studio", "read,write")
	lines[1], s.readKey = newStudioKey(t, "reader", "read")
	s.environ["API_KEYS_FILE"] = writeFile(t, strings.Join(lines[:], ""))
	s.process = startService(t, s.environ)
	s.api = s.process.up(t).API
	s.environ["HTTP_ADDR"] = strings.TrimPrefix(s.api, "http://")
	return s
}

// newStudioKey makes a key as its user does.
func newStudioKey(t *testing.T, name, scopes string) (line, token string) {
	t.Helper()
	r := call(t, nil, "", "keys", "new", name, "--scopes", scopes)
	r.want(t, exitOK)
	for _, word := range strings.Fields(r.stderr) {
		if strings.HasPrefix(word, name+".") {
			return r.stdout, word
		}
	}
	t.Fatalf("no token in %s", r.stderr)
	return "", ""
}

func (s *studioService) restart(t *testing.T) {
	t.Helper()
	if code := s.process.stop(t); code != exitOK {
		t.Fatalf("exit code %d: %s", code, s.process.stderr.String())
	}
	s.process = startService(t, s.environ)
	s.process.up(t)
}

// ServeHTTP starts the service again for a script, which is answered once it is up.
func (s *studioService) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	up := make(chan struct{})
	select {
	case s.restarts <- up:
		<-up
	case <-r.Context().Done():
	}
}

// try runs a script against the service. It must end well.
func (s *studioService) try(t *testing.T, dir, script string) {
	t.Helper()
	control := httptest.NewServer(s)
	defer control.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := nodeCommand(ctx, dir, []string{"STUDIO_URL=" + s.api, "STUDIO_KEY=" + s.key, "STUDIO_READ_KEY=" + s.readKey,
		"STUDIO_CONTROL=" + control.URL}, "--test-reporter=spec", script)
	var out syncBuffer
	command.Stdout, command.Stderr = &out, &out
	ended := make(chan error, 1)
	go func() { ended <- command.Run() }()
	for {
		select {
		case up := <-s.restarts:
			s.restart(t)
			close(up)
		case err := <-ended:
			t.Log(out.String())
			if err != nil {
				t.Errorf("%s: %v", script, err)
			}
			return
		}
	}
}
