package events_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

func TestTimesAreCutToMicrosecondsInUTC(t *testing.T) {
	for raw, want := range map[string]string{
		`2026-02-14T14:47:08Z`:                       "2026-02-14T14:47:08Z",
		`2026-02-14T14:47:08.035Z`:                   "2026-02-14T14:47:08.035Z",
		`2026-02-14T14:47:08.123456Z`:                "2026-02-14T14:47:08.123456Z",
		`2026-02-14T14:47:08.1234569Z`:               "2026-02-14T14:47:08.123456Z",
		`2026-02-14T14:47:08.999999999999999999Z`:    "2026-02-14T14:47:08.999999Z",
		`2026-02-14T16:47:08+02:00`:                  "2026-02-14T14:47:08Z",
		`2026-02-14T00:17:08.5-14:30`:                "2026-02-14T14:47:08.5Z",
		`2026-02-14T14:47:08-00:00`:                  "2026-02-14T14:47:08Z",
		`2026-02-14t14:47:08z`:                       "2026-02-14T14:47:08Z", // RFC 3339 §5.6 allows lower case
		`2000-01-01T00:00:00Z`:                       "2000-01-01T00:00:00Z",
		`1999-12-31T23:30:00-01:00`:                  "2000-01-01T00:30:00Z",
		`2028-02-29T00:00:00Z`:                       "2028-02-29T00:00:00Z",
		`9999-12-31T23:59:59.999999999Z`:             "9999-12-31T23:59:59.999999Z", // no bound without the stream's time
		`2026-02-14T14:47:08.\u0031Z`:                "2026-02-14T14:47:08.1Z",
		`2026-02-14T23:59:59.9999999000000000+23:59`: "2026-02-14T00:00:59.999999Z",
	} {
		e := mustDecode(t, sample(events.RunStarted).with("occurredAt", `"`+raw+`"`))
		if !e.OccurredAt.Equal(utc(want)) || e.OccurredAt.Location() != time.UTC {
			t.Errorf("%s: got %v, want %s", raw, e.OccurredAt, want)
		}
	}
}

func TestBadTimes(t *testing.T) {
	w := sample(events.RunStarted)
	mustRefuse(t, w.with("occurredAt", ``), "occurredAt", "is required")
	mustRefuse(t, w.with("occurredAt", `null`), "occurredAt", "is required")
	for _, raw := range []string{`1771080428`, `true`, `[]`, `{}`} {
		mustRefuse(t, w.with("occurredAt", raw), "occurredAt", "must be an RFC 3339 time")
	}
	for _, s := range []string{
		"", "now", "2026-02-14", "2026-02-14T14:47:08", "2026-02-14 14:47:08Z", "2026-02-14T14:47Z", "20260214T144708Z",
		"2026-02-14T14:47:08,5Z", "2026-02-14T14:47:08.Z", "2026-02-14T4:47:08Z", "2026-2-14T14:47:08Z",
		"2026-02-30T14:47:08Z", "2026-02-14T24:00:00Z", "2026-02-14T14:60:08Z", "2026-02-14T14:47:08+24:00",
		"2026-02-14T14:47:08+00:60", "2026-02-14T14:47:08+0200", "2026-02-14T14:47:08+02", "+2026-02-14T14:47:08Z",
		" 2026-02-14T14:47:08Z", "2026-02-14T14:47:08Z ", "12026-02-14T14:47:08Z", "Sat, 14 Feb 2026 14:47:08 GMT",
	} {
		mustRefuse(t, w.with("occurredAt", strconv.Quote(s)), "occurredAt", "must be an RFC 3339 time")
	}
	for _, s := range []string{"1999-12-31T23:59:59.999999Z", "2000-01-01T00:00:00+00:01", "0001-01-01T00:00:00Z"} {
		mustRefuse(t, w.with("occurredAt", strconv.Quote(s)), "occurredAt", "must not lie before 2000-01-01")
	}
	// A year of five digits could be neither encoded nor stored.
	mustRefuse(t, w.with("occurredAt", `"9999-12-31T23:59:59-00:01"`), "occurredAt", "must not lie after 9999")
}

func TestAnEventMayLieADayAheadOfTheStream(t *testing.T) {
	stored := utc("2026-02-14T12:34:56.000000900Z")
	for at, good := range map[string]bool{
		"2026-02-15T12:34:56Z":        true,
		"2026-02-15T12:34:56.000001Z": false,
		"2026-02-15T13:34:56+01:00":   true,
		"2099-01-01T00:00:00Z":        false,
		"2000-01-01T00:00:00Z":        true,
	} {
		data := sample(events.RunStarted).with("occurredAt", strconv.Quote(at)).json()
		_, rejected := events.Decode(events.Message{Data: data, Time: stored})
		switch {
		case good && rejected != nil:
			t.Errorf("%s: %v", at, rejected)
		case !good && (rejected == nil || rejected.Field() != "occurredAt" || rejected.Reason != events.Invalid):
			t.Errorf("%s was not refused for occurredAt: %v", at, rejected)
		}
	}
}
