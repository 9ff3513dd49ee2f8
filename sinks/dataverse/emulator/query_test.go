package emulator

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// fill writes n rows: names n0, n1, …, agentstotal n, tokensin n mod 3, every third phase null.
func (o *org) fill(n int) {
	o.Helper()
	for first := 0; first < n; first += 1000 {
		var list []string
		for i := first; i < min(n, first+1000); i++ {
			phase := "null"
			if i%3 != 0 {
				phase = fmt.Sprintf(`"P%d"`, i%3)
			}
			list = append(list, target1(withID(i), fmt.Sprintf(`"apex_name":"n%d","apex_agentstotal":%d,"apex_tokensin":%d,"apex_phase":%s,`+
				`"apex_costusd":%d.5,"apex_createdat":"2026-01-%02dT00:00:00Z"`, i, i, i%3, phase, i, 1+i%28)))
		}
		o.upsertMultiple(targets(list...))
	}
}

func TestAFilterFindsRows(t *testing.T) {
	o := start(t, Config{})
	o.fill(8)
	o.patch(rowAt(8), `{"apex_name":"It's (a) été","apex_phase":"p"}`)
	for filter, want := range map[string]string{
		"apex_name eq 'n3'":                           "3",
		"apex_name eq 'N3'":                           "3", // case does not matter
		"apex_name ne 'n3' and apex_tokensin eq 0":    "0 6",
		"apex_agentstotal gt 5":                       "6 7",
		"apex_agentstotal ge 6":                       "6 7",
		"apex_agentstotal lt 1.5":                     "0 1",
		"apex_agentstotal le 1":                       "0 1",
		"apex_costusd eq 3.50":                        "3",
		"apex_costusd gt 6.49999":                     "6 7",
		"apex_createdat eq 2026-01-04T00:00:00Z":      "3",
		"apex_createdat lt 2026-01-02T00:00:01+00:00": "0 1",
		"apex_createdat gt 2026-01-07T01:00:00+01:00": "7",
		"apex_createdat ge 2026-01-08":                "7",
		"apex_phase eq null":                          "0 3 6",
		"apex_phase ne null":                          "1 2 4 5 7 8",
		"apex_phase ne 'p1'":                          "0 2 3 5 6 8", // null is ne to everything else
		"apex_phase gt 'P1'":                          "2 5",
		"not (apex_phase gt 'P1')":                    "0 1 3 4 6 7 8",
		"not contains(apex_name,'N')":                 "8",
		"contains(apex_name,' (A)')":                  "8",
		"startswith(apex_name,'it''s')":               "8",
		"endswith(apex_name,'ÉTÉ')":                   "8",
		"endswith(apex_phase,'1')":                    "1 4 7",
		"apex_campaignmetricid eq " + rowID(5):        "5",
		"apex_campaignmetricid eq '" + rowID(5) + "'": "5",
		"apex_campaignmetricid gt " + rowID(6):        "7 8",
		"versionnumber le 2":                          "0 1",
		"createdon lt 2027-01-01T00:00:00Z":           "0 1 2 3 4 5 6 7 8",
		"apex_agentstotal eq 1 or apex_agentstotal eq 2 and apex_tokensin eq 9":                               "1",
		"(apex_agentstotal eq 1 or apex_agentstotal eq 2) and apex_tokensin eq 2":                             "2",
		"Microsoft.Dynamics.CRM.In(PropertyName='apex_name',PropertyValues=['n1','N2','it''s'])":              "1 2",
		"Microsoft.Dynamics.CRM.In(PropertyName='apex_agentstotal',PropertyValues=['4'])":                     "4",
		"Microsoft.Dynamics.CRM.In(PropertyName='apex_campaignmetricid',PropertyValues=['" + rowID(1) + "'])": "1",
		"apex_name eq 'none'": "",
	} {
		rows, _ := o.page(campaigns + "?%24filter=" + url.QueryEscape(filter)) // spaces as +
		var found []string
		for _, r := range rows {
			n, err := strconv.ParseUint(r["apex_campaignmetricid"].(string)[:8], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, fmt.Sprint(n))
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s: rows %s, want %s", filter, got, want)
		}
	}
}

func TestAFilterThatIsWrongIsRefused(t *testing.T) {
	o := start(t, Config{})
	for _, filter := range []string{
		"apex_name", "apex_name eq", "eq 'a'", "apex_name = 'a'", "apex_name eq 'a", "apex_name eq 'a' and", "(apex_name eq 'a'",
		"apex_name eq 'a')", "apex_name eq 'a' 'b'", "apex_nothing eq 1", "apex_name eq 5", "apex_agentstotal eq '5'",
		"apex_agentstotal eq five", "apex_createdat eq '2026-01-01T00:00:00Z'", "apex_campaignmetricid eq 5", "not", "()",
		"contains(apex_name)", "contains(apex_name,5)", "contains(apex_agentstotal,'5')", "startswith(apex_name,'a'",
		"Microsoft.Dynamics.CRM.In(PropertyName='apex_name')", "Microsoft.Dynamics.CRM.In(PropertyName='apex_name',PropertyValues=[])",
		"Microsoft.Dynamics.CRM.In(PropertyName='apex_agentstotal',PropertyValues=['a'])", "apex_name eq apex_nothing",
	} {
		o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"?$filter="+url.QueryEscape(filter), "")
	}
}

func TestOtherOptionsThatAreWrongAreRefused(t *testing.T) {
	o := start(t, Config{})
	for _, query := range []string{
		"$select=apex_nothing", "$select=", "$orderby=apex_nothing", "$orderby=apex_name+down", "$orderby=apex_name,", "$top=-1", "$top=a",
		"$count=yes", "$skip=5", "$top=1&$top=2", "$skiptoken=5", "$filter=%zz",
		"$skiptoken=" + url.QueryEscape(`<cookie pagenumber="2" pagingcookie="%3Ccookie%3E%3C%2Fcookie%3E" />`),
		"$orderby=apex_name&$skiptoken=" + url.QueryEscape(`<cookie pagingcookie="%3Ccookie%3E%3Capex_name%2F%3E%3C%2Fcookie%3E" />`),
	} {
		o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, campaigns+"?"+query, "")
	}
}

func TestRowsComeInTheOrderThatIsAskedFor(t *testing.T) {
	o := start(t, Config{})
	o.fill(6)
	for order, want := range map[string]string{
		"":                                  "0 1 2 3 4 5",
		"apex_campaignmetricid":             "0 1 2 3 4 5",
		"apex_campaignmetricid desc":        "5 4 3 2 1 0",
		"apex_phase":                        "0 3 1 4 2 5", // null first
		"apex_phase desc":                   "2 5 1 4 0 3",
		"apex_tokensin desc,apex_name":      "2 5 1 4 0 3",
		"apex_tokensin asc, apex_name desc": "3 0 4 1 5 2",
		"versionnumber desc":                "5 4 3 2 1 0",
	} {
		rows, _ := o.page(campaigns + "?$orderby=" + strings.ReplaceAll(order, " ", "%20"))
		if got := valuesOf(rows, "apex_agentstotal"); got != want {
			t.Errorf("%q: rows %s, want %s", order, got, want)
		}
	}
	// The orders are kept while rows change.
	o.patch(rowAt(0), `{"apex_phase":"P9"}`)
	o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(4), "")
	o.mustDo(http.StatusBadRequest, http.MethodPost, bulkOf("UpsertMultiple"), targets(target1(withID(1), `"apex_phase":"P8"`), `{}`))
	rows, _ := o.page(campaigns + "?$orderby=apex_phase")
	if got := valuesOf(rows, "apex_agentstotal"); got != "3 1 2 5 0" {
		t.Errorf("rows %s", got)
	}
}

func TestPagesBringEachRowOnceWhateverTheOrder(t *testing.T) {
	o := start(t, Config{})
	o.fill(100)
	for _, query := range []string{
		"", "$filter=apex_agentstotal+ge+10", "$orderby=apex_phase+desc,apex_tokensin", "$orderby=apex_createdat&$count=true",
		"$orderby=apex_costusd+desc", "$orderby=apex_name&$select=apex_agentstotal", "$orderby=versionnumber+desc",
		"$orderby=apex_campaignmetricid+desc&$top=3",
	} {
		want := 100
		if strings.Contains(query, "$filter") {
			want = 90
		}
		seen := map[string]bool{}
		pages := 0
		for next := campaigns + "?" + query; next != ""; pages++ {
			r := o.mustDo(http.StatusOK, http.MethodGet, next, "", "Prefer", "odata.maxpagesize=7")
			if r.header.Get("Preference-Applied") != "odata.maxpagesize=7" {
				t.Errorf("header %v", r.header)
			}
			answer := decode(t, r.body)
			for _, row := range answer["value"].([]any) {
				seen[fmt.Sprint(row.(map[string]any)["apex_agentstotal"])] = true
			}
			if strings.Contains(query, "$count") && answer["@odata.count"] != number("100") {
				t.Errorf("count %v", answer["@odata.count"])
			}
			next, _ = answer["@odata.nextLink"].(string)
		}
		if len(seen) != want || pages != (want+6)/7 {
			t.Errorf("%q: %d rows on %d pages", query, len(seen), pages)
		}
	}
}

func TestANextLinkServesPagesOfAnySize(t *testing.T) {
	o := start(t, Config{})
	o.fill(6)
	_, next := o.page(campaigns, "Prefer", "odata.maxpagesize=2")
	rows, next := o.page(next, "Prefer", "odata.maxpagesize=1")
	if len(rows) != 1 || rows[0]["apex_campaignmetricid"] != rowID(2) {
		t.Errorf("a smaller page: %v", rows)
	}
	if rows, next = o.page(next); len(rows) != 3 || next != "" {
		t.Errorf("the rest: %d rows, then %q", len(rows), next)
	}
}

func TestAPageBeginsBehindARowThatHasGone(t *testing.T) {
	o := start(t, Config{})
	o.fill(6)
	for order, want := range map[string]string{"": "4 5", "&$orderby=apex_agentstotal": "4 5"} {
		_, next := o.page(campaigns+"?$select=apex_agentstotal"+order, "Prefer", "odata.maxpagesize=3")
		o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(2), "", "If-Match", "*")
		o.mustDo(http.StatusNoContent, http.MethodDelete, rowAt(3), "", "If-Match", "*")
		rows, _ := o.page(next, "Prefer", "odata.maxpagesize=3")
		if got := valuesOf(rows, "apex_agentstotal"); got != want {
			t.Errorf("%q: rows %s, want %s", order, got, want)
		}
		o.fill(6)
	}
}

func TestAPageHasAtMostFiveThousandRows(t *testing.T) {
	o := start(t, Config{})
	o.fill(5001)
	for _, c := range []struct {
		query, prefer string
		rows          int
		more          bool
	}{
		{"", "", 5000, true},
		{"", "odata.maxpagesize=9999", 5000, true},
		{"$filter=apex_agentstotal+lt+5000", "", 5000, false},
		{"$top=3", "", 3, false},
		{"$top=0", "", 0, false},
		{"$top=5001", "", 5000, false},
		{"$top=3", "odata.maxpagesize=10", 10, true}, // $top is ignored
	} {
		rows, next := o.page(campaigns+"?$select=apex_name&"+c.query, "Prefer", c.prefer)
		if len(rows) != c.rows || (next != "") != c.more {
			t.Errorf("%+v: %d rows, next %q", c, len(rows), next)
		}
	}
}

func TestCountsEndAtFiveThousand(t *testing.T) {
	o := start(t, Config{})
	o.fill(5001)
	annotations := []string{"Prefer", `odata.include-annotations="Microsoft.Dynamics.CRM.*",odata.maxpagesize=1`}
	for query, want := range map[string][3]any{
		"$count=true": {number("5000"), number("5000"), true},
		"$count=true&$filter=apex_agentstotal+ge+0":    {number("5000"), number("5000"), true},
		"$count=true&$filter=apex_agentstotal+lt+5000": {number("5000"), number("5000"), false},
		"$count=true&$filter=apex_agentstotal+lt+2":    {number("2"), number("2"), false},
		"$count=false": {nil, number("-1"), false},
	} {
		got := o.get(campaigns+"?"+query, annotations...)
		const annotation = "@Microsoft.Dynamics.CRM.totalrecordcount"
		have := [3]any{got["@odata.count"], got[annotation], got[annotation+"limitexceeded"]}
		if have != want {
			t.Errorf("%s: %v, want %v", query, have, want)
		}
	}
	if got := o.get(campaigns + "?$top=1"); got["@Microsoft.Dynamics.CRM.totalrecordcount"] != nil || got["@odata.count"] != nil {
		t.Errorf("unasked: %v", got)
	}
	for path, want := range map[string]string{"/$count": "5000", "/$count?$filter=apex_agentstotal+lt+2": "2"} {
		if r := o.mustDo(http.StatusOK, http.MethodGet, campaigns+path, ""); r.body != want || r.header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %+v", path, r)
		}
	}
}

func TestANextLinkIsNotOfAnotherQuery(t *testing.T) {
	o := start(t, Config{})
	o.fill(6)
	_, next := o.page(campaigns+"?$orderby=apex_name", "Prefer", "odata.maxpagesize=3")
	for _, other := range []string{"", "$orderby=apex_phase&", "$orderby=apex_name,apex_phase&"} {
		link := strings.Replace(next, "$orderby=apex_name&", other, 1)
		o.refuse(http.StatusBadRequest, "0x80060888", http.MethodGet, link, "", "Prefer", "odata.maxpagesize=3")
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("apex_name eq 'a''b' and not (apex_costusd gt 1.5e3 or contains(apex_name,'x'))")
	f.Add("Microsoft.Dynamics.CRM.In(PropertyName='apex_name',PropertyValues=['a','b'])")
	f.Add("apex_createdat ge 2026-01-01T00:00:00Z")
	d := campaignMetrics()
	table := newTable(d)
	r := &row{cells: joined((&row{}).values(d.cells()))}
	f.Fuzz(func(t *testing.T, text string) {
		matches, failure := table.filter(text)
		if failure == nil && matches.holds != nil {
			matches.holds(r)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("apex_campaignmetrics(apex_name='a''b(/',apex_runid='c')/apex_name")
	f.Add("EntityDefinitions(LogicalName='x')/Attributes(00000001-0000-4000-8000-000000000000)/$value/")
	f.Fuzz(func(t *testing.T, path string) {
		segments, ok := splitPath(path)
		if ok && len(segments) == 0 {
			t.Error("no segment")
		}
		for _, s := range segments {
			splitPairs(s.args)
		}
	})
}
