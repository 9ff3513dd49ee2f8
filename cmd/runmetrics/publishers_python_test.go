package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const pythonDir = "../../testdata/publishers/python"

// python runs the load of the Python recipes, which compares what it finds with figures of its own. Each line that it prints
// is given to heard.
func python(t *testing.T, heard func(line string), args ...string) {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "python3 is not installed")
	}
	command := exec.CommandContext(t.Context(), interpreter, append([]string{"load.py"}, args...)...)
	command.Dir = pythonDir
	command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=*", "RUNMETRICS_KEY=a.key")
	var said bytes.Buffer
	command.Stderr = &said
	lines := &lineWriter{heard: func(line string) {
		t.Log(line)
		heard(line)
	}}
	command.Stdout = lines
	if err := command.Run(); err != nil {
		t.Fatalf("load.py %q: %v: %s", args, err, said.Bytes())
	}
}

// lineWriter tells of each line as it is written.
type lineWriter struct {
	heard func(line string)
	part  []byte
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.part = append(w.part, b...)
	for {
		line, rest, whole := bytes.Cut(w.part, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		w.heard(string(line))
		w.part = rest
	}
}

func ignore(string) {}

func TestPythonRecipesHaveOurRunKeys(t *testing.T) {
	t.Parallel()
	python(t, ignore, "runkeys", "../../runkey.json")
}

// The recipes are files to be copied one by one, so they cannot share what they have in common.
func TestPythonRecipesMakeTheSameEvents(t *testing.T) {
	t.Parallel()
	var common [2]string
	for i, name := range []string{"runmetrics_nats.py", "runmetrics_http.py"} {
		text, err := os.ReadFile(filepath.Join(pythonDir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, after, marked := strings.Cut(string(text), "# What follows is the same in ")
		_, common[i], _ = strings.Cut(after, "\n")
		if !marked {
			t.Fatalf("%s does not say what it has in common with the other", name)
		}
	}
	if common[0] != common[1] {
		t.Error("what runmetrics_nats.py and runmetrics_http.py have in common differs")
	}
}

// startDev starts what developers of a runtime try it with.
func startDev(t *testing.T) addresses {
	t.Helper()
	environ := with(embedded(t), map[string]string{"USE_DATAVERSE": "false"})
	return start(t, environ, "dev", "--no-agents").up(t)
}

// TestPythonPublishesOverHTTPThroughFaults puts the faults of networks and gateways before the service.
func TestPythonPublishesOverHTTPThroughFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	at := startDev(t)
	service, err := url.Parse(at.API)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(service)
	var posts, asked atomic.Int64 // asked: when the client was told to wait
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = service.Host
		if r.Method != http.MethodPost {
			proxy.ServeHTTP(w, r)
			return
		}
		if got := r.Header.Get("Authorization"); got != "Bearer a.key" {
			t.Errorf("Authorization %q", got)
		}
		r.Header.Del("Authorization")
		body, err := io.ReadAll(r.Body) // who answers before the end of a body may be cut off
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch posts.Add(1) {
		case 1: // stored, and the answer is lost
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case 2:
			asked.Store(time.Now().UnixMilli())
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			if waited := time.Since(time.UnixMilli(asked.Load())); waited < time.Second {
				t.Errorf("posted again after %s, was told to wait 1 s", waited)
			}
			http.Error(w, "a gateway's page", http.StatusServiceUnavailable)
		case 4:
			w.WriteHeader(http.StatusRequestTimeout)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	python(t, ignore, "http", front.URL)
	// 2,500 events in requests of 1,000, four faults, and one request with a wrong event.
	if n := posts.Load(); n != 8 {
		t.Errorf("%d requests, want 8", n)
	}
}

// guardedService starts a service that only users with passwords reach, and returns its API.
func guardedService(t *testing.T) (g *guarded, api string) {
	t.Helper()
	g = startGuarded(t)
	call(t, g.environ, "", "setup").want(t, exitOK)
	return g, startService(t, g.as("processor")).up(t).API
}

// TestPythonPublishesOverNATSThroughCuts needs nats-py, which PYTHONPATH may name. It has a publisher's rights and no more.
func TestPythonPublishesOverNATSThroughCuts(t *testing.T) {
	if os.Getenv("RUNMETRICS_TEST_NATSPY") != "1" {
		t.Skip("needs nats-py: RUNMETRICS_TEST_NATSPY=1")
	}
	t.Parallel()
	g, api := guardedService(t)
	wire := startProxy(t, g.address)
	cuts := 0
	python(t, func(line string) {
		if line == "cut me" {
			cuts++
			wire.cut()
		}
	}, "nats", strings.Replace(g.url("publisher"), g.address, wire.Addr().String(), 1), api)
	if cuts == 0 {
		t.Error("the connection was never cut")
	}
	g.said.wantNoViolation(t)
}
