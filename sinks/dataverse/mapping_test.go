package dataverse

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

// wantedTable is a table that is just as wanted, with a title of that many characters.
func wantedTable(titleLength int) *Table {
	d := Wanted(DefaultTable)
	t := &Table{LogicalName: d.LogicalName, SchemaName: d.SchemaName, EntitySet: "apex_campaignmetrics",
		PrimaryID: "apex_campaignmetricid", PrimaryName: d.PrimaryName.Name, Columns: map[string]Column{}}
	d.PrimaryName.MaxLength = titleLength
	for _, c := range append(d.Columns, d.PrimaryName) {
		t.Columns[c.Name] = c
	}
	return t
}

// changed returns the table with one column changed.
func (t *Table) changed(name string, change func(*Column)) *Table {
	t.Columns = maps.Clone(t.Columns)
	c := t.Columns["apex_"+name]
	change(&c)
	t.Columns["apex_"+name] = c
	return t
}

// example is one file of testdata/mapping: a record and the row that it becomes.
type example struct {
	Comment string            `json:"comment"`
	Metrics aggregate.Metrics `json:"metrics"`
	Row     json.RawMessage   `json:"row"`
}

func readExample(t *testing.T, path string) (e example, text []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return e, text
}

func typical(t *testing.T) *aggregate.Metrics {
	t.Helper()
	e, _ := readExample(t, "testdata/mapping/typical.json")
	return &e.Metrics
}

func TestRecordsBecomeTheseRows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mapping/*.json")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		e, text := readExample(t, path)
		row, err := wantedTable(60).Row(&e.Metrics, e.Metrics.RunKey)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if differences := wantedTable(60).Same(&e.Metrics, row); differences != nil {
			t.Errorf("%s: what was written is not what is wanted: %v", path, differences)
		}
		var got bytes.Buffer
		w := json.NewEncoder(&got)
		w.SetEscapeHTML(false)
		if err := w.Encode(row); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if e.Row != nil {
			if err := json.Compact(&want, e.Row); err != nil {
				t.Fatal(err)
			}
		}
		if bytes.Equal(bytes.TrimSpace(got.Bytes()), want.Bytes()) {
			continue
		}
		if !*update {
			t.Errorf("%s (%s):\n got %s\nwant %s", path, e.Comment, got.Bytes(), want.Bytes())
			continue
		}
		writeRow(t, path, text, got.Bytes())
	}
}

// writeRow replaces the row of an example and leaves the rest as it is.
func writeRow(t *testing.T, path string, text, row []byte) {
	t.Helper()
	var whole struct {
		Comment json.RawMessage `json:"comment"`
		Metrics json.RawMessage `json:"metrics"`
		Row     json.RawMessage `json:"row"`
	}
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	whole.Row = row
	var out bytes.Buffer
	w := json.NewEncoder(&out)
	w.SetEscapeHTML(false)
	w.SetIndent("", "  ")
	if err := w.Encode(whole); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheRowHasTheGivenIdAndNotTheRunKey(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	row, err := wantedTable(60).Row(typical(t), id)
	if err != nil || row["apex_campaignmetricid"] != id.String() {
		t.Errorf("%v, %v", row, err)
	}
}

func money(t *testing.T, text string) aggregate.Money {
	t.Helper()
	m, err := aggregate.ParseMoney(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCostsAreRoundedHalfEvenAndNotAtAllByFloats(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		cost      string
		precision int
		want      json.Number
	}{
		{"0", 5, "0"},
		{"0.000005", 5, "0"},
		{"0.000005001", 5, "0.00001"},
		{"0.000015", 5, "0.00002"},
		{"0.000025", 5, "0.00002"},
		{"2.675", 2, "2.68"}, // a float is 2.67499999…
		{"1.005", 2, "1"},
		{"1.015", 2, "1.02"},
		{"0.5", 0, "0"},
		{"1.5", 0, "2"},
		{"12345.678949999", 5, "12345.67895"},
		{"0.059133504", 10, "0.05913"}, // the contract is five digits, the column may keep more
		{"99999.999994999", 5, "99999.99999"},
		{"40", 5, "40"},
	} {
		m := typical(t)
		m.CostUSD = money(t, test.cost)
		table := wantedTable(60).changed("costusd", func(c *Column) { c.Precision = test.precision })
		row, err := table.Row(m, m.RunKey)
		if err != nil || row["apex_costusd"] != test.want {
			t.Errorf("%s to %d digits: %v, want %s (%v)", test.cost, test.precision, row["apex_costusd"], test.want, err)
		}
	}
}

func TestRoundingIsToTheNearestAndToEven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		unscaled := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "number"))
		if rapid.Bool().Draw(t, "a tie") {
			unscaled.Mul(unscaled, big.NewInt(10)).Add(unscaled, big.NewInt(5))
		}
		if rapid.Bool().Draw(t, "negative") {
			unscaled.Neg(unscaled)
		}
		scale, digits := rapid.IntRange(0, 10).Draw(t, "scale"), rapid.IntRange(0, 10).Draw(t, "digits")
		exact := &decimal{unscaled, scale}
		rounded := exact.rounded(digits)
		if _, fraction, _ := strings.Cut(rounded.String(), "."); len(fraction) > digits {
			t.Fatalf("%s has more than %d digits", rounded, digits)
		}
		parsed, valid := parseNumber(json.Number(rounded.String()))
		if !valid || parsed.Cmp(rounded.rat()) != 0 || !json.Valid([]byte(rounded.String())) {
			t.Fatalf("%q is not the number", rounded)
		}
		unit := new(big.Rat).SetFrac(big.NewInt(1), powerOf10(digits))
		off := new(big.Rat).Sub(rounded.rat(), exact.rat())
		twice := off.Add(off.Abs(off), off)
		switch twice.Cmp(unit) {
		case 1:
			t.Fatalf("%s is not the nearest to %s", rounded, exact)
		case 0:
			if last := new(big.Rat).Quo(rounded.rat(), unit); last.Num().Bit(0) != 0 {
				t.Fatalf("%s to %s: not to even", exact, rounded)
			}
		}
	})
}

func TestWhatDoesNotFitIsAMisfitAndNeverCut(t *testing.T) {
	t.Parallel()
	big32 := int64(1) << 31
	longPhase, longRun := strings.Repeat("p", 17), strings.Repeat("🚀", 33)
	for _, test := range []struct {
		change func(*aggregate.Metrics)
		misfit Misfit
	}{
		{func(m *aggregate.Metrics) { m.TokensIn = big32 }, Misfit{"apex_tokensin", "2147483648", "at most 2147483647"}},
		{func(m *aggregate.Metrics) { m.TokensOut = 1 << 62 },
			Misfit{"apex_tokensout", "4611686018427387904", "at most 2147483647"}},
		{func(m *aggregate.Metrics) { m.LatencyP95Ms = &big32 },
			Misfit{"apex_latencyp95ms", "2147483648", "at most 2147483647"}},
		{func(m *aggregate.Metrics) { m.CostUSD = money(t, "100000") },
			Misfit{"apex_costusd", "100000", "at most 99999.99999"}},
		{func(m *aggregate.Metrics) { m.CostUSD = money(t, "99999.999995") },
			Misfit{"apex_costusd", "100000", "at most 99999.99999"}},
		{func(m *aggregate.Metrics) { m.CostUSD = money(t, "340282366920938463463374607431.768211455") },
			Misfit{"apex_costusd", "340282366920938463463374607431.76821", "at most 99999.99999"}},
		{func(m *aggregate.Metrics) { m.Phase = longPhase }, Misfit{"apex_phase", longPhase, "at most 16 characters"}},
		{func(m *aggregate.Metrics) { m.RunID = longRun }, Misfit{"apex_runid", longRun, "at most 64 characters"}},
	} {
		m := typical(t)
		test.change(m)
		_, err := wantedTable(60).Row(m, m.RunKey)
		var misfit *Misfit
		if !errors.As(err, &misfit) || *misfit != test.misfit || !errors.Is(err, sinks.ErrRefused) {
			t.Errorf("%v, want %v", err, &test.misfit)
			continue
		}
		if !strings.Contains(err.Error(), test.misfit.Column) || !strings.Contains(err.Error(), test.misfit.Limit) {
			t.Error(err)
		}
		if got := wantedTable(60).Same(m, Row{}); !slices.ContainsFunc(got, func(d Difference) bool {
			return d.Column == misfit.Column && strings.Contains(d.Want, misfit.Limit)
		}) {
			t.Errorf("compared with what cannot be stored: %v", got)
		}
	}
}

func TestTheColumnsOwnLimitsCount(t *testing.T) {
	t.Parallel()
	m := typical(t)
	narrow := wantedTable(60).changed("tokensin", func(c *Column) { c.Max = "999" })
	if _, err := narrow.Row(m, m.RunKey); !errors.Is(err, sinks.ErrRefused) {
		t.Error(err)
	}
	high := wantedTable(60).changed("tokensin", func(c *Column) { c.Min = "1001" })
	if _, err := high.Row(m, m.RunKey); !errors.Is(err, sinks.ErrRefused) {
		t.Error(err)
	}
	m.CostUSD = money(t, "5000000")
	wide := wantedTable(60).changed("costusd", func(c *Column) { c.Max = "100000000000.0000000000" })
	if row, err := wide.Row(m, m.RunKey); err != nil || row["apex_costusd"] != json.Number("5000000") {
		t.Error(row, err)
	}
}

func TestATableWithoutAColumnIsNotTheRowsFault(t *testing.T) {
	t.Parallel()
	m := typical(t)
	missing := wantedTable(60)
	delete(missing.Columns, "apex_phase")
	other := wantedTable(60).changed("costusd", func(c *Column) { c.Type = "Double" })
	for _, table := range []*Table{missing, other} {
		if _, err := table.Row(m, m.RunKey); !errors.Is(err, sinks.ErrBlocked) || errors.Is(err, sinks.ErrRefused) {
			t.Error(err)
		}
	}
}

func TestATitleThatIsOneOfTheColumnsIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := typical(t)
	table := wantedTable(60)
	table.PrimaryName = "apex_runid"
	row, err := table.Row(m, m.RunKey)
	if _, filled := row["apex_name"]; err != nil || filled || row["apex_runid"] != m.RunID {
		t.Error(row, err)
	}
}

func TestSameFindsWhatDiffersAtTheTablesPrecision(t *testing.T) {
	t.Parallel()
	m := typical(t) // costs 0.059133504
	asStored := func() Row {
		row, err := wantedTable(60).Row(m, m.RunKey)
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
	for name, test := range map[string]struct {
		change func(Row)
		want   []Difference
	}{
		"nothing":      {func(Row) {}, nil},
		"zeros":        {func(r Row) { r["apex_costusd"] = json.Number("0.0591300000") }, nil},
		"exponent":     {func(r Row) { r["apex_costusd"] = json.Number("5.913e-2") }, nil},
		"same instant": {func(r Row) { r["apex_createdat"] = "2026-03-01T13:34:56+01:00" }, nil},
		"title":        {func(r Row) { r["apex_name"] = "by hand" }, nil},
		"other column": {func(r Row) { r["@odata.etag"] = `W/"1"` }, nil},
		"cost": {func(r Row) { r["apex_costusd"] = json.Number("0.05914") },
			[]Difference{{"apex_costusd", "0.05913", "0.05914"}}},
		"null": {func(r Row) { r["apex_latencyavgms"] = nil }, []Difference{{"apex_latencyavgms", "38000", "null"}}},
		"text": {func(r Row) { r["apex_phase"] = "2-4" }, []Difference{{"apex_phase", "2-3", "2-4"}}},
		"case": {func(r Row) { r["apex_runid"] = "API-RUN-001" },
			[]Difference{{"apex_runid", "api-run-001", "API-RUN-001"}}},
		"time": {func(r Row) { r["apex_createdat"] = "2026-03-01T12:34:57Z" },
			[]Difference{{"apex_createdat", "2026-03-01T12:34:56Z", "2026-03-01T12:34:57Z"}}},
		"missing":      {func(r Row) { delete(r, "apex_tokensin") }, []Difference{{"apex_tokensin", "1000", "null"}}},
		"another type": {func(r Row) { r["apex_tokensin"] = "1000" }, []Difference{{"apex_tokensin", "1000", "1000"}}},
		"absurd numbers": {func(r Row) { r["apex_tokensin"] = json.Number("1e999999999") },
			[]Difference{{"apex_tokensin", "1000", "1e999999999"}}},
	} {
		row := asStored()
		test.change(row)
		if got := wantedTable(60).Same(m, row); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	row := asStored()
	row["apex_costusd"] = json.Number("0.06")
	coarse := wantedTable(60).changed("costusd", func(c *Column) { c.Precision = 2 })
	if got := coarse.Same(m, row); got != nil {
		t.Errorf("a table with two digits holds it: %v", got)
	}
	m.SuccessRate = nil
	if got := wantedTable(60).Same(m, asStored()); got != nil {
		t.Error(got)
	}
	row = asStored()
	row["apex_successrate"] = json.Number("0")
	if got := wantedTable(60).Same(m, row); !slices.Equal(got, []Difference{{"apex_successrate", "null", "0"}}) {
		t.Error(got)
	}
}

func FuzzShortened(f *testing.F) {
	f.Add("api-test-001 · api-run-001 · 2-3", 20)
	f.Add("🚀🚀🚀", 4)
	f.Add("a", 0)
	f.Add("  · ", 2)
	f.Fuzz(func(t *testing.T, s string, units int) {
		if !utf8.ValidString(s) || units < 0 {
			return
		}
		got := shortened(s, units)
		if !utf8.ValidString(got) || utf16Length(got) > units || utf16Length(s) <= units && got != s {
			t.Errorf("%q to %d: %q", s, units, got)
		}
		if kept, cut := strings.CutSuffix(got, "…"); got != s && units > 0 && (!cut || !strings.HasPrefix(s, kept)) {
			t.Errorf("%q to %d: %q", s, units, got)
		}
	})
}
