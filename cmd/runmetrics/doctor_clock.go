package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// apartTime is how far clocks may be apart before that is worth a word: times that people compare come from several.
	apartTime = 2 * time.Second
	// aheadTime is how far the time of an event may lie ahead of its stream's clock; beyond it the event is refused.
	aheadTime = 24 * time.Hour
)

// clockReading is how the clock of a server was seen to differ from this machine's.
type clockReading struct {
	whose string
	ahead time.Duration // of this machine's; negative: behind
	doubt time.Duration // how much of it may be the way there and back
}

// readClock notes what time a server said it was, between two moments of this machine's clock.
func (d *doctor) readClock(whose string, before, said, after time.Time) {
	way := after.Sub(before) / 2
	d.clocks = append(d.clocks, clockReading{whose, said.Sub(before.Add(way)), way})
}

// apart tells whether the clocks differ for certain.
func (r clockReading) apart() bool { return r.ahead.Abs() > apartTime+r.doubt }

// examineClocks compares this machine's clock with those that were read. Where all of them agree against it, it is wrong.
func (d *doctor) examineClocks(context.Context) {
	var wrong []clockReading
	for _, r := range d.clocks {
		if r.apart() {
			wrong = append(wrong, r)
		} else {
			d.ok(areaClock, r.whose, fmt.Sprintf("within %s of this machine's clock",
				max(r.ahead.Abs(), time.Millisecond).Round(time.Millisecond)))
		}
	}
	if len(wrong) > 1 && len(wrong) == len(d.clocks) && alike(wrong) {
		d.wrongClock("this machine", wrong[0].ahead, fmt.Sprintf("%s and %s agree that this machine's clock is %s",
			wrong[0].whose, wrong[1].whose, direction(-wrong[0].ahead)))
		return
	}
	for _, r := range wrong {
		d.wrongClock(r.whose, r.ahead, fmt.Sprintf("its clock is %s this machine's", direction(r.ahead)))
	}
}

// alike tells whether readings differ by less than what is worth a word.
func alike(list []clockReading) bool {
	for _, r := range list[1:] {
		if (r.ahead - list[0].ahead).Abs() > apartTime+r.doubt+list[0].doubt {
			return false
		}
	}
	return true
}

func direction(ahead time.Duration) string {
	if ahead < 0 {
		return (-ahead).Round(time.Second).String() + " behind"
	}
	return ahead.Round(time.Second).String() + " ahead of"
}

// wrongClock notes a clock that differs.
func (d *doctor) wrongClock(whose string, by time.Duration, finding string) {
	fix := "set the clock that is wrong by the network, `timedatectl set-ntp true` on that machine; compare with `date -u`"
	if by.Abs() >= aheadTime {
		d.fail(areaClock, whose, finding+": events whose time is a day ahead of the stream's become dead letters", fix)
		return
	}
	d.warn(areaClock, whose, finding+": delays and ages that are shown are wrong by that", fix)
}
