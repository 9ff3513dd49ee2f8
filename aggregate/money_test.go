package aggregate_test

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// amounts draws 0…2^128-1 nano-dollars of all sizes.
var amounts = rapid.Custom(func(t *rapid.T) *big.Int {
	n := new(big.Int).SetUint64(rapid.Uint64().Draw(t, "high"))
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(rapid.Uint64().Draw(t, "low")))
	return n.Rsh(n, uint(rapid.IntRange(0, 128).Draw(t, "shift")))
})

func TestMoneyGoesThroughTextJSONAndNanos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := amounts.Draw(t, "nanos")
		m, ok := aggregate.MoneyFromNanos(n)
		if !ok || m.Nanos().Cmp(n) != 0 {
			t.Fatalf("%s nanos became %s", n, m.Nanos())
		}
		dollars := new(big.Rat).SetFrac(n, big.NewInt(1e9))
		if read, _ := new(big.Rat).SetString(m.String()); read == nil || read.Cmp(dollars) != 0 {
			t.Fatalf("%s nanos read %s", n, m)
		}
		for _, text := range []string{m.String(), dollars.FloatString(9)} {
			if parsed, err := aggregate.ParseMoney(text); err != nil || parsed != m {
				t.Fatalf("%s parsed is %s (%v)", text, parsed, err)
			}
		}
		b, err := json.Marshal(m)
		var back aggregate.Money
		if err != nil || json.Unmarshal(b, &back) != nil || back != m || string(b) != m.String() {
			t.Fatalf("%s through JSON %s (%v) is %s", m, b, err, back)
		}
	})
}

func TestMoneyAddsLikeIntegers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts.Draw(t, "a"), amounts.Draw(t, "b")
		a.Rsh(a, 1)
		b.Rsh(b, 1)
		n := events.Nanos(rapid.Int64Range(0, math.MaxInt64).Draw(t, "n"))
		x, _ := aggregate.MoneyFromNanos(a)
		y, _ := aggregate.MoneyFromNanos(b)
		if sum := new(big.Int).Add(a, b); x.Plus(y).Nanos().Cmp(sum) != 0 {
			t.Fatalf("%s + %s = %s, want %s", a, b, x.Plus(y).Nanos(), sum)
		}
		if sum := new(big.Int).Add(a, big.NewInt(int64(n))); x.Add(n).Nanos().Cmp(sum) != 0 {
			t.Fatalf("%s + %d = %s, want %s", a, n, x.Add(n).Nanos(), sum)
		}
	})
}

func TestMoneyIsWrittenWithoutTrailingZeros(t *testing.T) {
	for nanos, want := range map[string]string{
		"0": "0", "1": "0.000000001", "2000000": "0.002", "10000000000": "10", "9223372036854775807": "9223372036.854775807",
		"9223372036854775808": "9223372036.854775808", "10000000000000000000": "10000000000",
		"10000000000000000500":                    "10000000000.0000005",
		"340282366920938463463374607431768211455": "340282366920938463463374607431.768211455",
	} {
		n, _ := new(big.Int).SetString(nanos, 10)
		if m, ok := aggregate.MoneyFromNanos(n); !ok || m.String() != want {
			t.Errorf("%s nanos read %s, want %s", nanos, m, want)
		}
	}
}

func TestMoneyIsNeitherNegativeNorWiderThan128Bits(t *testing.T) {
	for _, n := range []*big.Int{big.NewInt(-1), new(big.Int).Lsh(big.NewInt(1), 128)} {
		if m, ok := aggregate.MoneyFromNanos(n); ok {
			t.Errorf("%s nanos are %s", n, m)
		}
	}
	for _, s := range []string{"-1", "-0.5", "340282366920938463463374607431.768211456", "1e99"} {
		if m, err := aggregate.ParseMoney(s); err == nil {
			t.Errorf("%s is %s", s, m)
		}
	}
}

// A plain decimal only: what math/big reads besides could mean anything, or keep it busy for hours.
func TestMoneyIsAPlainDecimal(t *testing.T) {
	for _, s := range []string{"", ".", "-", "+1", " 1", "1 ", "1.", ".5", "1/2", "1e3", "1E-3", "0x10", "1_000", "1,5", "Inf", "NaN", "null",
		"0.0000000001", "1.0000000005", "1e999999", `"1"`, "１"} {
		if m, err := aggregate.ParseMoney(s); err == nil {
			t.Errorf("%q is %s", s, m)
		}
	}
	for s, want := range map[string]string{"0": "0", "007": "7", "0.059133500": "0.0591335", "1.000000000": "1", "1.0000000000": "1"} {
		if m, err := aggregate.ParseMoney(s); err != nil || m.String() != want {
			t.Errorf("%q is %s (%v), want %s", s, m, err, want)
		}
	}
}

func TestPercentIsRoundedHalfUpToTwoDecimals(t *testing.T) {
	for _, c := range []struct {
		part, whole int64
		want        string
	}{
		{0, 1, "0"}, {1, 1, "100"}, {2, 3, "66.67"}, {1, 3, "33.33"}, {1, 8, "12.5"}, {1, 16, "6.25"}, {1, 32, "3.13"}, {3, 32, "9.38"},
		{1, 20_000, "0.01"}, {1, 20_001, "0"}, {19_999, 20_000, "100"}, {1e9, 1e9, "100"}, {999_999_999, 1e9, "100"}, {333_333_333, 1e9, "33.33"},
	} {
		m := fold(runReported("r", c.whole, c.part, 0)).Metrics()
		if got := m.SuccessRate.String(); got != c.want {
			t.Errorf("%d of %d is %s %%, want %s", c.part, c.whole, got, c.want)
		}
	}
}

func TestARecordGoesThroughJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := fold(histories().Draw(t, "history")...).Metrics()
		m.Version, m.UpdatedAt = 7, after(99)
		b, err := json.Marshal(m)
		var back aggregate.Metrics
		if err == nil {
			err = json.Unmarshal(b, &back)
		}
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("%s reads as %+v (%v), want %+v", b, back, err, m)
		}
	})
}

func TestBadPercentagesAreRefused(t *testing.T) {
	for _, s := range []string{`-1`, `100.01`, `0.001`, `"50"`, `1e1`, `true`, `[]`} {
		var p aggregate.Percent
		if err := json.Unmarshal([]byte(s), &p); err == nil {
			t.Errorf("%s is %s %%", s, p)
		}
	}
}
