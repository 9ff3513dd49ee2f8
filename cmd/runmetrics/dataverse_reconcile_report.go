package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// kind is a kind of difference.
type kind string

// The kinds.
const (
	kindMissing   = kind(dataverse.CopyMissing)
	kindOlder     = kind(dataverse.CopyOlder)
	kindDifferent = kind(dataverse.CopyDifferent)
	kindParked    = kind(dataverse.CopyParked)
	kindOtherID   = kind("other id")
	kindUnknown   = kind("unknown")
)

// difference is one that is listed. All its texts are untrusted.
type difference struct {
	Kind       kind       `json:"kind"`
	CampaignID string     `json:"campaignId"`
	RunID      string     `json:"runId"`
	Phase      string     `json:"phase"`
	RunKey     uuid.UUID  `json:"runKey"`
	RowID      uuid.UUID  `json:"rowId"`
	Reason     string     `json:"reason,omitempty"`  // of a parked one
	Columns    []mismatch `json:"columns,omitempty"` // of an older or different one
}

// mismatch is a column that differs.
type mismatch struct {
	Column    string `json:"column"`
	Store     string `json:"store"`
	Dataverse string `json:"dataverse"`
}

func newDifference(k kind, key events.Key, row uuid.UUID) difference {
	return difference{Kind: k, CampaignID: key.CampaignID, RunID: key.RunID, Phase: key.Phase, RunKey: key.UUID(), RowID: row}
}

func runDifference(c *dataverse.Comparison) difference {
	d := newDifference(kind(c.State), c.Copy.Metrics.Key(), c.Copy.RowID)
	if c.State == dataverse.CopyParked {
		d.Reason = c.Copy.Parked
		return d
	}
	for _, column := range c.Differences {
		d.Columns = append(d.Columns, mismatch{column.Column, column.Want, column.Got})
	}
	return d
}

func strayDifference(s dataverse.Stray) difference {
	if s.Run == nil {
		return newDifference(kindUnknown, s.Key, s.ID)
	}
	return newDifference(kindOtherID, s.Key, s.ID)
}

// String is the difference in one line, fit for a terminal.
func (d difference) String() string {
	text := fmt.Sprintf("%-10s %s · %s · %s", d.Kind, d.CampaignID, d.RunID, d.Phase)
	switch d.Kind {
	case kindOtherID, kindUnknown:
		text += ": row " + d.RowID.String()
	case kindParked:
		text += ": " + d.Reason
	}
	for i, c := range d.Columns {
		text += []string{": ", "; "}[min(i, 1)] + fmt.Sprintf("%s %s, there %s", c.Column, c.Store, c.Dataverse)
	}
	return printable(text)
}

// reconcileReport is what the command prints.
type reconcileReport struct {
	Counts      counts       `json:"counts"`
	Differences []difference `json:"differences"`      // as many as were asked for
	Resume      string       `json:"resume,omitempty"` // the place where it stopped before its end
}

// write prints the report in the form that was asked for.
func (p *reconcileReport) write(w io.Writer, r *reconciling) error {
	if r.output == jsonOutput {
		if p.Differences == nil {
			p.Differences = []difference{}
		}
		return writeJSON(w, p)
	}
	_, err := io.WriteString(w, p.text(r))
	return err
}

// text is the report for people.
func (p *reconcileReport) text(r *reconciling) string {
	var b strings.Builder
	for _, d := range p.Differences {
		fmt.Fprintln(&b, d)
	}
	c := &p.Counts
	if more := c.differences() - r.saved.Listed; more > 0 && r.limit > 0 {
		fmt.Fprintf(&b, "and %d more; --limit lists more of them\n", more)
	}
	fmt.Fprintf(&b, "%d rows in Dataverse: %d have another id than their run's row, %d are unknown to the store\n",
		c.Rows, c.OtherID, c.Unknown)
	fmt.Fprintf(&b, "%d runs in the store: %d equal, %d waiting, %d missing, %d older, %d different, %d parked\n",
		c.Runs, c.Equal, c.Waiting, c.Missing, c.Older, c.Different, c.Parked)
	if r.adopt {
		fmt.Fprintf(&b, "adopted %d rows, removed %d further rows of their runs\n", c.Adopted, c.Removed)
	}
	if r.repair {
		fmt.Fprintf(&b, "repaired %d runs\n", c.Repaired)
	}
	for _, hint := range p.hints(r) {
		fmt.Fprintln(&b, "→", hint)
	}
	return b.String()
}

// hints say what can be done about what is left.
func (p *reconcileReport) hints(r *reconciling) []string {
	var hints []string
	c := &p.Counts
	add := func(when bool, hint string) {
		if when {
			hints = append(hints, hint)
		}
	}
	add(p.Resume != "", "this is not all: it stopped before its end")
	add(c.OtherID > 0 && !r.adopt, "--adopt takes over rows with another id; until then their runs are missing, or parked")
	add(c.OtherID > 0 && r.adopt, "rows were left because something may be on its way to them: run it again in five minutes")
	add(c.Missing+c.Older+c.Different+c.Parked > 0 && !r.repair, "--repair sends what is missing, older, different or parked")
	add(c.Parked > 0 && r.repair, "parked rows were refused again: `runmetrics doctor` compares the table's columns")
	add(c.Waiting > 0 && !r.repair, "waiting runs are sent by the service while USE_DATAVERSE is true, or by --repair")
	add(c.Unknown > 0, "unknown rows are never changed: delete those that should not be there by hand")
	return hints
}
