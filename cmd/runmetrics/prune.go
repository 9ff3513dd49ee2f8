package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) prune() *cobra.Command {
	p := &pruning{app: a}
	cmd := &cobra.Command{
		Use:   "prune --before TIME",
		Short: "Drop the executions of old runs, and keep their figures",
		Long: `prune drops the stored executions, and all other events, of runs that finished before a time. Their figures stay, and are
sealed: nothing changes them any more, and a late event of such a run is a dead letter "sealed". Runs that are not closed
are left alone, however old they are. It may run beside the service.

Without --apply it changes nothing and says what would be dropped. With --export the events are written to a file first, and
synced before their runs are sealed: NDJSON, one event a line, packed by gzip if its name ends in .gz. "runmetrics publish"
can send it to another system. The file is complete when the command ends, also by Ctrl-C; after a kill its last lines may
be cut, but what was sealed stands before them. Run it again to go on, with another file.

Dead letters that were dealt with before that time are dropped, too, unless runs are selected.

Exit codes: 0 done; 3 interrupted, or runs changed meanwhile and were left: run it again.`,
		Example: `  runmetrics prune --before 2026-01-01
  runmetrics prune --before 2026-01-01 --apply --export pruned-2025.ndjson.gz`,
		Args: checkedFlags(p.checkFlags),
		RunE: a.enter(p.run),
	}
	p.runFlags(cmd)
	flags := cmd.Flags()
	flags.Var(&p.before, "before", "runs that finished before this `time` (2026-01-01 or 2026-01-01T12:00:00Z)")
	flags.BoolVar(&p.apply, "apply", false, "drop them; without it nothing is changed")
	flags.StringVar(&p.path, "export", "", "with --apply: write the events to this `file` first")
	outputFlag(cmd, &p.output)
	return cmd
}

// sealTime is how long a seal may take that is under way when the command is interrupted.
const sealTime = 30 * time.Second

// pruning is one run of the command.
type pruning struct {
	selection
	app    *app
	before instant
	apply  bool
	path   string
	output outputFormat

	log     *slog.Logger
	store   sinks.Store
	file    *os.File // nil where nothing is exported
	archive *archive
	done    atomic.Int64 // runs, for the progress
	report  pruneReport
}

// pruneReport is what the command prints, and keeps in the store.
type pruneReport struct {
	Applied     bool       `json:"applied"`
	Before      time.Time  `json:"before"`
	Runs        int64      `json:"runs"` // that finished before, and are not sealed
	Executions  int64      `json:"executions"`
	Oldest      *time.Time `json:"oldest"` // when the first of them finished, and the last
	Newest      *time.Time `json:"newest"`
	Sealed      int64      `json:"sealed"`
	Left        int64      `json:"left"` // they changed meanwhile
	Exported    int64      `json:"exported"`
	File        string     `json:"file,omitempty"`
	DeadLetters int64      `json:"deadLetters"` // that were dealt with, and dropped
	Interrupted bool       `json:"interrupted"` // it did not come to its end
}

func (p *pruning) checkFlags() error {
	switch {
	case p.before.IsZero():
		return errors.New("--before says which runs: those that finished before that time")
	case p.before.After(time.Now()):
		return errors.New("--before must not lie in the future")
	case p.path != "" && !p.apply:
		return errors.New("--export goes with --apply: without it nothing is dropped; `runmetrics export --stored` writes an archive")
	}
	return nil
}

func (p *pruning) run(ctx context.Context, _ []string) (err error) {
	cfg, log, err := p.app.open()
	if err != nil {
		return err
	}
	p.log = log
	if p.store, err = openExisting(ctx, cfg, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.store.Close()) }()
	p.report.Before, p.report.Applied, p.report.File = p.before.Time, p.apply, p.path
	if err := p.survey(ctx); err != nil {
		return err
	}
	if !p.apply {
		return p.report.write(p.app.stdout, p.output)
	}
	if err := p.createFile(); err != nil {
		return err
	}
	record, err := beginAudit(ctx, p.store, "prune", p.app.args)
	if err != nil {
		return errors.Join(err, p.closeFile())
	}
	err = p.drop(ctx)
	tellOthers(cfg, "prune", log)
	err = errors.Join(err, p.closeFile())
	p.report.Interrupted = err != nil
	return p.finish(ctx, record.end(p.report, err))
}

// survey looks at what would be dropped.
func (p *pruning) survey(ctx context.Context) error {
	n := &p.report
	return eachPage(ctx, p.store, p.finished(), func(page []aggregate.Metrics) error {
		for i := range page {
			m := &page[i]
			n.Runs++
			n.Executions += executionsOf(m)
			if at := m.FinishedAt; n.Oldest == nil || at.Before(*n.Oldest) {
				n.Oldest = at
			}
			if at := m.FinishedAt; n.Newest == nil || at.After(*n.Newest) {
				n.Newest = at
			}
		}
		return nil
	})
}

// finished selects what is pruned.
func (p *pruning) finished() sinks.RecordFilter {
	f := p.records()
	f.FinishedBefore = p.before.Time
	return f
}

// createFile makes the file of events. One that is there is not touched: it may be the only copy of what was sealed before.
func (p *pruning) createFile() (err error) {
	if p.path == "" {
		return nil
	}
	if err := checkTarget(p.path, false); err != nil {
		return err
	}
	if p.file, err = os.OpenFile(p.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	p.archive = newArchive(p.file, packedName(p.path))
	return syncDirectory(p.path)
}

// closeFile ends the file so that it can be read.
func (p *pruning) closeFile() error {
	if p.file == nil {
		return nil
	}
	p.report.Exported = p.archive.events
	return errors.Join(p.archive.flush(), p.file.Sync(), p.file.Close())
}

// drop seals page by page.
func (p *pruning) drop(ctx context.Context) error {
	bar := startProgress(p.app.stderr, p.log, progressOf{doing: "pruning", unit: "runs", total: int(p.report.Runs), count: p.done.Load})
	defer bar.Stop()
	err := eachPage(ctx, p.store, p.finished(), func(page []aggregate.Metrics) error {
		if p.file != nil {
			if err := p.keep(ctx, page); err != nil {
				return err
			}
		}
		if err := p.seal(ctx, page); err != nil {
			return err
		}
		p.done.Add(int64(len(page)))
		return nil
	})
	if err != nil || p.records() != (sinks.RecordFilter{}) {
		return err
	}
	p.report.DeadLetters, err = p.store.DropResolved(ctx, p.before.Time)
	return err
}

// keep writes the events of runs to the file.
func (p *pruning) keep(ctx context.Context, page []aggregate.Metrics) error {
	err := eachStored(ctx, p.store, page, func(_ *aggregate.Metrics, list []events.Event) error {
		for i := range list {
			if err := p.archive.write(&list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(p.archive.flush(), p.file.Sync()); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// seal drops the events of runs that are still as they were read. An interruption waits for it.
func (p *pruning) seal(ctx context.Context, page []aggregate.Metrics) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sealTime)
	defer cancel()
	n, err := p.store.Seal(ctx, page, time.Now().UTC())
	if err != nil {
		return err
	}
	p.report.Sealed += int64(n)
	p.report.Left += int64(len(page) - n)
	return nil
}

// finish reports, and says how it went.
func (p *pruning) finish(ctx context.Context, err error) error {
	if err := p.report.write(p.app.stdout, p.output); err != nil {
		return err
	}
	switch {
	case err != nil && ctx.Err() != nil:
		fmt.Fprintln(p.app.stderr, "runmetrics: interrupted; run it again to go on")
		return errLeftovers
	case err != nil:
		return err
	case p.report.Left > 0:
		return errLeftovers
	}
	return nil
}

func (r *pruneReport) write(w io.Writer, format outputFormat) error {
	if format == jsonOutput {
		return writeJSON(w, r)
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// text is the report for people.
func (r *pruneReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs with %d executions finished before %s", r.Runs, r.Executions, r.Before.Format(time.RFC3339))
	if r.Oldest != nil {
		fmt.Fprintf(&b, ": from %s to %s", r.Oldest.Format(time.RFC3339), r.Newest.Format(time.RFC3339))
	}
	b.WriteByte('\n')
	if !r.Applied {
		if r.Runs > 0 {
			b.WriteString("nothing was changed; --apply drops their executions and keeps their figures, --export FILE keeps a copy\n")
		}
		return b.String()
	}
	if r.File != "" {
		fmt.Fprintf(&b, "wrote %d events to %s\n", r.Exported, r.File)
	}
	fmt.Fprintf(&b, "sealed %d runs\n", r.Sealed)
	if r.Left > 0 {
		fmt.Fprintf(&b, "left %d runs, which changed meanwhile: run it again\n", r.Left)
	}
	if r.DeadLetters > 0 {
		fmt.Fprintf(&b, "dropped %d dead letters that were dealt with\n", r.DeadLetters)
	}
	return b.String()
}
