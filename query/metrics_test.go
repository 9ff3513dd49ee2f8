package query_test

import (
	"net/http"
	"testing"

	"github.com/apexsalesai/runmetrics/query"
)

func TestMetricsAreShownAsTheyAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	got := w.send(http.MethodGet, "/metrics", "")
	if got.Code != http.StatusOK || got.Body.String() != "messages_total 7\n" ||
		got.Header().Get("Content-Type") != "text/plain; version=0.0.4" {
		t.Errorf("%d %v %s", got.Code, got.Header(), got.Body)
	}
	response := w.spec().object("paths").object("/metrics").object("get").object("responses").object("200")
	if _, described := response.object("content")["text/plain"]; !described {
		t.Errorf("described as %v", response)
	}
}

func TestMetricsOfAWindowWithoutAnyAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Metrics = nil })
	w.wantProblem(http.StatusNotFound, w.send(http.MethodGet, "/metrics", ""))
	if _, described := w.spec().object("paths")["/metrics"]; described {
		t.Error("the document names it")
	}
}
