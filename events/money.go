package events

import "strconv"

// Nanos is an amount of US dollars in units of 10^-9. Prices of single tokens lie below a millionth of a dollar, and
// integers add up to the same sum in any order.
type Nanos int64

// NanosPerUSD is one dollar.
const NanosPerUSD Nanos = 1_000_000_000

// Cost is what an execution cost, or that nobody knows. Unknown is not zero.
type Cost struct {
	Nanos Nanos
	Known bool
}

// USD makes a known cost of n nano-dollars.
func USD(n Nanos) Cost { return Cost{Nanos: n, Known: true} }

// ParseCost reads a decimal number of US dollars such as "0.0125" or "1e-3" exactly, rounded half even to nine
// fraction digits. It fails with a text that names what is wrong when s is not a number or lies outside 0…10^6.
func ParseCost(s string) (Nanos, error) {
	d, ok := parseDecimal([]byte(s), nil)
	if !ok {
		return 0, errNotNumber
	}
	n, ok := d.scaled(9, halfEven)
	if !ok || d.negative() || n > int64(maxCost) {
		return 0, errCostRange
	}
	return Nanos(n), nil
}

// String writes the amount in dollars without trailing zeros, "0.002" for 2,000,000.
func (n Nanos) String() string { return string(n.Append(nil)) }

// Append appends what String returns to b.
func (n Nanos) Append(b []byte) []byte {
	u := uint64(n)
	if n < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/uint64(NanosPerUSD), 10)
	return appendFraction(b, u%uint64(NanosPerUSD))
}

// appendFraction appends nanos (below one dollar) as a decimal fraction without trailing zeros.
func appendFraction(b []byte, nanos uint64) []byte {
	if nanos == 0 {
		return b
	}
	var digits [9]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + nanos%10)
		nanos /= 10
	}
	end := len(digits)
	for digits[end-1] == '0' {
		end--
	}
	b = append(b, '.')
	return append(b, digits[:end]...)
}
