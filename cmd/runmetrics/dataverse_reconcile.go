package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

func (a *app) dataverseReconcile() *cobra.Command {
	r := &reconciling{app: a}
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare the store with Dataverse, and repair the copy",
		Long: `reconcile compares every run of the store with its row in Dataverse, and every row with the store. It may run beside
the service. Without --adopt and --repair it changes nothing. What it finds:

  missing     the run has no row
  older       the row has an earlier version: the run changed while USE_DATAVERSE was off
  different   the row was changed, or a write to it was lost
  parked      Dataverse refused the row; the reason is shown
  other id    the row names a run of the store, but has not the id of the run's row: somebody made it by hand
  unknown     the row names no run of the store; it is never changed

A run whose newest version is due, or on its way, counts as waiting; that is no difference.

--repair sends what is missing, older, different or parked, and what is due, and compares it again. --adopt makes a row
with another id the row of its run, and removes further rows of the same run; the run's values are written to it next.
Together they leave one row a run.

--since and --until are of the time of creation, as the store has it for runs, and as Dataverse has it for rows.

After Ctrl-C or an error it prints how to go on from there. Exit codes: 0 no differences, 3 some are left.`,
		Example: `  runmetrics dataverse reconcile
  runmetrics dataverse reconcile --campaign spring --since 2026-03-01 --output json
  runmetrics dataverse reconcile --repair
  runmetrics dataverse reconcile --adopt --repair`,
		Args: func(cmd *cobra.Command, args []string) error {
			return errors.Join(r.checkFlags(), cobra.NoArgs(cmd, args))
		},
		RunE: a.enter(r.run),
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.repair, "repair", false, "send what differs, and compare it again")
	flags.BoolVar(&r.adopt, "adopt", false, "take over rows that have another id, and remove further rows of the same run")
	flags.StringVar(&r.now.Campaign, "campaign", "", "only this `campaign`")
	flags.Var(&r.now.Since, "since", "only what was created at this `time` (2026-03-01 or 2026-03-01T12:00:00Z) or later")
	flags.Var(&r.now.Until, "until", "only what was created before this `time`")
	flags.IntVar(&r.limit, "limit", defaultListed, "list at most this `number` of differences; all are counted")
	flags.StringVar(&r.resume, "resume", "", "go on from this `place`, which an interrupted reconcile printed")
	outputFlag(cmd, &r.output)
	return cmd
}

const (
	// repairAtOnce is how many runs are sent, and then compared again, at a time.
	repairAtOnce = 10_000
	// defaultListed is how many differences are listed.
	defaultListed = 20
)

// reconciling is one run of the command.
type reconciling struct {
	app    *app
	repair bool
	adopt  bool
	limit  int
	resume string
	output outputFormat

	cfg        *Config
	log        *slog.Logger
	store      sinks.Store
	client     *dataverse.Client
	reconciler *dataverse.Reconciler

	now     place                             // how far it is
	saved   place                             // how far it was when all up to there was settled
	found   []difference                      // since saved
	listed  []difference                      // until saved, as many as are wanted
	repairs map[uuid.UUID]dataverse.CopyState // what is being repaired since saved, as it was found
	done    atomic.Int64                      // rows and runs, for the progress
}

func (r *reconciling) checkFlags() error {
	filtered := r.now.Campaign != "" || !r.now.Since.IsZero() || !r.now.Until.IsZero()
	switch {
	case r.limit < 0:
		return errors.New("--limit must not be negative")
	case r.resume != "" && filtered:
		return errors.New("--resume goes on with the range that it was started with: leave out --campaign, --since and --until")
	case !r.now.Until.IsZero() && !r.now.Until.After(r.now.Since.Time):
		return errors.New("--until must be later than --since")
	case r.resume != "":
		return r.now.parse(r.resume)
	}
	return nil
}

func (r *reconciling) run(ctx context.Context, _ []string) (err error) {
	if r.cfg, r.log, err = r.app.open(needDataverse); err != nil {
		return err
	}
	if err := r.now.begin(r.cfg); err != nil {
		return usageError{err}
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	defer r.client.Close()
	r.saved = r.now
	bar := startProgress(r.app.stderr, r.log, progressOf{doing: "comparing", unit: "rows and runs", count: r.done.Load})
	err = r.reconcile(ctx)
	bar.Stop()
	r.tell(err == nil)
	return r.finish(ctx, err)
}

// tell says to the service that runs may be due: those that were marked and not sent, or changed meanwhile. Of a check that
// is over it says what is left. Where there is no service, nobody misses it.
func (r *reconciling) tell(over bool) {
	due := r.repair || r.adopt
	if !due && !over {
		return
	}
	conn, err := connectNATS(r.cfg, connection{URL: r.cfg.natsURL(), Role: "reconcile"}, r.log)
	if err == nil {
		defer conn.Close()
	}
	if due && err == nil {
		err = errors.Join(conn.Publish(dueSubject(r.cfg.Deployment), nil), conn.FlushTimeout(flushTime))
	}
	if due && err != nil {
		r.log.Debug("nobody is told that runs are due", "error", err)
	}
	if over {
		tellChecked(conn, r.cfg, r.log, consumer.Checked{Command: "reconcile", Left: r.now.Counts.differences(), Whole: r.now.whole()})
	}
}

// open opens the store and reads the table's definition.
func (r *reconciling) open(ctx context.Context) (err error) {
	if r.store, err = openExisting(ctx, r.cfg, r.log); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.store.Close())
		}
	}()
	if r.client, err = newDataverse(r.cfg, r.log); err != nil {
		return err
	}
	table, err := readTable(ctx, r.client, r.cfg.DataverseTable)
	if err == nil {
		err = table.Usable()
	}
	if err != nil {
		return err
	}
	r.reconciler = dataverse.NewReconciler(r.client, r.store, table)
	return nil
}

// reconcile goes through the rows and then through the runs: those that took over a row are compared with it.
func (r *reconciling) reconcile(ctx context.Context) error {
	for r.now.Pass == passRows {
		if err := r.pageOfRows(ctx); err != nil {
			return err
		}
	}
	for r.now.Pass == passRuns {
		if err := r.pageOfRuns(ctx); err != nil {
			return err
		}
	}
	return nil
}

// settle keeps what was found: a resumed command goes on from here.
func (r *reconciling) settle() {
	r.listed = append(r.listed, r.found...)
	r.now.Listed += int64(len(r.found))
	r.found = nil
	r.saved = r.now
}

// note counts a difference and keeps it where it is to be listed.
func (r *reconciling) note(d difference) {
	*r.now.Counts.of(d.Kind)++
	if len(r.listed)+len(r.found) < r.limit {
		r.found = append(r.found, d)
	}
}

// drainCheck is how often it is looked whether a dispatcher got stuck.
const drainCheck = 250 * time.Millisecond

// drain sends what is due. It does not wait for a person or a new day.
func (r *reconciling) drain(ctx context.Context) error {
	dispatcher, err := dataverse.NewDispatcher(dispatcherConfig(r.cfg, r.client, r.store, slog.New(withoutRows{r.log.Handler()})))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan error, 1)
	go func() { ended <- dispatcher.Drain(ctx) }()
	tick := time.NewTicker(drainCheck)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("send to Dataverse: %w", context.Cause(ctx))
			}
			return r.checkSent(ctx, dispatcher.Status())
		case <-tick.C:
			status := dispatcher.Status()
			if status.State == dataverse.StateBlocked || status.State == dataverse.StateBudget {
				cancel(errors.New(status.Reason))
			}
		}
	}
}

// withoutRows leaves out what a dispatcher logs of single rows: the report lists them, as many as are wanted.
type withoutRows struct{ slog.Handler }

// Handle passes on all other records.
func (h withoutRows) Handle(ctx context.Context, record slog.Record) error {
	ofRow := false
	record.Attrs(func(a slog.Attr) bool {
		ofRow = ofRow || a.Key == "run_key"
		return !ofRow
	})
	if ofRow {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

// checkSent is an error where a dispatcher has left runs for another day.
func (r *reconciling) checkSent(ctx context.Context, status dataverse.Status) error {
	if status.State != dataverse.StateBudget {
		return nil
	}
	standing, err := r.store.Standing(ctx, time.Now())
	if err == nil && standing.Waiting > 0 {
		err = fmt.Errorf("send to Dataverse: %d runs wait: %s", standing.Waiting, status.Reason)
	}
	return err
}

// finish reports, and says how it went.
func (r *reconciling) finish(ctx context.Context, err error) error {
	summary := reconcileReport{Counts: r.saved.Counts, Differences: r.listed}
	if err != nil {
		summary.Resume = r.saved.token()
	}
	if err := summary.write(r.app.stdout, r); err != nil {
		return err
	}
	switch {
	case err != nil:
		fmt.Fprintln(r.app.stderr, "resume with:", r.resumeCommand(summary.Resume))
		if ctx.Err() == nil {
			return err
		}
		fmt.Fprintln(r.app.stderr, "runmetrics: interrupted")
		return errLeftovers
	case r.saved.Counts.differences() > 0:
		return errLeftovers
	}
	return nil
}

// resumeCommand is the same command, from a place on.
func (r *reconciling) resumeCommand(token string) string {
	command := "runmetrics dataverse reconcile"
	for _, flag := range []struct {
		given bool
		text  string
	}{
		{r.adopt, "--adopt"},
		{r.repair, "--repair"},
		{r.limit != defaultListed, fmt.Sprintf("--limit %d", r.limit)},
		{r.output != textOutput, "--output " + r.output.String()},
		{r.app.envFile != "", "--env-file " + shellQuoted(r.app.envFile)},
	} {
		if flag.given {
			command += " " + flag.text
		}
	}
	return command + " --resume " + token
}

// shellQuoted is text as a shell takes it for one word.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
