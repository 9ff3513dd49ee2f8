package emulator

import (
	"cmp"
	"math/big"
	"strconv"
	"strings"
)

// decimalDigits is the finest that a column can be.
const decimalDigits = 10

// decimal is a number with ten fraction digits: whole + parts·10⁻¹⁰, both of the same sign.
type decimal struct{ whole, parts int64 }

// decimalLimit is the range of every column with fractions, both ways.
const decimalLimit = 100_000_000_000

// parseDecimal reads a JSON number and rounds it to ten fraction digits, halves away from zero. It is false for what is no
// number or beyond ±10¹⁷.
func parseDecimal(text string) (decimal, bool) {
	if d, plain := parsePlain(text); plain {
		return d, true
	}
	approximate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(approximate > -1e17 && approximate < 1e17) || len(text) > 400 || strings.ContainsAny(text, "xXpP_") {
		return decimal{}, false
	}
	if approximate > -1e-30 && approximate < 1e-30 {
		return decimal{}, true // and no number of digits that the exponent makes up
	}
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		return decimal{}, false
	}
	return parsePlain(exact.FloatString(decimalDigits))
}

// parsePlain reads a number without exponent whose digits all fit.
func parsePlain(text string) (d decimal, ok bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(whole) == 0 || len(whole) > 17 || len(fraction) > decimalDigits {
		return decimal{}, false
	}
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return decimal{}, false
		}
		d.whole = 10*d.whole + int64(c-'0')
	}
	for _, c := range []byte(fraction + "0000000000")[:decimalDigits] {
		if c < '0' || c > '9' {
			return decimal{}, false
		}
		d.parts = 10*d.parts + int64(c-'0')
	}
	if negative {
		d.whole, d.parts = -d.whole, -d.parts
	}
	return d, true
}

func (d decimal) compare(other decimal) int {
	return cmp.Or(cmp.Compare(d.whole, other.whole), cmp.Compare(d.parts, other.parts))
}

// round leaves so many fraction digits, halves away from zero.
func (d decimal) round(digits int) decimal {
	unit := int64(1)
	for range decimalDigits - digits {
		unit *= 10
	}
	half := unit / 2
	if d.parts < 0 {
		half = -half
	}
	const one = 10_000_000_000
	d.parts = (d.parts + half) / unit * unit
	return decimal{d.whole + d.parts/one, d.parts % one}
}

// append writes the number with so many fraction digits, which must be all it has.
func (d decimal) append(b []byte, digits int) []byte {
	whole, parts := d.whole, d.parts
	if whole < 0 || parts < 0 {
		b = append(b, '-')
		whole, parts = -whole, -parts
	}
	b = strconv.AppendInt(b, whole, 10)
	if digits == 0 {
		return b
	}
	b = append(b, '.')
	text := strconv.FormatInt(parts, 10)
	text = strings.Repeat("0", decimalDigits-len(text)) + text
	return append(b, text[:digits]...)
}

// String has no zeros at the end.
func (d decimal) String() string {
	text := strings.TrimRight(string(d.append(nil, decimalDigits)), "0")
	return strings.TrimSuffix(text, ".")
}
