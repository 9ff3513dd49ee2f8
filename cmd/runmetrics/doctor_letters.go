package main

import (
	"context"
	"fmt"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// examineLetters says which messages became no event and wait for somebody to deal with them.
func (d *doctor) examineLetters(ctx context.Context) {
	if d.store == nil {
		return
	}
	counts, err := d.store.LetterCounts(ctx, sinks.LetterFilter{})
	if err != nil {
		d.fail(areaDatabase, "dead letters", err.Error(), databaseFix(err))
		return
	}
	open := false
	for i := range counts {
		if c := &counts[i]; c.Open > 0 {
			open = true
			d.openLetters(c)
		}
	}
	if !open {
		d.ok(areaDatabase, "dead letters", "none is open")
	}
}

func (d *doctor) openLetters(c *sinks.LetterCount) {
	finding := fmt.Sprintf("stream %s: %d open with reason %s", c.Stream, c.Open, c.Reason)
	if c.Dropped > 0 {
		only := countedOnly{c.Stream, c.Reason, c.Dropped, c.FirstDropped, c.LastDropped}
		finding += "; " + only.String()
	}
	d.warn(areaDatabase, "dead letters", finding, letterFix(c.Reason))
}

// letterFix is what to do about letters of a reason.
func letterFix(reason events.Reason) string {
	switch reason {
	case events.ConflictingDuplicate:
		return "let agents use an id once; runmetrics deadletters show has the event, requeue --payload publishes it with another id, " +
			"drop gives it up"
	case events.Sealed:
		return "they came after the executions of their runs were pruned: runmetrics deadletters drop --reason sealed gives them up"
	case events.UnsupportedVersion, events.UnknownType:
		return fmt.Sprintf("upgrade runmetrics, or mend what sends them; runmetrics deadletters requeue --reason %s then says which "+
			"are accepted, drop gives up the others", reason)
	}
	return fmt.Sprintf("mend what sends them; runmetrics deadletters requeue --reason %s says which are accepted now, drop gives up "+
		"the others", reason)
}
