package dataverse

import "time"

// bucket is an allowance that grows with time up to a bound. The zero time is when it was full.
type bucket struct {
	burst     float64 // bound, and what is there at first
	perSecond float64
	used      float64   // of burst; above it is debt
	at        time.Time // when used was worked out
}

// take takes n, which may be more than there is; a negative n gives back.
func (b *bucket) take(now time.Time, n float64) {
	b.used = max(0, b.usedAt(now)+n)
	b.at = now
}

// wait is how long it takes until there is n, at most burst; 0 or less: there is.
func (b *bucket) wait(now time.Time, n float64) time.Duration {
	missing := b.usedAt(now) + min(n, b.burst) - b.burst
	return time.Duration(missing / b.perSecond * float64(time.Second))
}

func (b *bucket) usedAt(now time.Time) float64 {
	return max(0, b.used-b.perSecond*now.Sub(b.at).Seconds())
}
