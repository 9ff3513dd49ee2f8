package emulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// targetsOf is an UpsertMultiple of rows from first on, as runmetrics writes them.
func targetsOf(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, `,{"@odata.type":"Microsoft.Dynamics.CRM.apex_campaignmetric","apex_campaignmetricid":"%s",`+
			`"apex_name":"campaign-%d · run-%d · 1","apex_campaignid":"campaign-%d","apex_runid":"run-%d","apex_phase":"1",`+
			`"apex_agentstotal":%d,"apex_agentssuccessful":%d,"apex_assetsgenerated":7,"apex_latencyp95ms":2300,"apex_latencyavgms":1200,`+
			`"apex_tokensin":%d,"apex_tokensout":5200,"apex_costusd":%d.12345,"apex_successrate":87.5,"apex_createdat":"2026-01-01T00:%02d:%02dZ"}`,
			uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), i/10, i, i/10, i, i%50, i%40, i, i%100, i/60%60, i%60)
	}
	return `{"Targets":[` + b.String()[1:] + `]}`
}

// serve calls the Web API without token and network.
func serve(b testing.TB, a *api, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1/api/data/v9.2/"+target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	if w.Code >= http.StatusBadRequest {
		b.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w
}

// BenchmarkUpsertMultiple writes a thousand rows, again and again, in memory and on disk.
func BenchmarkUpsertMultiple(b *testing.B) {
	body := targetsOf(0, 1000)
	for _, where := range []string{"memory", "disk"} {
		b.Run(where, func(b *testing.B) {
			c := Config{}
			if where == "disk" {
				c.Dir = b.TempDir()
			}
			e, err := New(c)
			if err != nil {
				b.Fatal(err)
			}
			a := &api{data: e.data, targets: func(int) {}}
			for b.Loop() {
				serve(b, a, http.MethodPost, bulkOf("UpsertMultiple"), body)
			}
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkMillionRows fills a table with a million rows on disk, a thousand at a time, pages through it in two orders, and
// opens it again.
func BenchmarkMillionRows(b *testing.B) {
	const rows, chunk = 1_000_000, 1000
	bodies := make([]string, rows/chunk)
	for i := range bodies {
		bodies[i] = targetsOf(i*chunk, chunk)
	}
	for b.Loop() {
		dir := b.TempDir()
		e, err := New(Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		a := &api{data: e.data, targets: func(int) {}}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, body := range bodies {
			serve(b, a, http.MethodPost, "apex_campaignmetrics/Microsoft.Dynamics.CRM.UpsertMultiple", body)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/rows, "bytes/row")
		for _, order := range []string{"", "&$orderby=apex_createdat%20desc"} {
			start, pages := time.Now(), 0
			for next := "apex_campaignmetrics?$select=apex_name,apex_costusd" + order; next != ""; pages++ {
				var page struct {
					Next string `json:"@odata.nextLink"`
				}
				w := serve(b, a, http.MethodGet, next, "")
				if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
					b.Fatal(err)
				}
				next = strings.TrimPrefix(page.Next, "http://127.0.0.1/api/data/v9.2/")
			}
			if pages != rows/maxPage {
				b.Fatalf("%d pages", pages)
			}
			b.ReportMetric(float64(time.Since(start).Milliseconds())/float64(pages), "ms/page"+order[:min(len(order), 9)])
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if e, err = New(Config{Dir: dir}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/open")
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
