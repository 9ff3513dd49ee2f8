package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// testPage opens the application's page in Chromium: what is stored is there, a run that is written while the page is
// open appears within a second, and the page writes one itself. Whatever it complains of fails the test.
func (w *nextWorld) testPage(t *testing.T) {
	p := newTab(t, openBrowser(t), w.url)
	shows := func(text string) { p.until("shows "+text, fmt.Sprintf("document.body.innerText.includes(%q)", text)) }
	began := time.Now()
	p.open("")
	shows("Live")
	shows("relative")
	t.Logf("live after %s", time.Since(began).Round(time.Millisecond))
	w.ask(t, http.MethodPost, campaignPath, studioReport("while-open"), nil)
	began = time.Now()
	shows("while-open")
	if took := time.Since(began); took > time.Second {
		t.Errorf("shown after %s", took)
	} else {
		t.Logf("shown %s after the answer to the POST", took.Round(time.Millisecond))
	}
	p.click("button")
	shows("The run is stored.")
	shows("page-")
	p.screenshot("studio")
	t.Log(p.text("[role=status]"), eval[string](p, "document.querySelector('table').innerText"))
	loaded := eval[[]string](p, "performance.getEntriesByType('resource').map((entry) => entry.name)")
	for _, address := range append(loaded, w.url+"/") {
		if path, ours := strings.CutPrefix(address, w.url); ours && !strings.Contains(path, "/stream") {
			w.ask(t, http.MethodGet, path, "", nil)
		}
	}
}
