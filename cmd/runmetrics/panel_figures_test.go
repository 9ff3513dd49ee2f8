package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

func decodeNumbers(t *testing.T, raw []byte) numbers {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var n numbers
	if err := decoder.Decode(&n); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return n
}

// shownFigures are the values behind the numbers in an element, in order; the unknown ones are "–".
func shownFigures(p *tab, selector string) []string {
	p.Helper()
	return eval[[]string](p, fmt.Sprintf(`[...document.querySelector(%q).querySelectorAll("data, .unknown")]
		.map((node) => node.value ?? "–")`, selector))
}

// written is a value as JSON has it, "–" for null.
func written(value any) string {
	if value == nil {
		return "–"
	}
	return fmt.Sprint(value)
}

func wantFigures(p *tab, selector string, values ...any) {
	p.Helper()
	want := make([]string, len(values))
	for i, value := range values {
		want[i] = written(value)
	}
	if got := shownFigures(p, selector); fmt.Sprint(got) != fmt.Sprint(want) {
		p.Errorf("%s shows %v, the API says %v", selector, got, want)
	}
}

// wantTiles compares all tiles with the answer that the API gives to the same question.
func (w *panelWorld) wantTiles(p *tab) {
	p.Helper()
	source := eval[string](p, "document.querySelector('.tiles').dataset.source")
	s := w.api(p.T, "/"+source)
	for _, name := range []string{"costUSD", "successRate", "latencyP95Ms", "latencyAvgMs", "agentsRunning", "runs"} {
		wantFigures(p, fmt.Sprintf("[data-figure=%s]", name), s[name])
	}
	wantFigures(p, "[data-figure=tokens]", s["tokensIn"], s["tokensOut"])
}

func testPanelFigures(t *testing.T, w *panelWorld, p *tab) {
	p.open("#/?window=all")
	p.settled()
	w.wantTiles(p)
	if text := p.text("[data-figure=costUSD]"); !bytes.Contains([]byte(text), []byte("some executions reported no cost")) {
		t.Errorf("an incomplete cost reads %q", text)
	}
	list := w.api(t, "/api/metrics/campaign?limit=50")["metrics"].([]any)
	rows := eval[[]string](p, "[...document.querySelectorAll('.runs tbody tr')].map((row) => row.dataset.key)")
	if len(rows) != len(list) {
		t.Fatalf("%d rows, the API has %d records", len(rows), len(list))
	}
	for i, raw := range list {
		m := raw.(numbers)
		if rows[i] != m["runKey"] {
			t.Fatalf("row %d is of run %s, in the API it is %s", i, rows[i], m["runKey"])
		}
		wantRow(p, m)
	}
}

// wantRow compares a row of the table with the record.
func wantRow(p *tab, m numbers) {
	p.Helper()
	row := fmt.Sprintf("tr[data-key='%s'] ", m["runKey"])
	wantFigures(p, row+".cell-rate", m["successRate"])
	wantFigures(p, row+".cell-p95", m["latencyP95Ms"])
	wantFigures(p, row+".cell-average", m["latencyAvgMs"])
	wantFigures(p, row+".cell-tokens", m["tokensIn"], m["tokensOut"])
	wantFigures(p, row+".cell-cost", m["costUSD"])
	if text := p.text(row + ".cell-status"); text != m["status"] {
		p.Errorf("run %s shows status %q, the API says %s", m["runId"], text, m["status"])
	}
	done := int64(0)
	for _, name := range []string{"agentsSuccessful", "agentsFailed", "agentsCancelled"} {
		if n, ok := m[name].(json.Number); ok {
			i, _ := n.Int64()
			done += i
		}
	}
	agents := shownFigures(p, row+".cell-agents")
	if len(agents) != 2 || agents[0] != fmt.Sprint(done) {
		p.Errorf("run %s shows agents %v, the API says %d done", m["runId"], agents, done)
	}
}

// testPanelFormats tries what makes numbers and texts fit for people.
func testPanelFormats(t *testing.T, _ *panelWorld, p *tab) {
	p.open("")
	for expression, want := range map[string]string{
		"f.text(f.compact(0))":                                      "0",
		"f.text(f.compact(9812))":                                   "9,812",
		"f.text(f.compact(12345))":                                  "12.3 k",
		"f.text(f.compact(999999))":                                 "999 k",
		"f.text(f.compact(1234567))":                                "1.23 M",
		"f.text(f.money(0))":                                        "$0",
		"f.text(f.money(0.0021))":                                   "$0.0021",
		"f.text(f.money(0.000000001))":                              "$0.000000001",
		"f.text(f.money(3.48))":                                     "$3.48",
		"f.text(f.money(12345.67))":                                 "$12,346",
		"f.text(f.money(1234567))":                                  "$1.23 M",
		"f.text(f.duration(0))":                                     "0 ms",
		"f.text(f.duration(999))":                                   "999 ms",
		"f.text(f.duration(4200))":                                  "4.2 s",
		"f.text(f.duration(42000))":                                 "42 s",
		"f.text(f.duration(59999))":                                 "1 min",
		"f.text(f.duration(192000))":                                "3 min 12 s",
		"f.text(f.duration(7500000))":                               "2 h 05 min",
		"f.text(f.duration(200000000))":                             "2 d 07 h",
		"f.text(f.percent(100))":                                    "100 %",
		"f.text(f.percent(99.97))":                                  "99.9 %",
		"f.text(f.percent(0.01))":                                   "0.1 %",
		"f.text(f.percent(66.67))":                                  "66.7 %",
		"f.ago('2026-01-01T00:00:00Z', Date.UTC(2026,0,1,3))":       "3 h ago",
		"f.ago('2026-01-01T00:00:00Z', Date.UTC(2026,5,1))":         "2026-01-01",
		"x.plain('a\\u202eb\\u0007\\u200b')":                        "a⟨U+202E⟩b⟨U+0007⟩⟨U+200B⟩",
		"x.plain('👩\u200d🚀 می\u200cخواهم')":                         "👩\u200d🚀 می\u200cخواهم",
		"x.plain('a\\u200db')":                                      "a⟨U+200D⟩b",
		"a.parse('{\"costUSD\":1234567890.123456789}').costUSDText": "1234567890.123456789",
	} {
		got := eval[string](p, fmt.Sprintf(`Promise.all(["format", "text", "api"].map((name) => import("/panel/js/" + name + ".js")))
			.then(([f, x, a]) => (%s).replaceAll("\u202f", " "))`, expression))
		if got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
}

// testPanelLive publishes a run while the page is open, and watches it come and move: within a second as a rule, which is
// the median because others may use the machine, too.
func testPanelLive(t *testing.T, w *panelWorld, p *tab) {
	p.open("")
	p.settled()
	p.do("window.sameDocument = true")
	key := events.Key{CampaignID: "spring", RunID: "while-you-look", Phase: "1"}
	row := "document.querySelector('.runs tbody tr:first-child')?.textContent ?? ''"
	var delays []time.Duration
	await := func(what, expression string, publish func()) {
		began := time.Now()
		publish()
		p.until(what, expression)
		took := time.Since(began)
		t.Logf("%s: %s after it was published", what, took.Round(time.Millisecond))
		delays = append(delays, took)
	}
	began := time.Now().UTC().Truncate(time.Microsecond)
	await("the run is there", "("+row+").includes('while-you-look')", func() {
		w.tell(t, events.Event{Key: key, Type: events.RunStarted, OccurredAt: began, AgentsExpected: 4})
	})
	for i := range 3 {
		done := fmt.Sprintf("document.querySelector('.runs tbody tr:first-child .cell-agents data')?.value === '%d'", i+1)
		await(fmt.Sprintf("agent %d is done", i+1), done, func() {
			w.tell(t, events.Event{Key: key, Type: events.AgentFinished, AgentID: fmt.Sprint("a", i), Attempt: 1,
				OccurredAt: began.Add(time.Millisecond), Status: events.Succeeded, LatencyMs: 1200, TokensIn: 10, TokensOut: 5,
				Cost: events.USD(1_000_000)})
		})
	}
	await("the run has failed", "("+row+").includes('failed')", func() {
		w.tell(t, events.Event{Key: key, Type: events.RunFinished, OccurredAt: began.Add(time.Second),
			Outcome: events.OutcomeFailed})
	})
	slices.Sort(delays)
	if median := delays[len(delays)/2]; median > time.Second {
		t.Errorf("shown only %s after it was published", median)
	}
	w.caughtUp(t)
	// The last event changes the rate: the agent that never came did not succeed.
	want := fmt.Sprint(w.api(t, "/"+eval[string](p, "document.querySelector('.tiles').dataset.source"))["successRate"])
	p.until("the tiles follow", fmt.Sprintf("document.querySelector('[data-figure=successRate] data').value === '%s'", want))
	w.wantTiles(p)
	if !eval[bool](p, "window.sameDocument === true") {
		t.Error("the page was loaded again")
	}
	p.until("it is spoken of", "/new run/.test(document.getElementById('announcements').textContent)")
}
