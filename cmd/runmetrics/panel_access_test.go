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

// axe-core looks for what keeps people from using a page.
const (
	axeVersion = "axe-core@4.14.1"
	axeSHA256  = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

// loadAxe returns the script, which stays in the user's cache: only the first run needs a network.
func loadAxe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	kept := filepath.Join(cache, "runmetrics-test", axeVersion+".min.js")
	if script, err := os.ReadFile(kept); err == nil && fmt.Sprintf("%x", sha256.Sum256(script)) == axeSHA256 {
		return string(script)
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-save", "--ignore-scripts", "--no-audit",
		"--no-fund", axeVersion)
	if said, err := install.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("npm cannot install %s: %v: %s", axeVersion, err, bytes.TrimSpace(said)))
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(script)); sum != axeSHA256 {
		t.Fatalf("%s has sha256 %s, want %s", axeVersion, sum, axeSHA256)
	}
	if os.MkdirAll(filepath.Dir(kept), 0o755) == nil {
		_ = os.WriteFile(kept, script, 0o644) // else it is loaded again next time
	}
	return string(script)
}

// hostileScript is the first of hostileTexts in an address.
const hostileScript = "%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E"

// panelViews are all views, and what shows that one is drawn.
var panelViews = []struct{ name, address, drawn string }{
	{"runs", "#/", "document.querySelector('.runs tbody tr[data-key]') && document.querySelector('.spark')"},
	{"nothing found", "#/?campaignId=nobody", "document.querySelector('.waiting')"},
	{"run", "#/run/spring/run-5", "document.querySelector('.agents tbody tr') && document.querySelector('.histogram')"},
	{"hostile run", "#/run/" + hostileScript + "/" + hostileScript, "document.querySelector('.agents tbody tr')"},
	{"campaign", "#/campaign/spring", "document.querySelectorAll('.chart canvas').length === 3"},
	{"dead letters", "#/deadletters", "document.querySelector('.letters .message')"},
	{"pipeline", "#/state", "document.querySelector('.part')"},
}

// testPanelAccess looks at every view in both themes, on a desk and on a phone.
func testPanelAccess(t *testing.T, _ *panelWorld, p *tab) {
	axe := loadAxe(t)
	for _, theme := range []string{"light", "dark"} {
		p.theme(theme)
		p.open("")
		p.do(axe)
		for _, view := range panelViews {
			for _, width := range []int64{1440, 390} {
				p.size(width, 900)
				p.at(view.address)
				p.settled()
				p.until(view.name+" is drawn", view.drawn)
				what := fmt.Sprintf("%s %d %s", view.name, width, theme)
				p.screenshot(what)
				if theme == "dark" && width < 1000 {
					continue // colours are those of the desk, all else is that of light
				}
				for _, violation := range eval[[]string](p, axeRun) {
					t.Errorf("%s: %s", what, violation)
				}
			}
			p.size(320, 700)
			if wide := eval[int](p, "document.documentElement.scrollWidth"); wide > 320 {
				t.Errorf("%s is %d wide on a screen of 320", view.name, wide)
			}
		}
	}
}

// axeRun names what is serious or critical, and where.
const axeRun = `axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
	.filter(({impact}) => ["serious", "critical"].includes(impact))
	.map(({id, nodes}) => id + ": " + nodes.slice(0, 3).map((node) => node.target + " " + node.failureSummary).join(" | ")))`
