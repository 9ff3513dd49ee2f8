package dataverse_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// pages serves rows numbered from 0, size of them on a page.
func pages(total, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := 0
		if token := r.URL.Query().Get("$skiptoken"); token != "" {
			_, _ = fmt.Sscanf(token, "<cookie at='%d'/>", &start)
		}
		var page struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink,omitempty"`
		}
		page.Value = []map[string]any{}
		for n := start; n < min(start+size, total); n++ {
			page.Value = append(page.Value, map[string]any{"n": n})
		}
		if start+size < total {
			page.Next = fmt.Sprintf("http://%s%s?$skiptoken=%%3Ccookie%%20at=%%27%d%%27/%%3E", r.Host, r.URL.Path, start+size)
		}
		_ = json.NewEncoder(w).Encode(page)
	}
}

func TestAQueryFollowsAllPages(t *testing.T) {
	t.Parallel()
	s := newService(t, pages(7, 3))
	q := dataverse.Query{Select: []string{"n", "m"}, Filter: "name eq " + dataverse.Quote("O'Neil & +100% ü"),
		OrderBy: "n desc", PageSize: 3}
	var got []string
	for row, err := range s.client().Query(t.Context(), "things", q) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(row["n"]))
	}
	if want := []string{"0", "1", "2", "3", "4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	requests, _ := s.seen()
	if len(requests) != 3 {
		t.Fatalf("%d requests", len(requests))
	}
	for _, r := range requests {
		if got := r.Header.Get("Prefer"); got != "odata.maxpagesize=3" {
			t.Errorf("%s: Prefer: %s", r.URL, got)
		}
	}
	options := requests[0].URL.Query()
	for name, want := range map[string]string{"$select": "n,m", "$filter": "name eq 'O''Neil & +100% ü'",
		"$orderby": "n desc", "$top": ""} {
		if got := options.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if raw := requests[0].URL.RawQuery; strings.Contains(raw, "+") {
		t.Errorf("a space that may be read as a plus: %s", raw)
	}
}

func TestAQueryAsksForNoMoreThanItsUserTakes(t *testing.T) {
	t.Parallel()
	s := newService(t, pages(9, 3))
	for row, err := range s.client().Query(t.Context(), "things", dataverse.Query{PageSize: 3}) {
		if err != nil || fmt.Sprint(row["n"]) == "3" {
			break
		}
	}
	if requests, _ := s.seen(); len(requests) != 2 {
		t.Errorf("%d requests, want 2", len(requests))
	}
}

func TestTopIsKeptWithAndWithoutPages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		top, size  int
		prefer     string
		topOnWire  string
		rows, asks int
	}{
		{2, 0, "", "2", 2, 1},
		{3, 3, "", "3", 3, 1},
		{5, 3, "odata.maxpagesize=3", "", 5, 2},
		{6, 3, "odata.maxpagesize=3", "", 6, 2},
		{100, 3, "odata.maxpagesize=3", "", 7, 3},
		{0, 0, "odata.maxpagesize=5000", "", 7, 3},
		{0, 99999, "odata.maxpagesize=5000", "", 7, 3},
	} {
		s := newService(t, pages(7, 3))
		rows := 0
		for _, err := range s.client().Query(t.Context(), "things", dataverse.Query{Top: test.top, PageSize: test.size}) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
		requests, _ := s.seen()
		prefer, top := requests[0].Header.Get("Prefer"), requests[0].URL.Query().Get("$top")
		if rows != test.rows || len(requests) != test.asks || prefer != test.prefer || top != test.topOnWire {
			t.Errorf("%+v: %d rows in %d requests, Prefer %q, $top %q", test, rows, len(requests), prefer, top)
		}
	}
}

func TestAReadGoesOnWhereAnotherStopped(t *testing.T) {
	t.Parallel()
	s := newService(t, pages(5, 2))
	q := dataverse.Query{PageSize: 2}
	_, next, err := s.client().Page(t.Context(), "things", q, "")
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	rows, next, err := s.client().Page(t.Context(), "things", q, next)
	if err != nil || len(rows) != 2 || rows[0]["n"] != json.Number("2") {
		t.Fatal(rows, err)
	}
	rows, next, err = s.client().Page(t.Context(), "things", q, next)
	if err != nil || len(rows) != 1 || next != "" {
		t.Error(rows, next, err)
	}
}

func TestALinkToAnotherHostIsRefused(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the token went to another host: %s", r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	link := ""
	s := newService(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"value": []any{}, "@odata.nextLink": link})
	})
	host := strings.TrimPrefix(s.URL, "http://")
	for _, link = range []string{elsewhere.URL + "/api/data/v9.2/things?x", "https://" + host + "/api/data/v9.2/things",
		s.URL + "/elsewhere", "http://" + host + "@example.com/api/data/v9.2/things", "//" + host + "/api/data/v9.2/things",
		"things?$skiptoken=1", "http://u:p@" + host + "/api/data/v9.2/things", s.URL + "/api/data/../../tenant-1"} {
		var last error
		for _, err := range s.client().Query(t.Context(), "things", dataverse.Query{}) {
			last = err
		}
		if !errors.Is(last, sinks.ErrBlocked) {
			t.Errorf("%s: %v", link, last)
		}
	}
}

func TestAQueryEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	s := newService(t, answer(400, `{"error":{"code":"0x80060888","message":"Bad Request - Error in query syntax."}}`))
	count := 0
	for row, err := range s.client().Query(t.Context(), "things", dataverse.Query{Filter: "x ="}) {
		count++
		if row != nil || !errors.Is(err, sinks.ErrRefused) {
			t.Error(row, err)
		}
	}
	if count != 1 {
		t.Errorf("%d times", count)
	}
}
