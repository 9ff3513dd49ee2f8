package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) dropLetters() *cobra.Command {
	d := &dropping{letters: letters{app: a}}
	cmd := &cobra.Command{
		Use:   "drop --because TEXT",
		Short: "Give dead letters up",
		Long: `drop says of dead letters that nothing will come of them, and why: all of them, those of a filter, or one. They count no
more, and stay in the table dead_letters with that text until "runmetrics prune". The messages stay in the stream.

Without --apply it only counts them.`,
		Example: `  runmetrics deadletters drop --reason malformed --because scanner
  runmetrics deadletters drop --sequence 1041 --because known --apply`,
		Args: checkedFlags(func() error {
			if strings.TrimSpace(d.because) == "" {
				return errors.New("--because is required: it says to others why nothing will come of them")
			}
			return d.check()
		}),
		RunE: a.enter(d.run),
	}
	d.filterFlags(cmd)
	d.positionFlags(cmd)
	cmd.Flags().StringVar(&d.because, "because", "", "why nothing will come of them, a `text` that is kept with each")
	cmd.Flags().BoolVar(&d.apply, "apply", false, "drop them; without it they are only counted")
	outputFlag(cmd, &d.output)
	return cmd
}

// dropping is one run of the command.
type dropping struct {
	letters
	because string
	apply   bool
	output  outputFormat

	kinds []droppedKind
}

// droppedKind is how many letters of a stream and reason are dropped, or would be.
type droppedKind struct {
	Stream string        `json:"stream"`
	Reason events.Reason `json:"reason"`
	Count  int64         `json:"count"`
}

func (d *dropping) run(ctx context.Context, _ []string) (err error) {
	if err := d.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.store.Close()) }()
	err = d.audited(ctx, "deadletters drop", d.apply, d.byReason, func() error {
		return d.pages(ctx, false, func(page []sinks.Letter) error { return d.drop(ctx, page) })
	})
	return d.finish(ctx, err)
}

func (d *dropping) drop(ctx context.Context, page []sinks.Letter) error {
	list := make([]sinks.Resolution, len(page))
	for i := range page {
		list[i] = sinks.Resolution{LetterID: page[i].ID(), Text: "dropped: " + strings.TrimSpace(d.because)}
	}
	if d.apply {
		if err := resolveAll(ctx, d.store, list); err != nil {
			return err
		}
	}
	for i := range page {
		d.count(&page[i])
	}
	return nil
}

func (d *dropping) count(l *sinks.Letter) {
	for i := range d.kinds {
		if k := &d.kinds[i]; k.Stream == l.Stream && k.Reason == l.Reason {
			k.Count++
			return
		}
	}
	d.kinds = append(d.kinds, droppedKind{l.Stream, l.Reason, 1})
}

// byReason is how many were dropped of each reason.
func (d *dropping) byReason() any {
	counts := make(map[events.Reason]int64)
	for _, k := range d.kinds {
		counts[k.Reason] += k.Count
	}
	return counts
}

// finish reports what was done, also where not all was.
func (d *dropping) finish(ctx context.Context, err error) error {
	if d.output == jsonOutput {
		report := struct {
			Applied bool          `json:"applied"`
			Dropped []droppedKind `json:"dropped"`
		}{d.apply, append([]droppedKind{}, d.kinds...)}
		if err := writeJSON(d.app.stdout, report); err != nil {
			return err
		}
	} else {
		d.writeText()
	}
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(d.app.stderr, "runmetrics: interrupted: the same command goes on with the others")
		return errLeftovers
	}
	return err
}

func (d *dropping) writeText() {
	verb := "would be dropped"
	if d.apply {
		verb = "dropped"
	}
	var sum int64
	for _, k := range d.kinds {
		fmt.Fprintf(d.app.stdout, "%s %s: %d %s\n", printable(k.Stream), k.Reason, k.Count, verb)
		sum += k.Count
	}
	switch {
	case sum == 0:
		fmt.Fprintln(d.app.stdout, "no dead letters")
	case !d.apply:
		fmt.Fprintf(d.app.stdout, "Nothing was changed: --apply drops these %d.\n", sum)
	}
}

const (
	// resolvePatience is for how long a busy store is asked again to take what became of letters.
	resolvePatience = time.Minute
	// resolvePause is the wait before it is asked the second time; it doubles from there.
	resolvePause = 250 * time.Millisecond
)

// resolveAll says of letters what became of them. A store that is away for a moment is asked again: letters that are
// resolved already are left alone.
func resolveAll(ctx context.Context, store sinks.Letters, list []sinks.Resolution) error {
	ctx, cancel := context.WithTimeout(ctx, resolvePatience)
	defer cancel()
	for pause := resolvePause; ; pause *= 2 {
		_, err := store.ResolveLetters(ctx, list, time.Now())
		if err == nil || !errors.Is(err, sinks.ErrUnavailable) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
