package events

import "math"

// decimal is a JSON number kept exactly: digits × 10^exp. Floats would turn 0.1 into something else, and integers may
// be written 5.0 or 1e3.
type decimal struct {
	neg    bool
	digits []byte // without leading or trailing zeros; empty is zero
	exp    int
}

// rounding says what becomes of the digits that do not fit.
type rounding int

const (
	exact    rounding = iota // refuse them
	halfUp                   // 0.5 → 1
	halfEven                 // 0.5 → 0, 1.5 → 2
)

// maxExponent keeps exponents far from int overflow; no accepted value comes near it.
const maxExponent = 1 << 20

// scratchSize is the digits of any sensible number; longer ones are right too, but allocate.
const scratchSize = 32

// parseDecimal reads s by the number grammar of JSON (RFC 8259 §6). The digits of the result stand in s or in scratch.
func parseDecimal(s, scratch []byte) (decimal, bool) {
	var d decimal
	i := 0
	if i < len(s) && s[i] == '-' {
		d.neg = true
		i++
	}
	whole := digitsAt(s, i)
	if whole == 0 || (whole > 1 && s[i] == '0') {
		return d, false
	}
	digits := s[i : i+whole]
	i += whole
	if i < len(s) && s[i] == '.' {
		fraction := digitsAt(s, i+1)
		if fraction == 0 {
			return d, false
		}
		// The copy keeps s as it is: it may be the caller's message.
		digits = append(append(scratch[:0], digits...), s[i+1:i+1+fraction]...)
		d.exp = -fraction
		i += 1 + fraction
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		e, n, ok := parseExponent(s[i+1:])
		if !ok {
			return d, false
		}
		d.exp += e
		i += 1 + n
	}
	if i != len(s) {
		return d, false
	}
	d.digits, d.exp = trimZeros(digits, d.exp)
	return d, true
}

// digitsAt counts the digits of s from i on.
func digitsAt(s []byte, i int) int {
	n := 0
	for i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '9' {
		n++
	}
	return n
}

// parseExponent reads what follows the e of a number and returns its value, clamped, and its length.
func parseExponent(s []byte) (value, length int, ok bool) {
	i, sign := 0, 1
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		if s[i] == '-' {
			sign = -1
		}
		i++
	}
	n := digitsAt(s, i)
	for _, c := range s[i : i+n] {
		value = min(value*10+int(c-'0'), maxExponent)
	}
	return sign * value, i + n, n > 0
}

func trimZeros(digits []byte, exp int) ([]byte, int) {
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	for len(digits) > 0 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exp++
	}
	return digits, exp
}

// negative tells whether the number lies below zero; -0 does not.
func (d decimal) negative() bool { return d.neg && len(d.digits) > 0 }

// nonNegative reads a number of 0 or more and returns it times 10^scale. It is false for anything else, and where scaled is.
func nonNegative(s []byte, scale int, r rounding) (int64, bool) {
	if scale == 0 && len(s) <= 18 && digitsAt(s, 0) == len(s) {
		n := int64(0) // as nearly all are written
		for _, c := range s {
			n = n*10 + int64(c-'0')
		}
		return n, len(s) == 1 || len(s) > 1 && s[0] != '0'
	}
	d, ok := parseDecimal(s, make([]byte, 0, scratchSize))
	if !ok || d.negative() {
		return 0, false
	}
	return d.scaled(scale, r)
}

// scaled returns the number times 10^scale as an integer. It is false where the result does not fit into an int64, or
// where rounding is exact and a fraction remains.
func (d decimal) scaled(scale int, r rounding) (int64, bool) {
	if len(d.digits) == 0 {
		return 0, true // whatever the exponent: 0.00 and 0e99 are zero
	}
	whole := len(d.digits) + d.exp + scale // digits before the point of the result
	if whole > 19 {
		return 0, false
	}
	var n uint64 // 19 digits and a carry always fit
	for i := range whole {
		n *= 10
		if i < len(d.digits) {
			n += uint64(d.digits[i] - '0')
		}
	}
	if whole < len(d.digits) {
		if r == exact {
			return 0, false
		}
		if d.roundsUp(whole, r, n) {
			n++
		}
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	if d.neg {
		return -int64(n), true
	}
	return int64(n), true
}

// roundsUp tells whether the digits from position whole on lift the magnitude n by one.
func (d decimal) roundsUp(whole int, r rounding, n uint64) bool {
	if whole < 0 || d.digits[whole] < '5' {
		return false
	}
	half := d.digits[whole] == '5' && whole+1 == len(d.digits)
	return !half || r == halfUp || n%2 == 1
}
