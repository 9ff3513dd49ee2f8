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
		d.fail("database", "dead letters", err.Error(), databaseFix(err))
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
		d.ok("database", "dead letters", "none is open")
	}
}

func (d *doctor) openLetters(c *sinks.LetterCount) {
	finding := fmt.Sprintf("stream %s: %d open with reason %s", c.Stream, c.Open, c.Reason)
	if c.Dropped > 0 {
		only := countedOnly{c.Stream, c.Reason, c.Dropped, c.FirstDropped, c.LastDropped}
		finding += "; " + only.String()
	}
	of := fmt.Sprintf("--stream %s --reason %s", c.Stream, c.Reason)
	d.warn("database", "dead letters", finding, fmt.Sprintf("runmetrics deadletters list %s shows them; %s, then "+
		"runmetrics deadletters drop %s --because TEXT gives up the others", of, letterFix(c.Reason, of), of))
}

// letterFix is what to do about letters of a reason.
func letterFix(reason events.Reason, of string) string {
	switch reason {
	case events.ConflictingDuplicate:
		return "let the agents use an id once; what should count is requeued with --payload and another id"
	case events.Sealed:
		return "they came after the executions of their runs were pruned, and change nothing any more"
	case events.UnsupportedVersion, events.UnknownType:
		return "upgrade runmetrics or mend the agents, then runmetrics deadletters requeue " + of + " publishes again what is accepted"
	}
	return "mend what sends them, then runmetrics deadletters requeue " + of + " publishes again what is accepted"
}
