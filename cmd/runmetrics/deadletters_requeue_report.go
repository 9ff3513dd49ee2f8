package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/apexsalesai/runmetrics/events"
)

// requeueReport is what the command prints.
type requeueReport struct {
	Applied bool                            `json:"applied"`
	Letters []requeued                      `json:"letters"`
	Counts  map[requeueOutcome]int64        `json:"counts"`
	Reasons map[events.Reason]requeueCounts `json:"reasons"`
}

// requeueCounts is how it went with the letters of a reason.
type requeueCounts map[requeueOutcome]int64

func (q *requeueing) report() requeueReport {
	r := requeueReport{Applied: q.apply, Letters: q.results, Counts: make(requeueCounts),
		Reasons: make(map[events.Reason]requeueCounts)}
	if r.Letters == nil {
		r.Letters = []requeued{}
	}
	for i := range q.results {
		of := &q.results[i]
		if r.Reasons[of.Reason] == nil {
			r.Reasons[of.Reason] = make(requeueCounts)
		}
		r.Reasons[of.Reason][of.Outcome]++
		r.Counts[of.Outcome]++
	}
	return r
}

// finish reports, and says how it went.
func (q *requeueing) finish(ctx context.Context, err error) error {
	r := q.report()
	if q.output == jsonOutput {
		if err := writeJSON(q.app.stdout, r); err != nil {
			return err
		}
	} else if _, err := io.WriteString(q.app.stdout, r.text()); err != nil {
		return err
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(q.app.stderr, "runmetrics: interrupted: the same command goes on with the others")
		return errLeftovers
	case err != nil:
		return err
	case r.Counts[outcomeLeft]+r.Counts[outcomeUnknown] > 0:
		return errLeftovers
	}
	return nil
}

// text is the report for people.
func (r *requeueReport) text() string {
	if len(r.Letters) == 0 {
		return "no dead letters\n"
	}
	var b strings.Builder
	for i := range r.Letters {
		fmt.Fprintln(&b, r.Letters[i])
	}
	fmt.Fprintln(&b)
	for _, reason := range events.Reasons {
		if counts := r.Reasons[reason]; counts != nil {
			fmt.Fprintf(&b, "%s: %s\n", reason, counts.text(r.Applied))
		}
	}
	if n := r.Counts[outcomeAccepted]; n > 0 {
		fmt.Fprintf(&b, "Nothing was changed: --apply publishes the %d that would be accepted.\n", n)
	}
	return b.String()
}

func (c requeueCounts) text(applied bool) string {
	if !applied {
		return fmt.Sprintf("%d would be accepted, %d would be refused again", c[outcomeAccepted], c[outcomeLeft])
	}
	text := fmt.Sprintf("%d requeued, %d left", c[outcomeRequeued], c[outcomeLeft])
	if n := c[outcomeUnknown]; n > 0 {
		text += fmt.Sprintf(", %d not acknowledged", n)
	}
	return text
}

// String is one letter in a line, fit for a terminal.
func (r requeued) String() string {
	line := fmt.Sprintf("%s %d/%d %s: ", printable(r.Stream), r.Epoch, r.Sequence, r.Reason)
	switch r.Outcome {
	case outcomeAccepted:
		return line + "would be accepted, as " + printable(r.Subject)
	case outcomeRequeued:
		return line + fmt.Sprintf("requeued as sequence %d of %s", r.IntoSequence, r.IntoStream)
	}
	return line + string(r.Outcome) + ": " + printable(r.Why)
}
