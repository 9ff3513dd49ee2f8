package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) deadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look at messages that became no event, and deal with them",
		Long: `deadletters shows the messages that no run could take, with the reason of each, and deals with them: requeue publishes
again those that this program accepts now, drop gives others up. What was dealt with counts no more and stays in the table
dead_letters, with what became of it, until "runmetrics prune".

Nothing is changed without --apply.`,
		Example: `  runmetrics deadletters list --reason invalid --since 2026-03-01
  runmetrics deadletters requeue --reason unsupported_version
  runmetrics deadletters drop --reason malformed --because scanner --apply`,
		Args: cobra.NoArgs,
		RunE: needsSubcommand,
	}
	cmd.AddCommand(a.listLetters(), a.showLetter(), a.requeueLetters(), a.dropLetters(), a.exportLetters())
	return cmd
}

// checkedFlags takes no arguments, and flags that pass the check.
func checkedFlags(check func() error) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := cobra.NoArgs(cmd, args); err != nil {
			return err
		}
		return check()
	}
}

// letterPage is how many letters are read, and published and resolved, at a time.
const letterPage = 500

// letterSelection is which dead letters a command is about: those of a filter, or one.
type letterSelection struct {
	stream, campaign, run string
	reason                reasonFlag
	since, until          instant
	resolved              bool
	epoch                 int64
	sequence              uint64 // 0 is none
}

// filterFlags adds those that select many.
func (s *letterSelection) filterFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.stream, "stream", "", "only those of this `stream`")
	flags.Var(&s.reason, "reason", "only those with this `reason`, such as invalid")
	flags.StringVar(&s.campaign, "campaign", "", "only those of this `campaign`, as far as they name one")
	flags.StringVar(&s.run, "run", "", "only those of this `run`, as far as they name one")
	flags.Var(&s.since, "since", "only those that the stream stored at or after this `time`")
	flags.Var(&s.until, "until", "only those that the stream stored before this `time`")
}

// positionFlags adds those that select one.
func (s *letterSelection) positionFlags(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&s.sequence, "sequence", 0, "the one at this `sequence` of its stream")
	cmd.Flags().Int64Var(&s.epoch, "epoch", 0, "of this `timeline` of the stream; default: the newest that has one there")
}

func (s *letterSelection) check() error {
	filtered := s.reason != "" || s.campaign != "" || s.run != "" || !s.since.IsZero() || !s.until.IsZero()
	switch {
	case s.sequence > 0 && filtered:
		return errors.New("--sequence selects one: leave out all but --stream and --epoch")
	case s.sequence == 0 && s.epoch > 0:
		return errors.New("--epoch needs --sequence")
	case s.epoch < 0:
		return errors.New("--epoch is 1 or more")
	case !s.until.IsZero() && !s.until.After(s.since.Time):
		return errors.New("--until must be later than --since")
	}
	return nil
}

func (s *letterSelection) filter() sinks.LetterFilter {
	return sinks.LetterFilter{Stream: s.stream, Reason: events.Reason(s.reason), CampaignID: s.campaign, RunID: s.run,
		Since: s.since.Time, Until: s.until.Time, Resolved: s.resolved}
}

// reasonFlag is a reason of dead letters as a flag.
type reasonFlag events.Reason

// Set reads the flag.
func (r *reasonFlag) Set(s string) error {
	if !slices.Contains(events.Reasons, events.Reason(s)) {
		names := make([]string, len(events.Reasons))
		for i, reason := range events.Reasons {
			names[i] = string(reason)
		}
		return errors.New("must be one of " + strings.Join(names, ", "))
	}
	*r = reasonFlag(s)
	return nil
}

// String is the flag's value.
func (r *reasonFlag) String() string { return string(*r) }

// Type names the flag's values in the help.
func (r *reasonFlag) Type() string { return "reason" }

// letters is what one run of any of the commands works with.
type letters struct {
	app *app
	letterSelection

	cfg      *Config
	log      *slog.Logger
	store    sinks.Store
	refusals refusals
}

func (l *letters) open(ctx context.Context) (err error) {
	if l.cfg, l.log, err = l.app.open(); err != nil {
		return err
	}
	if l.sequence > 0 && l.stream == "" {
		if len(l.cfg.Streams) > 1 {
			return usageError{errors.New("--sequence needs --stream where there are several: " + strings.Join(l.cfg.Streams, ", "))}
		}
		l.stream = l.cfg.Streams[0]
	}
	l.store, err = openExisting(ctx, l.cfg, l.log)
	return err
}

func (l *letters) connect(role string) (*nats.Conn, error) {
	return connectNATS(l.cfg, connection{URL: l.cfg.natsURL(), Role: role, Refusals: &l.refusals}, l.log)
}

// audited does work that changes what is stored, and leaves a record of it; without apply there is nothing to record.
func (l *letters) audited(ctx context.Context, command string, apply bool, counts func() any, work func() error) error {
	if !apply {
		return work()
	}
	record, err := beginAudit(ctx, l.store, command, l.app.args)
	if err != nil {
		return err
	}
	err = work()
	tellOthers(l.cfg, "deadletters", l.log)
	return record.end(counts(), err)
}

// one reads the letter that is selected by its position.
func (l *letters) one(ctx context.Context) (*sinks.Letter, error) {
	letter, found, err := l.store.Letter(ctx, sinks.LetterID{Stream: l.stream, Epoch: l.epoch, Sequence: l.sequence})
	switch {
	case err != nil:
		return nil, err
	case !found && l.epoch > 0:
		return nil, fmt.Errorf("stream %s has no dead letter at sequence %d of epoch %d", printable(l.stream), l.sequence, l.epoch)
	case !found:
		return nil, fmt.Errorf("stream %s has no dead letter at sequence %d", printable(l.stream), l.sequence)
	}
	return &letter, nil
}

// pages gives the selected letters that are there when it begins: what is published again meanwhile may become one anew.
func (l *letters) pages(ctx context.Context, payloads bool, each func([]sinks.Letter) error) error {
	if l.sequence > 0 {
		letter, err := l.one(ctx)
		if err != nil {
			return err
		}
		if letter.Resolution != "" {
			return fmt.Errorf("%s was dealt with before: %s", placeOf(letter), printable(letter.Resolution))
		}
		return each([]sinks.Letter{*letter})
	}
	f := l.filter()
	last, err := l.lastPositions(ctx, f)
	if err != nil {
		return err
	}
	f.Payloads = payloads
	for after := (*sinks.LetterID)(nil); ; {
		page, err := l.store.Letters(ctx, f, after, letterPage)
		if err != nil || len(page) == 0 {
			return err
		}
		id := page[len(page)-1].ID()
		after = &id
		page = slices.DeleteFunc(page, func(letter sinks.Letter) bool {
			p := last[letter.Stream]
			return letter.Epoch > p.Epoch || letter.Epoch == p.Epoch && letter.Sequence > p.Sequence
		})
		if len(page) == 0 {
			continue
		}
		if err := each(page); err != nil {
			return err
		}
	}
}

// lastPositions is how far the streams are read that have letters. Others get their first ones later.
func (l *letters) lastPositions(ctx context.Context, f sinks.LetterFilter) (map[string]sinks.Position, error) {
	counts, err := l.store.LetterCounts(ctx, f)
	if err != nil {
		return nil, err
	}
	last := make(map[string]sinks.Position)
	for _, c := range counts {
		if last[c.Stream], err = l.store.Position(ctx, c.Stream); err != nil {
			return nil, err
		}
	}
	return last, nil
}

// placeOf is where a letter stood: stream, epoch and sequence.
func placeOf(l *sinks.Letter) string {
	return fmt.Sprintf("%s %d/%d", printable(l.Stream), l.Epoch, l.Sequence)
}
