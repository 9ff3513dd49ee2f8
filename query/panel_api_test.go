package query_test

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/query"
)

func panelGet(t *testing.T, w *world, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

func TestPanelIsServedWithAPolicyThatRunsNothingButItsOwnFiles(t *testing.T) {
	w := newWorld(t, nil)
	for target, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/panel/index.html": "text/html; charset=utf-8", "/panel/js/main.js": "text/javascript; charset=utf-8",
		"/panel/css/base.css": "text/css; charset=utf-8", "/panel/icon.svg": "image/svg+xml", "/panel/vendor/LICENSE": "text/plain; charset=utf-8",
	} {
		answer := panelGet(t, w, target)
		h := answer.Result().Header
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 || h.Get("Content-Type") != contentType {
			t.Errorf("%s: %d, %q", target, answer.Code, h.Get("Content-Type"))
		}
		policy := h.Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "script-src 'self';") ||
			!strings.Contains(policy, "frame-ancestors 'none'") || len(h.Values("Content-Security-Policy")) != 1 {
			t.Errorf("%s: policy %q", target, policy)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %v", target, h)
		}
		again := panelGet(t, w, target, "If-None-Match", h.Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: %d with %d bytes to who has it", target, again.Code, again.Body.Len())
		}
	}
	for _, target := range []string{"/panel", "/panel/", "/panel/js/", "/panel/nothing.js", "/panel/../server.go", "/index.html"} {
		if answer := panelGet(t, w, target); answer.Code < 300 {
			t.Errorf("%s: %d", target, answer.Code)
		}
	}
}

func TestPanelIsOpenWhereTheAPIAsksForAKey(t *testing.T) {
	keys, err := query.ParseKeys(strings.NewReader("a read " + strings.Repeat("0", 64)))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *query.Config) { c.Keys = keys })
	for target, want := range map[string]int{"/": 200, "/panel/js/main.js": 200, "/api/metrics/campaign": 401} {
		if answer := panelGet(t, w, target); answer.Code != want {
			t.Errorf("%s: %d, want %d", target, answer.Code, want)
		}
	}
}

// panelSources are the panel's own files by their paths, without what others wrote.
func panelSources(t *testing.T) map[string]string {
	t.Helper()
	sources := map[string]string{}
	err := fs.WalkDir(os.DirFS("panel"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "vendor/") {
			return err
		}
		text, err := os.ReadFile(path.Join("panel", name))
		sources[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// What the policy would stop, and what would make markup of a text, is not even written.
func TestPanelMakesNoMarkupOfTexts(t *testing.T) {
	never := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc|\beval\(|new Function|https?://`)
	inline := regexp.MustCompile(`(?i)<[^>]*\s(on\w+|style)\s*=|<style|<script>|javascript:`)
	known := regexp.MustCompile(`http://www\.w3\.org/2000/svg`)
	for name, text := range panelSources(t) {
		text = known.ReplaceAllString(text, "")
		if found := never.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
		if found := inline.FindString(text); strings.HasSuffix(name, ".html") && found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
}

// The page and its modules name each other: nothing is missing, and nothing is there for nothing.
func TestPanelFilesAreThereAndUsed(t *testing.T) {
	sources := panelSources(t)
	used := map[string]bool{"index.html": true}
	reference := regexp.MustCompile(`(?:href|src)="panel/([^"]+)"|(?:from|import) "\./([^"]+)"|"panel/(vendor/[^"]+)"`)
	for _, text := range sources {
		for _, match := range reference.FindAllStringSubmatch(text, -1) {
			name := match[1] + match[3]
			if match[2] != "" {
				name = "js/" + match[2]
			}
			used[name] = true
			if _, err := os.Stat(path.Join("panel", name)); err != nil {
				t.Errorf("%s is named but missing", name)
			}
		}
	}
	for name := range sources {
		if !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
}
