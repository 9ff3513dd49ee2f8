package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// quoteJS writes a text as JavaScript does.
func quoteJS(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(quoted)
}

// shownRuns are the ids of the runs in the table, in order.
func shownRuns(p *tab) string {
	p.Helper()
	return strings.Join(p.texts(".runs .cell-run"), " ")
}

func (p *tab) untilRuns(want string) {
	p.Helper()
	p.until("the runs are "+want, fmt.Sprintf(`[...document.querySelectorAll(".runs .cell-run")]
		.map((cell) => cell.textContent).join(" ") === %q`, want))
}

func testPanelFilters(t *testing.T, w *panelWorld, p *tab) {
	p.open("")
	p.settled()
	if runs := shownRuns(p); strings.Contains(runs, "last-month") || !strings.Contains(runs, "run-3") {
		t.Errorf("the last 24 hours have %s", runs)
	}
	p.fill("[name=campaignId]", "autumn")
	p.untilRuns("under-way called-off reported")
	p.settled()
	w.wantTiles(p)
	p.click("input[value=all]")
	p.untilRuns("under-way called-off reported last-month")
	p.do("{ const s = document.querySelector('[name=status]'); s.value = 'cancelled'; s.dispatchEvent(new Event('change')); }")
	p.untilRuns("called-off")
	p.settled()
	w.wantTiles(p)

	p.reload()
	p.settled()
	p.untilRuns("called-off") // the address has the filters
	p.fill("[name=phase]", "9")
	p.until("it says that nothing passes",
		"document.querySelector('.waiting')?.textContent.includes('No run passes these filters')")
	p.click(".waiting button")
	p.until("the filters are gone", "document.querySelectorAll('.runs tbody tr').length > 10")
	p.fill("input[type=search]", "SPRING run-2")
	p.untilRuns("run-2")
	p.fill("input[type=search]", "nothing has this")
	p.until("it says so", "document.querySelector('.waiting')?.textContent.includes('None of the loaded runs')")

	hrefs := eval[[]string](p, "[...document.querySelectorAll('.filters .end a')].map((a) => a.getAttribute('href'))")
	if fmt.Sprint(hrefs) != "[api/metrics/campaign?format=csv api/metrics/campaign?format=ndjson]" {
		t.Errorf("exports lead to %v", hrefs)
	}
}

func testPanelRun(t *testing.T, w *panelWorld, p *tab) {
	p.open("#/run/spring/run-5")
	p.until("the run is shown", "document.querySelector('.agents tbody tr')")
	detail := w.api(t, "/api/metrics/campaign/spring/runs/run-5")
	total := detail["total"].(numbers)
	facts := eval[map[string]string](p, `Object.fromEntries([...document.querySelectorAll(".facts > div")]
		.map((fact) => [fact.firstChild.textContent, fact.querySelector("data")?.value ?? ""]))`)
	for label, name := range map[string]string{"Success rate": "successRate", "Latency p50": "latencyP50Ms",
		"p95": "latencyP95Ms", "p99": "latencyP99Ms", "Average": "latencyAvgMs", "Cost": "costUSD", "Assets": "assetsGenerated"} {
		if facts[label] != written(total[name]) {
			t.Errorf("%s is %s, the API says %v", label, facts[label], total[name])
		}
	}
	if phases := p.count(".phases tbody tr"); phases != 2 {
		t.Errorf("%d phases, want 2", phases)
	}
	agents := detail["agents"].([]any)
	if rows := p.count(".agents tbody tr"); rows != len(agents) {
		t.Errorf("%d agents, want %d", rows, len(agents))
	}
	p.click(".agents [data-column=latency]")
	wantFigures(p, ".agents tbody tr:first-child td:nth-child(7)", total["latencyMaxMs"]) // the slowest comes first
	p.click(".agents td.message button")
	if p.count(".agents tr.open [aria-expanded=true]") != 1 {
		t.Error("an error does not unfold")
	}

	bars := eval[int](p, `[...document.querySelectorAll(".histogram .mark title")]
		.reduce((sum, title) => sum + parseInt(title.textContent), 0)`)
	counted := 0
	for _, a := range agents {
		if agent := a.(numbers); agent["latencyMs"] != nil && agent["status"] != "cancelled" {
			counted++
		}
	}
	if bars != counted {
		t.Errorf("the bars stand for %d agents, want %d", bars, counted)
	}
	if label := eval[string](p, "document.querySelector('.histogram').getAttribute('aria-label')"); !strings.Contains(label, "p95") {
		t.Errorf("the distribution is described as %q", label)
	}
	if lanes := p.count(".lane"); lanes == 0 || lanes > len(agents) {
		t.Errorf("%d lanes are drawn for %d agents", lanes, len(agents))
	}
	p.open("#/run/spring/nowhere")
	p.tolerate()
	p.until("it says that nothing is known",
		"document.querySelector('.notice')?.textContent.includes('Nothing is known of this run yet')")
}

func testPanelCampaign(t *testing.T, w *panelWorld, p *tab) {
	p.open("#/campaign/spring")
	p.settled()
	w.wantTiles(p)
	p.until("three charts are drawn", "document.querySelectorAll('.chart canvas').length === 3")
	for _, label := range eval[[]string](p, "[...document.querySelectorAll('.chart')].map((chart) => chart.ariaLabel)") {
		if !strings.Contains(label, "Newest: ") {
			t.Errorf("a chart is described as %q", label)
		}
	}
	p.click("figure .plain")
	records := w.api(t, "/api/metrics/campaign?campaignId=spring&limit=50")["metrics"].([]any)
	if rows := p.count("figure table tbody tr"); rows != len(records) {
		t.Errorf("the numbers of a chart have %d rows, the campaign has %d records", rows, len(records))
	}
}

func testPanelKeyboard(t *testing.T, _ *panelWorld, p *tab) {
	p.open("#/?campaignId=spring")
	p.settled()
	p.press(kb.Tab)
	if got := eval[string](p, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first stop is %q, want the link that skips the bar", got)
	}
	p.press(kb.Enter)
	p.press("jjk")
	if got := eval[string](p, "document.activeElement.textContent"); got != strings.Fields(shownRuns(p))[0] {
		t.Errorf("j j k leads to %q", got)
	}
	p.press(kb.ArrowDown + kb.End + kb.Home + kb.ArrowDown)
	second := strings.Fields(shownRuns(p))[1]
	if got := eval[string](p, "document.activeElement.textContent"); got != second {
		t.Errorf("the arrows lead to %q, want %s", got, second)
	}
	p.press(kb.Enter)
	p.until("the run is open",
		fmt.Sprintf("document.querySelector('h1')?.textContent === %q && document.activeElement.id === 'view'", second))
	p.do("history.back()")
	p.settled()
	p.press("/")
	if got := eval[string](p, "document.activeElement.type"); got != "search" {
		t.Errorf("/ leads to %q", got)
	}
	p.do("document.querySelector('[data-column=cost]').focus()")
	for _, want := range []string{"descending", "ascending"} {
		p.press(kb.Enter)
		if got := eval[string](p, "document.activeElement.closest('th').getAttribute('aria-sort')"); got != want {
			t.Errorf("aria-sort is %s, want %s", got, want)
		}
	}
	p.do("document.querySelector('[data-tool=theme]').focus()")
	before := eval[string](p, "getComputedStyle(document.body).backgroundColor")
	p.press(" ")
	if eval[string](p, "getComputedStyle(document.body).backgroundColor") == before {
		t.Error("the theme does not change")
	}
	p.reload()
	p.settled()
	if eval[string](p, "getComputedStyle(document.body).backgroundColor") == before {
		t.Error("the chosen theme is forgotten")
	}
	p.do("localStorage.clear()")
}

func testPanelPause(t *testing.T, w *panelWorld, p *tab) {
	p.open("")
	p.settled()
	p.click("[data-tool=pause]")
	p.until("it says that it is paused", "document.querySelector('.connection').textContent.startsWith('Paused, stale since')")
	p.click("[data-tool=pause]")
	p.settled()
	if got := p.text(".connection"); got != "Live" {
		t.Errorf("says %q", got)
	}
	w.wantTiles(p)
}
