package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// defaultLettersListed is how many letters are listed.
const defaultLettersListed = 50

func (a *app) listLetters() *cobra.Command {
	l := &listing{letters: letters{app: a}}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters",
		Long: `list prints dead letters by stream, epoch and sequence, the oldest first, without their payloads: those that nobody has
dealt with, or with --all also those that were published again or dropped.

It says how many more there are, and of how many only the number is known: beyond DEADLETTER_LIMIT letters of a stream and
reason no more are kept.`,
		Example: `  runmetrics deadletters list
  runmetrics deadletters list --reason invalid --campaign spring --since 2026-03-01T12:00:00Z
  runmetrics deadletters list --all --limit 1000 --output json`,
		Args: checkedFlags(func() error {
			if l.limit < 1 {
				return errors.New("--limit must be at least 1")
			}
			return l.check()
		}),
		RunE: a.enter(l.list),
	}
	l.filterFlags(cmd)
	cmd.Flags().BoolVar(&l.resolved, "all", false, "also those that were dealt with")
	cmd.Flags().IntVar(&l.limit, "limit", defaultLettersListed, "how many are listed")
	outputFlag(cmd, &l.output)
	return cmd
}

// listing is one run of the command.
type listing struct {
	letters
	limit  int
	output outputFormat
}

func (l *listing) list(ctx context.Context, _ []string) (err error) {
	if err := l.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.store.Close()) }()
	page, err := l.store.Letters(ctx, l.filter(), nil, l.limit)
	if err != nil {
		return err
	}
	counts, err := l.store.LetterCounts(ctx, l.filter())
	if err != nil {
		return err
	}
	report := letterList{Letters: make([]letterRecord, len(page))}
	for i := range page {
		report.Letters[i] = recordOf(&page[i])
	}
	for _, c := range counts {
		report.Matching += c.Open
		if l.resolved {
			report.Matching += c.Resolved
		}
		if c.Dropped > 0 {
			report.CountedOnly = append(report.CountedOnly, countedOnly{c.Stream, c.Reason, c.Dropped, c.FirstDropped, c.LastDropped})
		}
	}
	if l.output == jsonOutput {
		return writeJSON(l.app.stdout, report)
	}
	return report.writeText(&l.letters)
}

// letterList is what the command prints.
type letterList struct {
	Letters     []letterRecord `json:"letters"`
	Matching    int64          `json:"matching"` // how many are selected, listed or not
	CountedOnly []countedOnly  `json:"countedOnly,omitempty"`
}

// countedOnly is how many letters have no row, for want of room, and between which sequences they lie.
type countedOnly struct {
	Stream string        `json:"stream"`
	Reason events.Reason `json:"reason"`
	Count  int64         `json:"count"`
	First  uint64        `json:"firstSequence"`
	Last   uint64        `json:"lastSequence"`
}

func (c *countedOnly) String() string {
	return fmt.Sprintf("%d more with reason %s were only counted, for want of room; they lie between the sequences %d and %d", c.Count, c.Reason,
		c.First, c.Last)
}

// replay is the command that shows what of them can be applied now.
func (c *countedOnly) replay() string {
	return fmt.Sprintf("runmetrics replay --stream %s --from-seq %d --to-seq %d", printable(c.Stream), c.First, c.Last)
}

func (r *letterList) writeText(l *letters) error {
	w := l.app.stdout
	lines := [][]string{{"STREAM", "EPOCH", "SEQUENCE", "TIME", "CAMPAIGN", "RUN", "WHY"}}
	for i := range r.Letters {
		d := &r.Letters[i]
		why := printable(d.Detail)
		if d.Resolution != "" {
			why += " · " + printable(d.Resolution)
		}
		lines = append(lines, []string{printable(d.Stream), fmt.Sprint(d.Epoch), fmt.Sprint(d.Sequence),
			d.Time.Format(time.DateTime), printable(d.CampaignID), printable(d.RunID), why})
	}
	if len(r.Letters) > 0 {
		if err := writeColumns(w, lines); err != nil {
			return err
		}
	}
	if more := r.Matching - int64(len(r.Letters)); more > 0 {
		fmt.Fprintf(w, "and %d more; --limit lists more of them\n", more)
	}
	if r.Matching == 0 {
		fmt.Fprintln(w, "no dead letters")
	}
	for i := range r.CountedOnly {
		c := &r.CountedOnly[i]
		fmt.Fprintf(w, "stream %s: %s\n  %s shows what of them can be applied now\n", printable(c.Stream), c, c.replay())
	}
	return nil
}

// letterRecord is a dead letter as programs read it. All its texts are untrusted.
type letterRecord struct {
	Stream     string              `json:"stream"`
	Epoch      int64               `json:"epoch"`
	Sequence   uint64              `json:"sequence"`
	Time       time.Time           `json:"time"`
	Reason     events.Reason       `json:"reason"`
	Field      string              `json:"field,omitempty"`
	Detail     string              `json:"detail"`
	CampaignID string              `json:"campaignId,omitempty"`
	RunID      string              `json:"runId,omitempty"`
	Subject    string              `json:"subject"`
	ResolvedAt time.Time           `json:"resolvedAt,omitzero"`
	Resolution string              `json:"resolution,omitempty"`
	Headers    map[string][]string `json:"headers,omitempty"`
	Content    *letterContent      `json:"payload,omitempty"` // where it was asked for
}

// letterContent is a payload.
type letterContent struct {
	Source string `json:"source"`         // stream, or store where the stream no longer holds the message
	Whole  bool   `json:"whole"`          // false: only its first 4096 bytes
	Base64 []byte `json:"base64"`         // the bytes
	Text   string `json:"text,omitempty"` // the same, where they are UTF-8
}

func recordOf(l *sinks.Letter) letterRecord {
	return letterRecord{Stream: l.Stream, Epoch: l.Epoch, Sequence: l.Sequence, Time: l.Time, Reason: l.Reason, Field: l.Field,
		Detail: l.Detail, CampaignID: l.CampaignID, RunID: l.RunID, Subject: l.Subject, ResolvedAt: l.ResolvedAt,
		Resolution: l.Resolution}
}
