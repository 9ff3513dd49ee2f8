package consumer

import (
	"strings"
	"time"
)

// place is where a message stands in its stream.
type place struct {
	sequence uint64
	time     time.Time // when the stream stored it
	pending  uint64    // messages behind it that the stream holds and did not deliver yet
}

// placeOf reads a message's place from its reply subject, which the server writes in one of two forms (ADR-15 of NATS):
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<nanoseconds>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<nanoseconds>.<pending>[.<more>]
//
// It is false for any other subject. The client's Metadata says the same and takes three times as long, a fiftieth of
// all that an event costs.
func placeOf(reply string) (p place, ok bool) {
	before := 5 // tokens before the sequence
	switch n := strings.Count(reply, ".") + 1; {
	case n >= 11:
		before = 7
	case n != 9:
		return p, false
	}
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	for range before - 2 {
		_, rest, _ = strings.Cut(rest, ".")
	}
	sequence, rest, sequenceOK := cutNumber(rest)
	_, rest, _ = strings.Cut(rest, ".")
	stored, rest, storedOK := cutNumber(rest)
	pending, _, pendingOK := cutNumber(rest)
	return place{sequence, time.Unix(0, int64(stored)), pending}, ok && sequenceOK && storedOK && pendingOK
}

// cutNumber reads the number in front of the next dot, and returns what stands behind it.
func cutNumber(s string) (n uint64, rest string, ok bool) {
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9' && n < 1<<60:
			n = n*10 + uint64(c-'0')
		case c == '.' && i > 0:
			return n, s[i+1:], true
		default:
			return 0, "", false
		}
	}
	return n, "", s != ""
}
