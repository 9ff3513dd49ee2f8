package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// TestPanel looks at the panel as its users do, in a browser, on a service that has runs of all kinds. Whatever the page
// writes to the console as an error, a breach of its content policy too, fails the test.
func TestPanel(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	t.Parallel()
	browser := openBrowser(t)
	w := newPanelWorld(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, w *panelWorld, p *tab)
	}{
		{"numbers and texts are fit for people", testPanelFormats},
		{"figures and rows are the API's", testPanelFigures},
		{"filters", testPanelFilters},
		{"a run in detail", testPanelRun},
		{"a campaign", testPanelCampaign},
		{"keyboard", testPanelKeyboard},
		{"pause", testPanelPause},
		{"hostile texts", testPanelHostile},
		{"hostile texts in CSV and on the command line", testPanelHostileElsewhere},
		{"accessible in both themes and on phones", testPanelAccess},
		{"a run comes and moves while one looks", testPanelLive},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, w, newTab(t, browser, w.API)) })
	}
	t.Run("the server goes away and comes back", func(t *testing.T) {
		p := newTab(t, browser, "")
		testPanelRestart(t, p)
	})
	t.Run("a key is asked for", func(t *testing.T) {
		p := newTab(t, browser, "")
		testPanelKey(t, p)
	})
}

// testPanelRestart stops the service under the panel, and starts it again at the same address with more to show.
func testPanelRestart(t *testing.T, p *tab) {
	environ := embedded(t)
	w := startPanelWorld(t, environ)
	key := events.Key{CampaignID: "spring", RunID: "before", Phase: "1"}
	w.conduct(t, key, w.now.Add(-time.Hour), 4, events.OutcomeCompleted)
	w.caughtUp(t)
	p.api = w.API
	p.open("")
	p.settled()
	p.untilRuns("before")
	p.tolerate()
	w.stop(t)
	p.until("it says since when it is stale",
		"/Reconnecting… stale since \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('.connection').textContent)")
	if runs := shownRuns(p); runs != "before" {
		t.Errorf("while the server is away, the runs are %q", runs)
	}
	p.screenshot("server away")

	began := time.Now()
	again := startPanelWorld(t, with(environ, map[string]string{"HTTP_ADDR": strings.TrimPrefix(w.API, "http://")}))
	key.RunID = "after"
	again.conduct(t, key, again.now.Add(-time.Minute), 4, events.OutcomeCompleted)
	again.caughtUp(t)
	p.settled()
	p.untilRuns("after before")
	t.Logf("right again %s after the restart began", time.Since(began).Round(time.Millisecond))
	// The runs are counted as soon as the first event of the new one is there, the cost is right with its last.
	want := fmt.Sprint(again.api(t, "/"+eval[string](p, "document.querySelector('.tiles').dataset.source"))["costUSD"])
	p.until("the tiles follow", fmt.Sprintf("document.querySelector('[data-figure=costUSD] data').value === %q", want))
	again.wantTiles(p)
}

// testPanelKey gives a wrong key, then the right one, and forgets it.
func testPanelKey(t *testing.T, p *tab) {
	environ := embedded(t)
	made := call(t, environ, "", "keys", "new", "panel", "--scopes", "read")
	made.want(t, exitOK)
	environ["API_KEYS_FILE"] = filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(environ["API_KEYS_FILE"], []byte(made.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	w := startPanelWorld(t, environ)
	key := events.Key{CampaignID: "spring", RunID: "guarded", Phase: "1"}
	w.conduct(t, key, w.now.Add(-time.Hour), 4, events.OutcomeCompleted)
	p.api = w.API
	p.tolerate()
	p.open("")
	p.until("a key is asked for", "document.querySelector('dialog[open] input:focus')")
	p.screenshot("key")
	if shown := p.text("#version"); shown != "" {
		t.Errorf("who has no key is shown %q", shown)
	}
	p.press("panel.wrong\r")
	p.until("it is asked for again", "document.querySelector('dialog[open] .bad')?.textContent.includes('valid key')")
	p.press(regexp.MustCompile(`panel\.\S+`).FindString(made.stderr) + "\r")
	p.settled()
	p.untilRuns("guarded")
	p.until("the version is shown", fmt.Sprintf("document.querySelector('#version').textContent === %q", "runmetrics "+version()))
	p.reload()
	p.settled()
	p.untilRuns("guarded") // the tab keeps it
	p.do(`{ const made = URL.createObjectURL;
		URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return made.call(URL, blob); }; }`)
	p.click(".filters .end a")
	p.until("the export came with the key", "window.saved?.includes('guarded')")
	p.click("[data-tool=forget]")
	p.until("it is asked for again", "document.querySelector('dialog[open]')")
	p.click("dialog button[type=button]")
	p.until("it says what is missing", "document.querySelector('.connection').textContent === 'Needs a key'")
	if kept := eval[int](p, "sessionStorage.length + localStorage.length"); kept != 0 {
		t.Error("the key is still kept")
	}
}
