package events

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// jsonNumber is RFC 8259 §6 as an expression.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// wanted computes what scaled must return by rational arithmetic.
func wanted(number *big.Rat, scale int, r rounding) (int64, bool) {
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	x := new(big.Rat).Mul(new(big.Rat).Abs(number), new(big.Rat).SetInt(ten))
	n, rest := new(big.Int).QuoRem(x.Num(), x.Denom(), new(big.Int))
	if rest.Sign() != 0 && r == exact {
		return 0, false
	}
	half := rest.Lsh(rest, 1).Cmp(x.Denom())
	if half > 0 || half == 0 && (r == halfUp || n.Bit(0) == 1) {
		n.Add(n, big.NewInt(1))
	}
	if !n.IsInt64() {
		return 0, false
	}
	return n.Int64() * int64(number.Sign()), true
}

func checkDecimal(t *testing.T, s string) {
	t.Helper()
	d, ok := parseDecimal([]byte(s), nil)
	if grammar := jsonNumber.MatchString(s); ok != grammar {
		t.Fatalf("%q is a number: %v, want %v", s, ok, grammar)
	}
	if !ok {
		return
	}
	_, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	if len(strings.TrimLeft(exponent, "+-0")) > 4 {
		return // more than rational arithmetic can be asked for; TestExponentsOfAnySize has them
	}
	number, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is a number, but not to math/big", s)
	}
	if d.negative() != (number.Sign() < 0) {
		t.Fatalf("%q is negative: %v", s, d.negative())
	}
	for _, scale := range []int{0, 9} {
		for _, r := range []rounding{exact, halfUp, halfEven} {
			got, ok := d.scaled(scale, r)
			want, fits := wanted(number, scale, r)
			if ok != fits || ok && got != want {
				t.Fatalf("%q × 10^%d, rounding %d: got %d, %v, want %d, %v", s, scale, r, got, ok, want, fits)
			}
		}
	}
}

var decimalSeeds = []string{
	"0", "-0", "0.0", "0e5", "1", "-1", "5.0", "1e3", "0.5", "1.5", "2.5", "-0.5", "-1.5", "12.5",
	"0.059133500000000006", "1e-9", "5e-10", "1.5e-9",
	"2.5e-9", "0.00000000250000000001", "9223372036854775807", "9223372036854775808", "9223372036854775807.5",
	"9223372036854775806.5", "9999999999999999999", "9999999999999999999.9", "18446744073709551616",
	"9223372036.8547758075", "1e18", "1e19", "1e-400",
	"1e400", "123456789012345678901234567890e-29", "0.00e00007", "", "-", "+1", "01", "1.", ".5", "1e", "1e+", "1.e1",
	"0x1", "1_0", " 1", "1 ", "NaN",
}

func TestDecimalsAgreeWithRationals(t *testing.T) {
	for _, s := range decimalSeeds {
		checkDecimal(t, s)
	}
}

func TestExponentsOfAnySize(t *testing.T) {
	for s, want := range map[string]bool{
		"1e99999999999999999999999": false, "-1e1048577": false, "1e1048576": false,
		"1e-99999999999999999999999": true, "1e-1048577": true, "0e99999999999999999999999": true,
	} {
		d, ok := parseDecimal([]byte(s), nil)
		n, fits := d.scaled(9, halfEven)
		if !ok || fits != want || n != 0 {
			t.Errorf("%s: got %d, %v, %v", s, n, fits, ok)
		}
	}
	// As many digits as a message can have, moved back by as great an exponent.
	long := "0." + strings.Repeat("0", 60_000) + "15e60002"
	if d, ok := parseDecimal([]byte(long), nil); !ok {
		t.Error("a long number is none")
	} else if n, fits := d.scaled(0, exact); n != 15 || !fits {
		t.Errorf("got %d, %v, want 15", n, fits)
	}
}

func TestTheGreatestIntegerFits(t *testing.T) {
	d, _ := parseDecimal([]byte("9223372036854775807.4"), nil)
	if n, ok := d.scaled(0, halfUp); n != math.MaxInt64 || !ok {
		t.Errorf("got %d, %v", n, ok)
	}
}

func FuzzDecimal(f *testing.F) {
	for _, s := range decimalSeeds {
		f.Add(s)
	}
	f.Fuzz(checkDecimal)
}
