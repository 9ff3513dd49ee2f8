package query

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// locations are the bad fields that a problem names.
func locations(t *testing.T, err error) []string {
	t.Helper()
	var p *huma.ErrorModel
	if !errors.As(err, &p) {
		t.Fatalf("%v is no problem", err)
	}
	if p.Status != 400 {
		t.Errorf("status %d, want 400", p.Status)
	}
	var names []string
	for _, e := range p.Errors {
		if e.Message == "" {
			t.Errorf("%s has no message", e.Location)
		}
		names = append(names, e.Location)
	}
	return names
}

func TestListingNamesEveryBadParameter(t *testing.T) {
	long := strings.Repeat("x", 65)
	for query, want := range map[string][]string{
		"limit=0":                         {"query.limit"},
		"limit=501":                       {"query.limit"},
		"limit=ten":                       {"query.limit"},
		"limit=5.5":                       {"query.limit"},
		"status=done":                     {"query.status"},
		"since=monday":                    {"query.since"},
		"since=2026-01-01T00:00:00+01:00": {"query.since"}, // the + is a blank
		"until=2026-01-01T00:00:00,5Z":    {"query.until"},
		"campaignId=" + long:              {"query.campaignId"},
		"runId=a%00b":                     {"query.runId"},
		"phase=" + strings.Repeat("🚀", 9): {"query.phase"}, // 18 code units
		"phase=%FF":                       {"query.phase"},
		"status=running&status=failed":    {"query.status"},
		"cursor=nonsense":                 {"query.cursor"},
		"limit=0&status=x&since=x&until=x&campaignId=" + long + "&runId=" + long + "&phase=" + long: {"query.limit",
			"query.campaignId", "query.runId", "query.phase", "query.status", "query.since", "query.until"},
	} {
		_, err := parseListing(query, time.Time{})
		if got := locations(t, err); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if _, err := parseListing("campaignId=%zz", time.Time{}); err == nil {
		t.Error("a query that cannot be decoded was read as no filter")
	}
}

func TestListingReadsFiltersAndIgnoresTheUnknown(t *testing.T) {
	q := url.Values{"campaignId": {"a.b/🚀"}, "status": {"stalled"}, "since": {"2026-01-01T01:00:00.0000001+01:00"},
		"until": {""}, "limit": {"500"}, "unknown": {"1"}}
	idle := time.Unix(9, 0)
	l, err := parseListing(q.Encode(), idle)
	if err != nil {
		t.Fatal(err)
	}
	f := l.filter
	// A bound between two microseconds cuts where the next one does.
	if since := time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC); !f.Since.Equal(since) {
		t.Errorf("since %v, want %v", f.Since, since)
	}
	if f.CampaignID != "a.b/🚀" || f.Status != aggregate.Stalled || !f.Until.IsZero() || !f.IdleSince.Equal(idle) || l.limit != 500 {
		t.Errorf("got %+v", l)
	}
	if l, err := parseListing("", idle); err != nil || l.limit != 10 {
		t.Errorf("without parameters: %+v, %v", l, err)
	}
}
