package events

import (
	"bytes"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// earliest is the first accepted occurredAt; what lies before it is a clock that was never set.
var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// latestYear is the last one that RFC 3339 can write.
const latestYear = 9999

// maxAhead is how far producers' clocks may run ahead of the stream's.
const maxAhead = 24 * time.Hour

// time reads a required RFC 3339 time and cuts it to microseconds, UTC.
func (r *reader) time(f field, stored time.Time) time.Time {
	raw := r.object[f]
	if raw == nil {
		r.refuse(f, "is required")
		return time.Time{}
	}
	t, ok := parseTime(raw)
	if !ok {
		r.refuse(f, "must be an RFC 3339 time such as 2026-02-14T14:47:08.035Z")
		return time.Time{}
	}
	t = t.UTC().Truncate(time.Microsecond)
	switch {
	case t.Before(earliest):
		r.refuse(f, "must not lie before 2000-01-01")
	case t.Year() > latestYear: // an offset can lead there
		r.refuse(f, "must not lie after 9999-12-31")
	case !stored.IsZero() && t.After(stored.Add(maxAhead)):
		r.refuse(f, "must not lie more than 24 h ahead of the time at which the stream stored the event")
	}
	return t
}

// parseTime reads RFC 3339 as it is written there: T and Z may be lower case, which the package time refuses; an hour of
// one digit, a comma before the fraction and offsets beyond 23:59 may not be, which it accepts.
func parseTime(raw jsontext.Value) (t time.Time, ok bool) {
	if raw.Kind() != stringKind {
		return t, false
	}
	s := append(make([]byte, 0, scratchSize), unquoted(raw)...) // a text would be allocated, and dropped at once
	for i, c := range s {
		if c == 't' || c == 'z' {
			s[i] = c - 'a' + 'A'
		}
	}
	if t.UnmarshalText(s) != nil || s[len("2006-01-02T15")] != ':' || bytes.IndexByte(s, ',') >= 0 {
		return time.Time{}, false
	}
	if s[len(s)-1] == 'Z' {
		return t, true
	}
	offset := string(s[len(s)-len("07:00"):])
	return t, offset < "24" && offset[len("07:"):] < "60"
}
