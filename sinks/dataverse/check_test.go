package dataverse

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

func TestTheWantedTableHasNoFindings(t *testing.T) {
	t.Parallel()
	if got := wantedTable(200).Check(); got != nil {
		t.Error(got)
	}
	wider := wantedTable(850).changed("phase", func(c *Column) { c.MaxLength = 100 }).
		changed("costusd", func(c *Column) { c.Precision, c.Min, c.Max = 10, "-100000000000", "100000000000.0000000000" }).
		changed("tokensin", func(c *Column) { c.Min, c.Max = "-2147483648", "" })
	if got := wider.Check(); got != nil {
		t.Errorf("wider than wanted: %v", got)
	}
}

func TestCheckSaysWhatADifferenceCosts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		column  string
		change  func(*Column)
		problem string
		fatal   bool
	}{
		{"costusd", func(c *Column) { c.Type = "Money" }, "is of type Money, not Decimal", true},
		{"costusd", func(c *Column) { c.Type = "Double" }, "is of type Double, not Decimal", true},
		{"costusd", func(c *Column) { c.ReadOnly = true }, "cannot be written", true},
		{"costusd", func(c *Column) { c.Precision = 2 }, "keeps 2 digits after the point, not 5: values are rounded to them", false},
		{"costusd", func(c *Column) { c.Max = "1000.00" },
			"takes at most 1000.00, not 99999.99999: rows with greater values are parked", false},
		{"costusd", func(c *Column) { c.Min = "0.01" }, "takes no less than 0.01, not 0", false},
		{"tokensin", func(c *Column) { c.Max = "100000" }, "takes at most 100000, not 2147483647", false},
		{"campaignid", func(c *Column) { c.MaxLength = 50 }, "holds 50 characters, not 64: rows with longer values are parked", false},
		{"createdat", func(c *Column) { c.Behavior = "DateOnly" }, "keeps dates without a time", true},
		{"createdat", func(c *Column) { c.Format = "DateOnly" }, "shows dates without their time", false},
		{"createdat", func(c *Column) { c.Behavior = "UserLocal" }, "only the display differs", false},
	} {
		findings := wantedTable(200).changed(test.column, test.change).Check()
		if len(findings) != 1 {
			t.Errorf("%s, %s: %v", test.column, test.problem, findings)
			continue
		}
		f := findings[0]
		if f.Column != "apex_"+test.column || !strings.Contains(f.Problem, test.problem) || f.Fatal != test.fatal || f.Fix == "" {
			t.Errorf("%+v, want %+v", f, test)
		}
	}
}

func TestEveryMissingColumnIsFatal(t *testing.T) {
	t.Parallel()
	empty := &Table{Columns: map[string]Column{}}
	findings := empty.Check()
	if len(findings) != 13 || slices.ContainsFunc(findings, func(f Finding) bool { return !f.Fatal || f.Problem != "is missing" }) {
		t.Errorf("%d: %v", len(findings), findings)
	}
	if err := empty.Usable(); !errors.Is(err, sinks.ErrBlocked) || strings.Contains(err.Error(), "store") {
		t.Error(err)
	}
}

func TestCheckKnowsWhichRowsAnAlternateKeyKeepsOut(t *testing.T) {
	t.Parallel()
	ids := []string{"apex_phase", "apex_campaignid", "apex_runid"}
	for _, test := range []struct {
		key  Key
		want string // in problem and fix together; empty: no finding
	}{
		{Key{"apex_K", ids, "Active"}, "reconcile --adopt"},
		{Key{"apex_K", ids, "Pending"}, "reconcile --adopt"},
		{Key{"apex_K", append(ids, "apex_createdat"), "Active"}, "reconcile --adopt"},
		{Key{"apex_K", ids, "Failed"}, ""},
		{Key{"apex_K", []string{"apex_runid"}, "Active"}, "of several runs with the same apex_runid only one can be written"},
		{Key{"apex_K", []string{"apex_somethingelse"}, "Active"}, ""},
	} {
		table := wantedTable(200)
		table.Keys = []Key{test.key}
		findings := table.Check()
		if test.want == "" && findings == nil {
			continue
		}
		if len(findings) != 1 || findings[0].Fatal || test.want == "" ||
			!strings.Contains(findings[0].Problem+findings[0].Fix, test.want) {
			t.Errorf("%v: %v", test.key, findings)
		}
	}
}
