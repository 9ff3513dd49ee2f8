package query

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Greatest lengths of the names of a run and of an event in it, in UTF-16 code units.
const (
	maxID    = 64
	maxPhase = 16

	maxEventID = 128
)

// nameProblem says why no run can have the name, empty where one can. It keeps from the store what its text columns
// would refuse with an error of their own.
func nameProblem(name string, limit int) string {
	units := 0
	for _, c := range name {
		units++
		if c > 0xFFFF {
			units++
		}
	}
	switch {
	case units == 0 || units > limit:
		return fmt.Sprintf("must have 1 to %d characters", limit)
	case !utf8.ValidString(name):
		return "must be UTF-8"
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return "must not contain control characters"
	}
	return ""
}

// parseTime reads an RFC 3339 time as a bound on times of whole microseconds: rounded up, it cuts between them where
// the exact time does.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	// The package time reads a comma before the fraction, RFC 3339 does not.
	if err != nil || strings.Contains(s, ",") {
		return time.Time{}, false
	}
	t = t.UTC()
	if whole := t.Truncate(time.Microsecond); whole.Before(t) {
		t = whole.Add(time.Microsecond)
	}
	return t, true
}
