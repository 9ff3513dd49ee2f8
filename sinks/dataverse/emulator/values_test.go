package emulator

import (
	"cmp"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestValuesComeBackFromTheCellsOfARow(t *testing.T) {
	values := []value{
		null, textValue("a"), textValue("é🚀"), textValue(string(make([]byte, 300))), intValue(0), intValue(-1), intValue(1 << 40),
		decimalValue(decimal{-5, -9_999_999_999}), timeValue(time.Unix(-1, 0)), idValue(uuid.Max), boolValue(true), null,
	}
	r := &row{cells: joined(values)}
	for i, want := range values {
		if got := r.cell(i); got != want {
			t.Errorf("cell %d is %q, want %q", i, got, want)
		}
	}
	if got := r.cell(len(values)); got != null {
		t.Errorf("a cell that is missing is %q", got)
	}
	if !slices.Equal(r.values(len(values)), values) || r.values(len(values) + 1)[len(values)] != null {
		t.Errorf("values %q", r.values(len(values)+1))
	}
}

func TestDecimalsAreReadAndRoundedExactly(t *testing.T) {
	for _, c := range []struct {
		text   string
		digits int
		want   string
	}{
		{"0", 2, "0.00"}, {"-0", 0, "0"}, {"-0.5", 2, "-0.50"}, {"1.005", 2, "1.01"}, {"-1.005", 2, "-1.01"}, {"0.995", 2, "1.00"},
		{"99.999", 2, "100.00"}, {"1e-3", 3, "0.001"}, {"1E+2", 0, "100"}, {"123456789012.0123456789", 10, "123456789012.0123456789"},
		{"0.12345678905", 10, "0.1234567891"}, {"-99999999999999999", 0, "-99999999999999999"}, {"1e-400", 2, "0.00"}, {"2.5", 0, "3"},
	} {
		d, ok := parseDecimal(c.text)
		if got := string(d.round(c.digits).append(nil, c.digits)); !ok || got != c.want {
			t.Errorf("%s to %d digits: %s, %t, want %s", c.text, c.digits, got, ok, c.want)
		}
	}
	for _, text := range []string{"", "-", "1.2.3", "1e18", "1e999999999", "NaN", "Infinity", "0x1p2", "1_0", "--1", "1-", "5/2", " 1"} {
		if d, ok := parseDecimal(text); ok {
			t.Errorf("%q is read as %s", text, d)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, text := range []string{"0.1", "-123456.7890123456789", "1e10", "5E-5", "00.5", "1.", "0e10000000000000000000"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, ok := parseDecimal(text)
		if !ok {
			return
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e-30 { // the exponent may be as long as it likes
			if d != (decimal{}) {
				t.Errorf("%q is %s, want 0", text, d)
			}
			return
		}
		exact, isNumber := new(big.Rat).SetString(text)
		if !isNumber {
			t.Fatalf("%q is no number, read as %s", text, d)
		}
		want := strings.TrimPrefix(exact.FloatString(decimalDigits), "-")
		if got := strings.TrimPrefix(string(d.append(nil, decimalDigits)), "-"); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	})
}

func TestTextsAreComparedWithoutRegardToCase(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"a", "A", 0}, {"a", "B", -1}, {"B", "a", 1}, {"a", "ab", -1}, {"É", "é", 0}, {"é", "e", 1}, {"Straße", "straße", 0}, {"", "a", -1}} {
		if got := compare(textValue(c.a), textValue(c.b)); got != c.want {
			t.Errorf("compare %q with %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestAnIndexStaysInOrder makes random changes, and the same to a sorted list.
func TestAnIndexStaysInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	byVersion := func(a, b *row) int { return cmp.Compare(a.version, b.version) }
	x := newIndex(byVersion, nil)
	var want []*row
	for step := range 20_000 {
		r := &row{version: int64(random.IntN(5000))}
		at, found := slices.BinarySearchFunc(want, r, byVersion)
		switch {
		case found && step%3 > 0:
			x.remove(r)
			want = slices.Delete(want, at, at+1)
		case found:
			x.put(r)
			want[at] = r
		default:
			x.put(r)
			x.remove(&row{version: -1})
			want = slices.Insert(want, at, r)
		}
	}
	if got := slices.Collect(x.after(nil)); !slices.Equal(got, want) || x.size != len(want) {
		t.Fatalf("%d rows, size %d, want %d", len(got), x.size, len(want))
	}
	for version := int64(-1); version <= 5000; version += 7 {
		probe := &row{version: version}
		at, found := slices.BinarySearchFunc(want, probe, byVersion)
		if found {
			if x.find(probe) != want[at] {
				t.Fatalf("row %d is not found", version)
			}
			at++
		}
		if got := slices.Collect(x.after(probe)); !slices.Equal(got, want[at:]) {
			t.Fatalf("%d rows after %d, want %d", len(got), version, len(want)-at)
		}
	}
	for _, r := range want {
		x.remove(r)
	}
	if x.size != 0 || len(x.blocks) != 0 {
		t.Errorf("size %d, %d blocks when empty", x.size, len(x.blocks))
	}
}
