package aggregate

import (
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/apexsalesai/runmetrics/events"
)

// Money is a sum of costs in nano-dollars, 128 bits wide: 10^6 dollars for each of 10^22 executions fit.
// The zero value is no money. It is never negative: what is taken away was added before.
type Money struct {
	hi, lo uint64
}

// Unreadable is no sum of any costs: it stands for an amount in a store that no program wrote there.
var Unreadable = Money{hi: math.MaxUint64, lo: math.MaxUint64}

// Add returns m + n.
func (m Money) Add(n events.Nanos) Money {
	lo, carry := bits.Add64(m.lo, uint64(n), 0)
	return Money{hi: m.hi + carry, lo: lo}
}

// Plus returns the sum of both.
func (m Money) Plus(other Money) Money {
	lo, carry := bits.Add64(m.lo, other.lo, 0)
	return Money{hi: m.hi + other.hi + carry, lo: lo}
}

// Nanos returns the amount in nano-dollars.
func (m Money) Nanos() *big.Int {
	n := new(big.Int).SetUint64(m.hi)
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(m.lo))
}

// MoneyFromNanos is the inverse of Nanos. It is false where n is negative or wider than 128 bits.
func MoneyFromNanos(n *big.Int) (Money, bool) {
	if n.Sign() < 0 || n.BitLen() > 128 {
		return Money{}, false
	}
	lo := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1))
	return Money{hi: new(big.Int).Rsh(n, 64).Uint64(), lo: lo.Uint64()}, true
}

// String writes dollars as an exact decimal without trailing zeros: "0.002".
func (m Money) String() string { return string(m.append(nil)) }

func (m Money) append(b []byte) []byte {
	if m.hi == 0 && m.lo <= 1<<63-1 {
		return events.Nanos(m.lo).Append(b)
	}
	dollars, nanos := new(big.Int).QuoRem(m.Nanos(), big.NewInt(int64(events.NanosPerUSD)), new(big.Int))
	b = dollars.Append(b, 10)
	if fraction := events.Nanos(nanos.Int64()).Append(nil); len(fraction) > 1 {
		b = append(b, fraction[1:]...) // without the 0 before the point
	}
	return b
}

// MarshalJSON writes a JSON number with all its digits.
func (m Money) MarshalJSON() ([]byte, error) { return m.append(nil), nil }

// UnmarshalJSON reads what MarshalJSON writes, exactly.
func (m *Money) UnmarshalJSON(b []byte) error {
	parsed, err := ParseMoney(string(b))
	if err == nil {
		*m = parsed
	}
	return err
}

// ParseMoney reads a plain decimal of dollars with up to nine fraction digits, as String writes it and as databases
// print numeric(38,9); zeros may follow.
func ParseMoney(s string) (Money, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if !isDigits(whole) || point && !isDigits(fraction) {
		return Money{}, strconv.ErrSyntax
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > nanoDigits {
		return Money{}, strconv.ErrSyntax
	}
	nanos, _ := new(big.Int).SetString(whole+fraction+strings.Repeat("0", nanoDigits-len(fraction)), 10)
	m, ok := MoneyFromNanos(nanos)
	if !ok {
		return Money{}, strconv.ErrRange
	}
	return m, nil
}

// nanoDigits is how many fraction digits a nano-dollar has.
const nanoDigits = 9

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
