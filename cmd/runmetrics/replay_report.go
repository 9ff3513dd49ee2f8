package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/consumer/replay"
)

// resumption is how far a comparison is, what it is about and what it has found: all that it takes to go on.
type resumption struct {
	Command   string        `json:"command"`
	Database  string        `json:"database"`
	Selection selection     `json:"selection"`
	Truncated bool          `json:"acceptTruncated,omitempty"`
	Place     replay.Place  `json:"place"`
	Counts    replay.Counts `json:"counts"`
}

// token is the place as one word.
func (s *resumption) token() string {
	text, _ := json.Marshal(s) // names, times and numbers always can
	return base64.RawURLEncoding.EncodeToString(text)
}

// parse reads a token and takes over what the command is about.
func (s *resumption) parse(token string, r *comparing) error {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil || s.Command != r.name {
		return fmt.Errorf("--resume is not what %s printed, or not all of it", r.name)
	}
	r.selection, r.acceptTruncated = s.Selection, r.acceptTruncated || s.Truncated
	return nil
}

// begin fixes what the place is of.
func (s *resumption) begin(r *comparing) {
	s.Command, s.Selection, s.Truncated, s.Place = r.name, r.selection, r.acceptTruncated, r.work.Place
}

// audited does the work, and where it changes something keeps who did it in the store. Then it reports.
func (r *comparing) audited(ctx context.Context, work func(context.Context) error) error {
	var record *audit
	if r.apply {
		var err error
		if record, err = beginAudit(ctx, r.store, r.name, r.app.args); err != nil {
			return err
		}
	}
	err := work(ctx)
	r.tell()
	if record != nil {
		err = record.end(r.work.Counts, err)
	}
	if err == nil {
		tellChecked(r.conn, r.cfg, r.log, consumer.Checked{Command: r.name, Left: r.work.Counts.Left(), Whole: r.whole()})
	}
	return r.finish(ctx, err)
}

// finish reports, and says how it went.
func (r *comparing) finish(ctx context.Context, err error) error {
	if err == nil {
		r.settle()
	} else if r.saved.Counts.Runs == 0 && ctx.Err() == nil {
		return err
	}
	report := compareReport{Applied: r.apply, Counts: r.saved.Counts, Left: r.saved.Counts.Left(), Unread: r.unread, Notes: r.notes,
		Differences: r.listed, Interrupted: err != nil}
	if err != nil && r.saved.Counts.Runs > 0 {
		report.Resume = r.saved.token()
	}
	if err := report.write(r); err != nil {
		return err
	}
	switch {
	case err != nil:
		if report.Resume != "" {
			fmt.Fprintln(r.app.stderr, "resume with:", r.again("--resume "+report.Resume))
		} else {
			fmt.Fprintln(r.app.stderr, "runmetrics: nothing is settled yet; run it again")
		}
		if ctx.Err() == nil {
			return err
		}
		fmt.Fprintln(r.app.stderr, "runmetrics: interrupted")
		return errLeftovers
	case report.Left > 0:
		return errLeftovers
	}
	return nil
}

// again is the same command, with something added.
func (r *comparing) again(more string) string {
	command := "runmetrics " + r.name
	for _, path := range r.files {
		command += " " + shellQuoted(path)
	}
	for _, flag := range []struct {
		given bool
		text  string
	}{
		{r.apply, "--apply"},
		{r.dataverse != copyNow, "--dataverse " + r.dataverse.String()},
		{r.rate != 0, fmt.Sprintf("--rate %g", r.rate)},
		{r.limit != defaultListed, fmt.Sprintf("--limit %d", r.limit)},
		{r.output != textOutput, "--output " + r.output.String()},
		{r.app.envFile != "", "--env-file " + shellQuoted(r.app.envFile)},
	} {
		if flag.given {
			command += " " + flag.text
		}
	}
	return command + " " + more
}

// compareReport is what a comparison prints.
type compareReport struct {
	Applied     bool                `json:"applied"`
	Counts      replay.Counts       `json:"counts"`
	Left        int64               `json:"left"`   // runs that still differ
	Unread      uint64              `json:"unread"` // messages that the service has not read yet
	Notes       []string            `json:"notes,omitempty"`
	Differences []replay.Difference `json:"differences"`
	Interrupted bool                `json:"interrupted"` // it did not come to its end
	Resume      string              `json:"resume,omitempty"`
}

func (p *compareReport) write(r *comparing) error {
	if r.output == jsonOutput {
		if p.Differences == nil {
			p.Differences = []replay.Difference{}
		}
		return writeJSON(r.app.stdout, p)
	}
	return p.writeText(r.app.stdout, r)
}

func (p *compareReport) writeText(w io.Writer, r *comparing) error {
	var b strings.Builder
	for i := range p.Differences {
		fmt.Fprintln(&b, lineOf(&p.Differences[i]))
	}
	found := p.Counts.Left() + p.Counts.Repaired
	if more := found - int64(len(p.Differences)); len(p.Differences) > 0 && more > 0 {
		fmt.Fprintf(&b, "and %d more; --limit lists them\n", more)
	}
	p.summary(&b, r, found)
	_, err := io.WriteString(w, b.String())
	return err
}

// lineOf is a difference in one line, fit for a terminal.
func lineOf(d *replay.Difference) string {
	verdict := string(d.Verdict)
	if d.Repaired {
		verdict += ", repaired"
	}
	line := fmt.Sprintf("%-19s %s · %s · %s", verdict, d.CampaignID, d.RunID, d.Phase)
	if more := details(d); more != "" {
		line += ": " + more
	}
	return printable(line)
}

// details says what differs.
func details(d *replay.Difference) string {
	var parts []string
	if d.Executions > 0 {
		parts = append(parts, fmt.Sprintf("%d executions are missing", d.Executions))
	}
	if d.OtherEvents > 0 {
		parts = append(parts, fmt.Sprintf("%d other events are missing", d.OtherEvents))
	}
	if d.Verdict != replay.Missing && d.Verdict != replay.Truncated {
		for _, f := range d.Fields {
			parts = append(parts, fmt.Sprintf("%s %s → %s", f.Field, f.Stored, f.Recomputed))
		}
	}
	if d.Reason != "" {
		parts = append(parts, d.Reason)
	}
	return strings.Join(parts, ", ")
}

// summary counts, and says what to do.
func (p *compareReport) summary(b *strings.Builder, r *comparing, found int64) {
	n := &p.Counts
	if r.name == "replay" {
		fmt.Fprintf(b, "%d messages read", n.Messages)
		for _, reason := range slices.Sorted(maps.Keys(n.Refused)) {
			fmt.Fprintf(b, ", %d refused as %s", n.Refused[reason], reason)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "%d runs: %d equal", n.Runs, n.Equal)
	for _, kind := range []struct {
		n    int64
		name string
	}{{n.Missing, "missing"}, {n.Different, "different"}, {n.Truncated, "truncated"}, {n.BeginningGone, "beginning gone"},
		{n.Incomplete, "incomplete"}, {n.Damaged, "damaged"}, {n.StoreRefuses, "refused by the store"}, {n.Sealed, "sealed"}} {
		if kind.n > 0 {
			fmt.Fprintf(b, ", %d %s", kind.n, kind.name)
		}
	}
	b.WriteByte('\n')
	for _, note := range p.Notes {
		fmt.Fprintln(b, note)
	}
	if p.Unread > 0 {
		fmt.Fprintf(b, "%d messages are not read by the service yet, and left to it\n", p.Unread)
	}
	switch {
	case p.Interrupted:
		fmt.Fprintf(b, "not finished; %d runs repaired so far\n", n.Repaired)
	case r.apply:
		fmt.Fprintf(b, "%d runs repaired with %d events, %d differences left\n", n.Repaired, n.Added, p.Left)
	case found > 0:
		fmt.Fprintln(b, "nothing was changed; --apply repairs what is missing or different")
	}
}
