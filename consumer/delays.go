package consumer

import "time"

// DelayBounds are upper bounds of the buckets of Delays, in seconds. The promise is milliseconds; what is read after an
// outage has waited for hours.
var DelayBounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400}

// Delays is a histogram: for each message, how long it took from when the stream stored it until it was committed, by the
// clocks of broker and reader. It is counted here and not by an instrument of OpenTelemetry, which would take longer for a
// message than its fold does.
type Delays struct {
	Counts  [len(DelayBounds) + 1]uint64 // of each bucket; the last is of those above all bounds
	Seconds float64                      // sum
}

// add counts the messages of a batch. They are in the order of the stream, so that one after the other is seldom in
// another bucket.
func (d *Delays) add(items []*item, now time.Time) {
	at := len(DelayBounds)
	for _, it := range items {
		delay := max(0, now.Sub(it.time).Seconds())
		for at > 0 && delay <= DelayBounds[at-1] {
			at--
		}
		for at < len(DelayBounds) && delay > DelayBounds[at] {
			at++
		}
		d.Counts[at]++
		d.Seconds += delay
	}
}

func (d *Delays) plus(other Delays) {
	for i, n := range other.Counts {
		d.Counts[i] += n
	}
	d.Seconds += other.Seconds
}
