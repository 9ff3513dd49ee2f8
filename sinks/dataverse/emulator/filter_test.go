package emulator

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A filter that lists ids looks at no other row, so it is compared with one that looks at all.
func TestAListOfIDsFindsWhatAnyFilterWould(t *testing.T) {
	o := start(t, Config{})
	o.fill(9)
	list := func(ids ...string) string {
		return campaigns + "?$select=apex_agentstotal&$filter=Microsoft.Dynamics.CRM.In(PropertyName='apex_campaignmetricid',PropertyValues=['" +
			strings.Join(ids, "','") + "'])"
	}
	for filter, want := range map[string]string{
		"id eq " + rowID(3):                                      "[3]",
		"id eq " + rowID(3) + " or id eq " + rowID(1):            "[1 3]",
		"id eq " + rowID(3) + " or apex_agentstotal eq 1":        "[1 3]",
		"id eq " + rowID(3) + " and apex_agentstotal eq 1":       "[]",
		"apex_agentstotal eq 3 and id eq " + rowID(3):            "[3]",
		"not (id eq " + rowID(3) + ") and apex_agentstotal lt 5": "[0 1 2 4]",
		"id eq null": "[]",
	} {
		query := campaigns + "?$select=apex_agentstotal&$filter=" + url.QueryEscape(strings.ReplaceAll(filter, "id eq", "apex_campaignmetricid eq"))
		if got := o.totals(query, "5000"); got != want {
			t.Errorf("%s: %s, want %s", filter, got, want)
		}
		counted := o.get(query + "&$count=true")
		if n := len(counted["value"].([]any)); counted["@odata.count"] != number(strconv.Itoa(n)) {
			t.Errorf("%s: counted %v, want %d", filter, counted["@odata.count"], n)
		}
	}
	for _, ids := range [][]string{
		{rowID(3)},
		{rowID(7), strings.ToUpper(rowID(2)), rowID(5), rowID(7)},
		{rowID(4000)},
		{rowID(8), rowID(4000), rowID(1), rowID(0), rowID(6)},
	} {
		for _, more := range []string{"", "&$orderby=apex_campaignmetricid", "&$orderby=apex_agentstotal%20desc"} {
			for _, size := range []string{"2", "5000"} {
				if got, want := o.totals(list(ids...)+more, size), o.totals(list(ids...)+"%20or%20apex_agentstotal%20lt%200"+more, size); got != want {
					t.Errorf("%v%s by %s: %s, want %s", ids, more, size, got, want)
				}
			}
		}
	}
	if got := o.totals(list(rowID(8), rowID(1), rowID(6)), "2"); got != "[1 6][8]" {
		t.Errorf("pages are %s", got)
	}
}

// totals are the agents of the rows of all pages.
func (o *org) totals(query, pageSize string) string {
	o.Helper()
	var b strings.Builder
	for next := query; next != ""; {
		var rows []map[string]any
		rows, next = o.page(next, "Prefer", "odata.maxpagesize="+pageSize)
		var totals []any
		for _, row := range rows {
			totals = append(totals, row["apex_agentstotal"])
		}
		fmt.Fprint(&b, totals)
	}
	return b.String()
}
