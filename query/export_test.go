package query_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

// withRuns makes a window with n runs of one campaign and one of another.
func withRuns(t *testing.T, n int, changes func(*query.Config)) *world {
	w := newWorld(t, changes)
	var list []events.Event
	for i := range n {
		k := events.Key{CampaignID: "c", RunID: fmt.Sprintf("run-%04d", i), Phase: "1"}
		list = append(list, execution(k, "e", "a", start.Add(time.Duration(i/3)*time.Second), 5))
	}
	w.apply(list...)
	w.apply(execution(events.Key{CampaignID: "other", RunID: "x", Phase: "1"}, "e", "a", start.Add(-time.Hour), 7))
	return w
}

// lines reads records that stand one a line.
func lines(t *testing.T, text string) []object {
	t.Helper()
	var list []object
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for {
		var o object
		if err := d.Decode(&o); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
}

func TestExportHasEveryRecordThatMatchesAsTheListingShowsIt(t *testing.T) {
	t.Parallel()
	w := withRuns(t, 1203, nil)
	got := w.send(http.MethodGet, campaign+"?format=ndjson", "")
	if kind := got.Header().Get("Content-Type"); got.Code != http.StatusOK || kind != "application/x-ndjson" {
		t.Fatalf("status %d, %s", got.Code, kind)
	}
	if name := got.Header().Get("Content-Disposition"); name != `attachment; filename="runmetrics-20260214T120000Z.ndjson"` {
		t.Errorf("Content-Disposition %s", name)
	}
	exported := lines(t, got.Body.String())
	var listed []object
	for target := campaign + "?limit=500"; target != ""; {
		page := w.get(target)
		listed = append(listed, page.list("metrics")...)
		target = ""
		if cursor, more := page["nextCursor"].(string); more {
			target = campaign + "?limit=500&cursor=" + cursor
		}
	}
	if len(exported) != 1204 || jsonOf(exported) != jsonOf(listed) {
		t.Errorf("%d records are exported, %d listed", len(exported), len(listed))
	}
	for query, want := range map[string]int{"&limit=1": 1, "&limit=500": 500, "&limit=501": 501, "&limit=90000": 1204,
		"&campaignId=other": 1, "&campaignId=none": 0, "&status=running&until=2026-02-14T12:00:01Z": 4} {
		if n := len(lines(t, w.send(http.MethodGet, campaign+"?format=ndjson"+query, "").Body.String())); n != want {
			t.Errorf("%s: %d records, want %d", query, n, want)
		}
	}
	cursor := w.get(campaign + "?limit=200")["nextCursor"].(string)
	if rest := lines(t, w.send(http.MethodGet, campaign+"?format=ndjson&cursor="+cursor, "").Body.String()); len(rest) != 1004 {
		t.Errorf("%d records behind a cursor", len(rest))
	}
}

func TestCSVHasTheFieldsInTheOrderOfTheAPIAndTheirValuesAsJSON(t *testing.T) {
	t.Parallel()
	w := withRuns(t, 3, nil)
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, strings.Replace(example, "0.002", "123456789.123456789", 1)))
	got := w.send(http.MethodGet, campaign+"?format=csv", "")
	if kind := got.Header().Get("Content-Type"); kind != "text/csv; charset=utf-8; header=present" {
		t.Errorf("Content-Type %s", kind)
	}
	text := got.Body.String()
	if strings.Count(text, "\r\n") != 6 || strings.Count(text, "\n") != 6 {
		t.Errorf("line ends: %q", text)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var raw struct{ Metrics []json.RawMessage }
	if err := json.Unmarshal(w.send(http.MethodGet, campaign, "").Body.Bytes(), &raw); err != nil {
		t.Fatal(err)
	}
	for i, record := range raw.Metrics {
		var names, cells []string
		d := json.NewDecoder(strings.NewReader(string(record)))
		d.UseNumber()
		_, _ = d.Token()
		for d.More() {
			name, _ := d.Token()
			value, _ := d.Token()
			names = append(names, name.(string))
			cell := fmt.Sprint(value)
			if value == nil {
				cell = ""
			}
			cells = append(cells, cell)
		}
		if !slices.Equal(rows[0], names) || !slices.Equal(rows[i+1], cells) {
			t.Errorf("%q\n%q\nwant\n%q\n%q", rows[0], rows[i+1], names, cells)
		}
	}
	if !strings.Contains(text, ",123456789.123456789,") {
		t.Errorf("money: %s", text)
	}
}

func TestNoTextOfAnExportIsTakenForAFormula(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	names := map[string]string{ // and as a cell
		"=cmd|'/C calc'!A0": "'=cmd|'/C calc'!A0", "+1": "'+1", "-1+2": "'-1+2", "@SUM(A1)": "'@SUM(A1)", "＝1": "'＝1",
		"a=1": "a=1", "'=1": "'=1", `say "hi", twice`: `say "hi", twice`, "<script>": "<script>", " =1": " =1",
	}
	for name := range names {
		w.apply(execution(events.Key{CampaignID: name, RunID: name, Phase: "-1"}, "e", "a", start, 5))
	}
	rows, err := csv.NewReader(w.send(http.MethodGet, campaign+"?format=csv", "").Body).ReadAll()
	if err != nil || len(rows) != len(names)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		found := false
		for _, cell := range names {
			found = found || row[0] == cell && row[1] == cell
		}
		if !found || row[2] != "'-1" {
			t.Errorf("row %q", row)
		}
	}
}

func TestFormatIsChosenByParameterOrHeader(t *testing.T) {
	t.Parallel()
	w := withRuns(t, 1, nil)
	for _, c := range [][3]string{
		{"", "", "application/json"}, {"", "*/*", "application/json"}, {"", "text/html,*/*;q=0.8", "application/json"},
		{"", "text/csv", "text/csv"}, {"", "application/x-ndjson", "application/x-ndjson"},
		{"", "application/json;q=0.5, text/csv", "text/csv"}, {"", "text/csv;q=0.5, application/json", "application/json"},
		{"csv", "application/json", "text/csv"}, {"json", "text/csv", "application/json"}, {"ndjson", "", "application/x-ndjson"},
		{"", ";;q=,,text/", "application/json"},
	} {
		got := w.send(http.MethodGet, campaign+"?format="+c[0], "", "Accept", c[1])
		if kind, _, _ := strings.Cut(got.Header().Get("Content-Type"), ";"); got.Code != http.StatusOK || kind != c[2] || !varies(got.Header(), "Accept") {
			t.Errorf("%q: status %d, %v", c, got.Code, got.Header())
		}
	}
	head := w.send(http.MethodHead, campaign+"?format=csv", "")
	if head.Code != http.StatusOK || head.Body.Len() != 0 || !strings.HasPrefix(head.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("HEAD: %d, %v", head.Code, head.Header())
	}
}

func TestExportRefusesWhatTheListingRefusesBeforeItBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?format=xml&limit=0&status=odd", ""),
		"query.format", "query.limit", "query.status")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?format=csv&limit=-1&cursor=x", ""), "query.limit")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?format=csv&cursor=x", ""), "query.cursor")
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodGet, campaign+"?format=csv&runId=%zz", ""))
	keyed, _, write := withKeys(t)
	keyed.wantProblem(http.StatusForbidden, keyed.send(http.MethodGet, campaign+"?format=csv", "", "X-API-Key", write))
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	got := w.send(http.MethodGet, campaign+"?format=csv", "")
	w.wantProblem(http.StatusServiceUnavailable, got)
	if got.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// secondPageFails is a store that goes away behind the first page.
type secondPageFails struct{ sinks.Reader }

func (r secondPageFails) List(ctx context.Context, f sinks.Filter, after *sinks.Cursor, limit int) ([]aggregate.Metrics, error) {
	if after != nil {
		return nil, sinks.ErrUnavailable
	}
	return r.Reader.List(ctx, f, after, limit)
}

func TestExportThatFailsHalfwayIsCutOff(t *testing.T) {
	t.Parallel()
	w := withRuns(t, 600, func(c *query.Config) { c.Reader = secondPageFails{c.Reader} })
	url, _ := serve(t, w.handler)
	for _, format := range []string{"csv", "ndjson"} {
		answer, err := http.Get(url + campaign + "?format=" + format)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err == nil || len(body) == 0 {
			t.Errorf("%s: %d bytes were taken for all: %v", format, len(body), err)
		}
	}
	if log := w.log.String(); strings.Count(log, "export cut off") != 2 || strings.Contains(log, "panicked") {
		t.Errorf("log: %s", log)
	}
}

// patient counts how often the time is set within which an answer must be taken.
type patient struct {
	*httptest.ResponseRecorder
	deadlines int
}

func (p *patient) SetWriteDeadline(time.Time) error {
	p.deadlines++
	return nil
}

func TestExportGivesTheClientTimeForEachPage(t *testing.T) {
	t.Parallel()
	w := withRuns(t, 1203, nil)
	r := httptest.NewRequest(http.MethodGet, campaign+"?format=csv", nil)
	r.Host = "localhost"
	got := &patient{ResponseRecorder: httptest.NewRecorder()}
	w.handler.ServeHTTP(got, r)
	if got.Code != http.StatusOK || got.deadlines != 3 {
		t.Errorf("status %d, %d deadlines", got.Code, got.deadlines)
	}
}
