package dataverse

import (
	"encoding/json"
	"math/big"
	"strings"
)

// decimal is an exact number: unscaled / 10^scale.
type decimal struct {
	unscaled *big.Int
	scale    int
}

func newDecimal(unscaled int64, scale int) *decimal { return &decimal{big.NewInt(unscaled), scale} }

// rounded has at most that many digits after the point, half even.
func (d *decimal) rounded(digits int) *decimal {
	if digits >= d.scale {
		return d
	}
	unit := powerOf10(d.scale - digits)
	quotient, rest := new(big.Int).QuoRem(d.unscaled, unit, new(big.Int))
	rest.Abs(rest)
	half := rest.Lsh(rest, 1).Cmp(unit)
	if half > 0 || half == 0 && quotient.Bit(0) == 1 {
		quotient.Add(quotient, big.NewInt(int64(d.unscaled.Sign())))
	}
	return &decimal{quotient, digits}
}

// String writes all digits, without zeros at the end of a fraction.
func (d *decimal) String() string {
	digits := new(big.Int).Abs(d.unscaled).String()
	if missing := d.scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, fraction := digits[:len(digits)-d.scale], strings.TrimRight(digits[len(digits)-d.scale:], "0")
	if fraction != "" {
		whole += "." + fraction
	}
	if d.unscaled.Sign() < 0 {
		whole = "-" + whole
	}
	return whole
}

// rat is for comparisons.
func (d *decimal) rat() *big.Rat { return new(big.Rat).SetFrac(d.unscaled, powerOf10(d.scale)) }

func powerOf10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// longestNumber is more digits than any column of Dataverse has.
const longestNumber = 64

// parseNumber reads a JSON number exactly; false is for what is none, or has an absurd size.
func parseNumber(n json.Number) (*big.Rat, bool) {
	if len(n) > longestNumber || strings.ContainsAny(string(n), "/_xXoObBpP") {
		return nil, false
	}
	if i := strings.IndexAny(string(n), "eE"); i >= 0 && len(n)-i > 4 {
		return nil, false
	}
	return new(big.Rat).SetString(string(n))
}
