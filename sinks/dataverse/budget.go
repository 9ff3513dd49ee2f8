package dataverse

import (
	"errors"
	"time"
)

// closingLook is how long a dispatcher waits between two looks for closing records among others that it may not send.
const closingLook = 2 * time.Second

var errBudget = errors.New("DATAVERSE_DAILY_BUDGET is used up to what is kept for records that close a run; midnight UTC begins a new day")

// budget is how many rows may still be sent today.
type budget struct {
	daily    int64 // 0: any number
	day      time.Time
	used     int64 // by all dispatchers, as the store last said
	reserved int64 // claimed here, and not settled
}

// allow is how many of so many rows may be claimed, 0 for none before midnight. The last tenth is for closing records.
func (b *budget) allow(now time.Time, rows int) (limit int, closingOnly bool) {
	if b.daily == 0 {
		return rows, false
	}
	b.turn(now)
	left := b.daily - b.used - b.reserved
	if free := left - b.daily/10; free > 0 {
		return int(min(free, int64(rows))), false
	}
	return int(max(0, min(left, int64(rows)))), true
}

func (b *budget) reserve(rows int) { b.reserved += int64(rows) }
func (b *budget) release(rows int) { b.reserved -= int64(rows) }

// settled takes in what the store had counted at a time for the day. It may be over meanwhile.
func (b *budget) settled(at time.Time, today int64) {
	if dayOf(at).After(b.day) {
		b.turn(at)
	}
	if dayOf(at).Equal(b.day) {
		b.used = max(b.used, today)
	}
}

// turn begins a new day where there is one.
func (b *budget) turn(now time.Time) {
	if day := dayOf(now); !day.Equal(b.day) {
		b.day, b.used = day, 0
	}
}

// dayOf is when the UTC day of a time began.
func dayOf(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// midnight is when the next UTC day begins.
func midnight(now time.Time) time.Time { return dayOf(now).Add(24 * time.Hour) }
