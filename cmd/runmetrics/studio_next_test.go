package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestStudioInNext builds a real Next.js application of the example and the files beside it, starts it before the real
// service, and uses it as a browser does. `make studio` runs it.
func TestStudioInNext(t *testing.T) {
	if os.Getenv("RUNMETRICS_TEST_NEXT") != "1" {
		t.Skip("builds an application of Next.js, which takes a minute and 400 MB: make studio")
	}
	s := newStudioService(t)
	w := &nextWorld{t: t, service: s}
	w.build()
	w.start()
	t.Run("relative-url", w.testRelativeURL)
	t.Run("revalidation", w.testRevalidation)
	t.Run("problems", w.testProblems)
	t.Run("stream", w.testStream)
	t.Run("page", w.testPage)
	t.Run("no-key-anywhere", w.testNoKey)
	t.Run("runmetrics-away", w.testAway)
}

// nextWorld is the application with the service behind it.
type nextWorld struct {
	t       *testing.T
	service *studioService
	dir     string
	url     string       // of the application
	streams atomic.Int64 // that the application holds open at the service
	got     bytes.Buffer // everything that was answered to a browser
}

// build puts the application together as its developers would, and builds it.
func (w *nextWorld) build() {
	w.t.Helper()
	files := copyStudio(w.t)
	w.dir = filepath.Join(files, "example")
	for from, to := range map[string]string{
		"package.json":      "package.json",
		"package-lock.json": "package-lock.json",
		"runmetrics.ts":     "lib/runmetrics.ts",
		"LiveMetrics.tsx":   "lib/LiveMetrics.tsx",
		"route.ts":          "app/api/metrics/campaign/[[...path]]/route.ts",
	} {
		to = filepath.Join(w.dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(files, from), to); err != nil {
			w.t.Fatal(err)
		}
	}
	began := time.Now()
	npm(w.t, w.dir, "ci")
	// Applications are not all as strict as the example.
	node(w.t, w.dir, nil, "node_modules/typescript/bin/tsc", "--noEmit", "--incremental", "false", "--strict", "false")
	installed := time.Now()
	out := node(w.t, w.dir, w.environ(), "node_modules/next/dist/bin/next", "build")
	built := time.Since(installed)
	w.t.Logf("installed in %s, built in %s:\n%s", installed.Sub(began).Round(time.Second), built.Round(time.Second), out)
}

// environ has URL and key in the build, too: nothing of them must get into what is built.
func (w *nextWorld) environ() []string {
	return []string{"NEXT_TELEMETRY_DISABLED=1", "RUNMETRICS_URL=" + w.service.api, "RUNMETRICS_KEY=" + w.service.key}
}

// start starts the application, before a proxy that counts open streams.
func (w *nextWorld) start() {
	w.t.Helper()
	service, err := url.Parse(w.service.api)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(service)
	proxy.FlushInterval = -1
	proxy.ErrorHandler = func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) }
	between := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stream") {
			w.streams.Add(1)
			defer w.streams.Add(-1)
		}
		r.Host = service.Host
		proxy.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(between.Close)
	ctx, cancel := context.WithCancel(context.Background())
	command := nodeCommand(ctx, w.dir, append(w.environ(), "RUNMETRICS_URL="+between.URL),
		"node_modules/next/dist/bin/next", "start", "-H", "127.0.0.1", "-p", "0")
	var out syncBuffer
	command.Stdout, command.Stderr = &out, &out
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cancel()
		_ = command.Wait() // it was killed
		w.t.Logf("next start said:\n%s", out.String())
	})
	until(w.t, patience, "the application says where it is", func() bool {
		_, after, said := strings.Cut(out.String(), "http://127.0.0.1:")
		if fields := strings.Fields(after); said && len(fields) > 0 && strings.Contains(after, "Ready") {
			w.url = "http://127.0.0.1:" + fields[0]
		}
		return w.url != ""
	})
}

const campaignPath = "/api/metrics/campaign"

// ask asks the application as a browser does: it takes compressed answers where they are offered.
func (w *nextWorld) ask(t *testing.T, method, path, body string, headers map[string]string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&w.got, response.Header, string(got))
	return answer{status: response.StatusCode, header: response.Header, body: got}
}

// studioReport is a report with nothing wrong.
func studioReport(runID string) string {
	return fmt.Sprintf(`{"campaignId":"next","runId":%q,"phase":"2-3","agentsTotal":3,"agentsSuccessful":3,"assetsGenerated":8,
		"tokensIn":1000,"tokensOut":2000,"costUSD":0.002,"latencyP95Ms":45000,"latencyAvgMs":38000}`, runID)
}

func (w *nextWorld) testRelativeURL(t *testing.T) {
	if a := w.ask(t, http.MethodPost, campaignPath, studioReport("relative"), nil); a.status != http.StatusCreated {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	for path, part := range map[string]string{
		campaignPath + "?limit=5":            `"costUSD":0.002`,
		campaignPath + "/next/runs/relative": `"costUSD":0.002`,
		campaignPath + "/next/summary":       `"costUSD":0.002`,
		"/recent":                            "relative: $0.002, 100 % of 3 agents", // read on the server
	} {
		if a := w.ask(t, http.MethodGet, path, "", nil); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(part)) {
			t.Errorf("GET %s: %d: %s", path, a.status, a.body)
		}
	}
}

func (w *nextWorld) testRevalidation(t *testing.T) {
	first := w.ask(t, http.MethodGet, campaignPath, "", nil)
	etag := first.header.Get("ETag")
	again := w.ask(t, http.MethodGet, campaignPath, "", map[string]string{"If-None-Match": etag})
	if etag == "" || again.status != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("ETag %q, then %d with %d bytes", etag, again.status, len(again.body))
	}
}

func (w *nextWorld) testProblems(t *testing.T) {
	a := w.ask(t, http.MethodPost, campaignPath, strings.Replace(studioReport("bad"), "0.002", "-1", 1), nil)
	if a.status != http.StatusBadRequest || !bytes.Contains(a.body, []byte("body.costUSD")) ||
		a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v: %s", a.status, a.header, a.body)
	}
	tricks := []string{"/..%2f..%2freadyz", "/%2e%2e/%2e%2e/readyz", "/x/runs/..%2f..", "/x/other", "/%5c%2e%2e", "//readyz"}
	for _, path := range tricks {
		a := w.ask(t, http.MethodGet, campaignPath+path, "", nil)
		if a.status != http.StatusNotFound && a.status != http.StatusBadRequest {
			t.Errorf("GET %s: %d: %s", path, a.status, a.body)
		}
	}
}

// testStream wants each change within a second, compressed or not, and nothing left open behind a client that left.
func (w *nextWorld) testStream(t *testing.T) {
	for _, encoding := range []string{"identity", "gzip, deflate, br, zstd"} {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+campaignPath+"/stream?campaignId=next&limit=0", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", encoding)
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		fmt.Fprintln(&w.got, response.Header)
		lines := bufio.NewScanner(response.Body)
		seek := func(part string) {
			for lines.Scan() {
				fmt.Fprintln(&w.got, lines.Text())
				if strings.Contains(lines.Text(), part) {
					return
				}
			}
			t.Fatalf("the stream ended before %s: %v", part, lines.Err())
		}
		seek("event: ready")
		run := "streamed to " + encoding
		began := time.Now()
		w.ask(t, http.MethodPost, campaignPath, studioReport(run), nil)
		seek(run)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: told after %s", encoding, took)
		} else {
			t.Logf("%s: told %s after the POST began", encoding, took.Round(time.Millisecond))
		}
		leave()
		until(t, 5*time.Second, "the stream behind the application has ended", func() bool { return w.streams.Load() == 0 })
	}
}

// testNoKey looks into everything that was built, and everything that was answered.
func (w *nextWorld) testNoKey(t *testing.T) {
	_, secret, _ := strings.Cut(w.service.key, ".")
	files := 0
	err := fs.WalkDir(os.DirFS(filepath.Join(w.dir, ".next")), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(filepath.Join(w.dir, ".next", path))
		if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(w.service.api)) {
			t.Errorf("%s has the key or the URL", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(w.got.Bytes(), []byte(secret)) {
		t.Error("an answer has the key")
	}
	t.Logf("%d built files and %d bytes of answers", files, w.got.Len())
}

func (w *nextWorld) testAway(t *testing.T) {
	w.service.process.stop(t)
	a := w.ask(t, http.MethodGet, campaignPath, "", nil)
	if a.status != http.StatusBadGateway {
		t.Errorf("%d: %s", a.status, a.body)
	}
}
