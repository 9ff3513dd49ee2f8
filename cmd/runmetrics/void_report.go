package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// voidReport is what the command prints.
type voidReport struct {
	Applied     bool         `json:"applied"`
	Reason      string       `json:"reason"`
	Runs        int64        `json:"runs"`        // of which something is to be voided
	Events      int64        `json:"events"`      // that are to be voided
	Voided      int64        `json:"voided"`      // of those selected: that were voided already
	Repeated    int64        `json:"repeated"`    // that were published before the range, too, and are left
	Sealed      int64        `json:"sealed"`      // runs that are left because their executions were pruned
	Damaged     int64        `json:"damaged"`     // runs that are left because what is stored of them cannot be read
	Published   int64        `json:"published"`   // voids that the stream has
	Changes     []voidChange `json:"changes"`     // as many runs as were asked for
	Interrupted bool         `json:"interrupted"` // it did not come to its end
}

// voidChange is what voiding does to a run. All its texts are untrusted.
type voidChange struct {
	CampaignID string          `json:"campaignId"`
	RunID      string          `json:"runId"`
	Phase      string          `json:"phase"`
	RunKey     uuid.UUID       `json:"runKey"`
	Events     int             `json:"events"`
	Stored     bool            `json:"stored"` // else nothing of it is committed yet
	Fields     []replay.Change `json:"fields"`
}

// changeBy compares the record of a run with the one after the voids, which it applies to what is held.
func changeBy(held *sinks.Holding, list []events.Event, n int) voidChange {
	key := held.Run.Key()
	c := voidChange{CampaignID: key.CampaignID, RunID: key.RunID, Phase: key.Phase, RunKey: held.Run.UUID(), Events: n,
		Stored: held.Record != nil}
	if c.Stored {
		for i := range list {
			held.Run.Apply(&list[i])
		}
		after := held.Run.Metrics()
		c.Fields = replay.Changes(held.Record, &after)
	}
	return c
}

// String is the change in one line, fit for a terminal.
func (c *voidChange) String() string {
	line := fmt.Sprintf("%s · %s · %s: %d events", c.CampaignID, c.RunID, c.Phase, c.Events)
	switch {
	case !c.Stored:
		line += ", of which none is committed yet"
	case len(c.Fields) == 0:
		line += ", no figure changes"
	}
	for i, f := range c.Fields {
		line += []string{": ", ", "}[min(i, 1)] + fmt.Sprintf("%s %s → %s", f.Field, f.Stored, f.Recomputed)
	}
	return printable(line)
}

// counts is the report without single runs.
func (r *voidReport) counts() voidReport {
	counts := *r
	counts.Changes = []voidChange{}
	return counts
}

// finish reports, and says how it went.
func (v *voiding) finish(ctx context.Context, err error) error {
	r := &v.report
	if err != nil && ctx.Err() == nil && r.Published == 0 {
		return err
	}
	r.Interrupted = err != nil
	if err := r.write(v.app.stdout, v.output); err != nil {
		return err
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return fmt.Errorf("%w; run it again to go on", err)
	case err != nil:
		fmt.Fprintln(v.app.stderr, "runmetrics: interrupted; run it again to go on")
		return errLeftovers
	case r.Applied && r.Sealed+r.Damaged > 0:
		return errLeftovers
	}
	return nil
}

func (r *voidReport) write(w io.Writer, format outputFormat) error {
	if format == jsonOutput {
		if r.Changes == nil {
			r.Changes = []voidChange{}
		}
		return writeJSON(w, r)
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// text is the report for people.
func (r *voidReport) text() string {
	var b strings.Builder
	for i := range r.Changes {
		fmt.Fprintln(&b, &r.Changes[i])
	}
	if more := r.Runs - int64(len(r.Changes)); len(r.Changes) > 0 && more > 0 {
		fmt.Fprintf(&b, "and %d more runs; --limit lists them\n", more)
	}
	fmt.Fprintf(&b, "%d events of %d runs to be voided, %d voided already\n", r.Events, r.Runs, r.Voided)
	for _, left := range []struct {
		n    int64
		text string
	}{
		{r.Repeated, "%d events are left: they were published before the range, too\n"},
		{r.Sealed, "%d runs are left: their executions were pruned\n"},
		{r.Damaged, "%d runs are left: what is stored of them cannot be read; see `runmetrics replay`\n"},
	} {
		if left.n > 0 {
			fmt.Fprintf(&b, left.text, left.n)
		}
	}
	switch {
	case r.Applied && r.Events > 0:
		fmt.Fprintf(&b, "published %d voids; the service applies them as it reads the stream\n", r.Published)
	case r.Events > 0:
		b.WriteString("nothing was published; --apply publishes the voids, which cannot be taken back\n")
	}
	return b.String()
}
