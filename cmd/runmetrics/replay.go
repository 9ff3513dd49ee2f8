package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) replay() *cobra.Command {
	r := &comparing{app: a}
	cmd := &cobra.Command{
		Use:   "replay [file...]",
		Short: "Compare streams or archives with what is stored, and repair it",
		Long: `replay reads events afresh, from streams or from files as "runmetrics export" writes them (NDJSON, gzip or not, - is
stdin), adds them to the stored events of their runs, and compares what comes out with what is stored. It runs beside
the service, which goes on. Without --apply it changes nothing. What it finds:

  missing         the store has no record of the run
  different       executions are missing, or figures are not what the executions add up to: stored → recomputed
  truncated       a missing run that begins within RUN_IDLE_TIMEOUT of the first message that its stream still holds,
                  where that is not message 1: it may have begun before
  beginning gone  a run that differs and began before that message, or of which the store and the sources both lack
                  events: it is never changed. Add the archive that holds the rest, or try "runmetrics rebuild"
  damaged         what is stored of the run cannot be read
  sealed          its executions were pruned: it is left as it is, and no difference

--apply commits missing executions and corrected figures with the same guards as the service. No execution is ever removed.
It may be interrupted, killed and run again: what was repaired is equal then. What is not yet read by the service is left
to it. --accept-truncated writes truncated runs, too.

--from, --to, --from-seq, --to-seq, --campaign, --run and --phase choose runs, not events: those with a message in the
range, of which all messages count. Files alone have no range. With --stream they are joined with that stream; give an
archive that reaches back before the stream begins.

The events are sorted by run on disk, in TMPDIR: about as many bytes as the stream has. --rate spares broker and database.

Exit codes: 0 equal, or repaired; 3 differences are left.`,
		Example: `  runmetrics replay
  runmetrics replay --from 2026-03-01 --to 2026-03-02 --campaign spring
  runmetrics replay --apply
  runmetrics replay archive-2026-02.ndjson.gz --stream RUN_EVENTS --apply
  zcat archive-*.ndjson.gz | runmetrics replay - --rate 20000 --output json`,
		Args: func(_ *cobra.Command, args []string) error {
			r.files = args
			return cmp.Or(r.checkFlags(), r.check())
		},
		RunE: a.enter(r.runReplay),
	}
	r.runFlags(cmd)
	r.rangeFlags(cmd)
	r.flags(cmd)
	cmd.Flags().BoolVar(&r.acceptTruncated, "accept-truncated", false, "with --apply: write runs whose beginning may be gone")
	return cmd
}

func (a *app) rebuild() *cobra.Command {
	r := &comparing{app: a}
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Compare records with their own stored executions, and repair them",
		Long: `rebuild computes each run's record from its stored events alone, without any stream, and compares it with the one that
is stored: for the day a definition changes, or figures were changed by hand. It runs beside the service. Without --apply it
changes nothing.

  different       figures are not what the stored executions add up to: stored → recomputed
  incomplete      it differs, and the store lacks events of it: it is never changed; "runmetrics replay" finds them
  damaged         what is stored of the run cannot be read
  sealed          its executions were pruned: it is left as it is, and no difference

Exit codes: 0 equal, or repaired; 3 differences are left.`,
		Example: `  runmetrics rebuild
  runmetrics rebuild --campaign spring --output json
  runmetrics rebuild --apply --dataverse slow`,
		Args: func(cmd *cobra.Command, args []string) error { return cmp.Or(cobra.NoArgs(cmd, args), r.checkFlags()) },
		RunE: a.enter(r.runRebuild),
	}
	r.runFlags(cmd)
	r.flags(cmd)
	return cmd
}

// comparing is one run of replay or rebuild.
type comparing struct {
	selection
	app             *app
	files           []string
	apply           bool
	acceptTruncated bool
	dataverse       copyMode
	rate            float64
	limit           int
	resume          string
	output          outputFormat

	name   string // of the command
	cfg    *Config
	log    *slog.Logger
	store  sinks.Store
	conn   *nats.Conn // nil where nobody can be told
	work   replay.Comparison
	all    int64    // messages that are to be read, about; 0 where nobody knows
	unread uint64   // messages that are left to the service
	notes  []string // on the streams

	found  []replay.Difference // since saved
	listed []replay.Difference // until saved, as many as are wanted
	saved  resumption
}

func (r *comparing) flags(cmd *cobra.Command) {
	r.name = cmd.Name()
	flags := cmd.Flags()
	flags.BoolVar(&r.apply, "apply", false, "repair what differs; without it nothing is changed")
	r.dataverse = copyNow
	flags.Var(&r.dataverse, "dataverse", "when repaired runs are copied to Dataverse: `now`, slow (ten a second, behind new ones) "+
		"or skip (dataverse reconcile --repair does it later)")
	flags.Float64Var(&r.rate, "rate", 0, "events a `second` at the most (rebuild: runs); 0: as fast as it goes")
	flags.IntVar(&r.limit, "limit", defaultListed, "list at most this `number` of differences; all are counted")
	flags.StringVar(&r.resume, "resume", "", "go on from this `place`, which an interrupted "+r.name+" printed")
	outputFlag(cmd, &r.output)
}

func (r *comparing) checkFlags() error {
	switch {
	case r.limit < 0:
		return errors.New("--limit must not be negative")
	case r.rate < 0:
		return errors.New("--rate must not be negative")
	case r.resume != "" && r.given():
		return errors.New("--resume goes on with what it was started with: leave out what selects runs, messages and streams")
	case len(r.files) > 0 && r.Streams == nil && r.ranged():
		return errors.New("files have no range of messages: name a --stream to choose runs by its messages")
	case len(r.files) > maxSources:
		return fmt.Errorf("at most %d files at a time", maxSources)
	case r.resume != "":
		return r.saved.parse(r.resume, r)
	}
	return nil
}

// maxSources is how many sources are joined at the most.
const maxSources = 200

// copyMode is when repaired runs are copied to Dataverse.
type copyMode string

// The modes.
const (
	copyNow  copyMode = "now"
	copySlow copyMode = "slow"
	copySkip copyMode = "skip"
)

// Set reads the flag.
func (m *copyMode) Set(s string) error {
	switch mode := copyMode(s); mode {
	case copyNow, copySlow, copySkip:
		*m = mode
		return nil
	}
	return errors.New("must be now, slow or skip")
}

// String is the flag's value.
func (m *copyMode) String() string { return string(*m) }

// Type names the flag's values in the help.
func (m *copyMode) Type() string { return "now" }

// slowCopies is how long after one another runs become due with --dataverse slow.
const slowCopies = 100 * time.Millisecond

// due gives the times at which copies are due, nil for at once.
func (m copyMode) due() func(n int) time.Time {
	if m != copySlow {
		return nil
	}
	next := time.Now()
	return func(n int) time.Time {
		due := next
		next = next.Add(time.Duration(n) * slowCopies)
		return due
	}
}

func (r *comparing) runReplay(ctx context.Context, _ []string) error {
	return r.run(ctx, func(ctx context.Context) error {
		if err := r.openSources(ctx); err != nil {
			return err
		}
		return r.watched(ctx, r.work.Run)
	})
}

func (r *comparing) runRebuild(ctx context.Context, _ []string) error {
	return r.run(ctx, func(ctx context.Context) error {
		return r.watched(ctx, func(ctx context.Context) error { return r.work.Rebuild(ctx, r.records()) })
	})
}

// run opens what the work needs, does it, and reports.
func (r *comparing) run(ctx context.Context, work func(context.Context) error) (err error) {
	if r.cfg, r.log, err = r.app.open(); err != nil {
		return err
	}
	if r.name == "replay" {
		if err := r.choose(); err != nil {
			return usageError{err}
		}
	}
	copied := r.cfg.copied() && r.dataverse != copySkip
	r.cfg.UseDataverse = &copied
	if r.store, err = openExisting(ctx, r.cfg, r.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.Close()) }()
	if err := r.checkPlace(ctx); err != nil {
		return err
	}
	if err := r.connect(); err != nil {
		return err
	}
	if r.conn != nil {
		defer r.conn.Close()
	}
	r.prepare()
	return r.audited(ctx, work)
}

// checkPlace refuses to go on in another database than that in which it began.
func (r *comparing) checkPlace(ctx context.Context) error {
	id, err := r.store.Identity(ctx)
	if err != nil {
		return err
	}
	if r.resume != "" && r.saved.Database != id.String() {
		return usageError{fmt.Errorf("--resume is of %s, not of %s", printable(r.saved.Database), id)}
	}
	r.saved.Database = id.String()
	return nil
}

// choose completes what is compared: streams, unless files alone were given.
func (r *comparing) choose() error {
	if len(r.files) > 0 && r.Streams == nil {
		return nil
	}
	return r.checkStreams(r.cfg)
}

// connect connects to NATS. Where no stream is read it is only for telling others, and may be away.
func (r *comparing) connect() (err error) {
	r.conn, err = connectNATS(r.cfg, connection{URL: r.cfg.natsURL(), Role: r.name}, r.log)
	switch {
	case err == nil:
		return nil
	case r.name == "replay" && r.Streams != nil && embeddedIsDown(r.cfg, err):
		return fmt.Errorf("%w: its server is a part of `runmetrics run`; start that, or give files", err)
	case r.name == "replay" && r.Streams != nil:
		return err
	}
	r.log.Debug("nobody is told of what is repaired", "error", err)
	return nil
}

func (r *comparing) prepare() {
	r.work = replay.Comparison{Store: r.store, Apply: r.apply, AcceptTruncated: r.acceptTruncated, Rate: r.rate,
		IdleTimeout: r.cfg.RunIdleTimeout, Due: r.dataverse.due(), Place: r.saved.Place, Counts: r.saved.Counts,
		Found:     func(d *replay.Difference) { r.note(*d) },
		Committed: r.announce,
		Settled:   r.settle,
	}
}

// note keeps a difference where it is to be listed.
func (r *comparing) note(d replay.Difference) {
	if len(r.listed)+len(r.found) < r.limit {
		r.found = append(r.found, d)
	}
}

// settle keeps what was found: a resumed command goes on from here.
func (r *comparing) settle() {
	r.listed = append(r.listed, r.found...)
	r.found = nil
	r.saved.Place, r.saved.Counts = r.work.Place, r.work.Counts
}

// announce tells those who watch runs which ones were amended.
func (r *comparing) announce(b *sinks.Batch) {
	if r.conn == nil {
		return
	}
	if err := consumer.Announce(r.conn, r.cfg.Deployment, b); err != nil {
		r.log.Debug("announce what was repaired", "error", err)
	}
}

// watched shows the progress of the work.
func (r *comparing) watched(ctx context.Context, work func(context.Context) error) error {
	r.saved.begin(r)
	bar := startProgress(r.app.stderr, r.log, progressOf{doing: r.name, unit: "events", now: r.progress, count: func() int64 {
		p := r.work.Progress()
		return p.Read + p.Compared
	}})
	defer bar.Stop()
	return work(ctx)
}

// progress says how far the work is. Until all is read nobody knows how many of the events will be compared: as many.
func (r *comparing) progress() (total int64, note string) {
	p := r.work.Progress()
	if p.Comparing && r.all > 0 {
		total = p.Read + p.Gathered
	} else if r.all > 0 {
		total = 2 * r.all
	}
	if !p.Comparing {
		return total, "reading" + r.positions()
	}
	return total, fmt.Sprintf("comparing, %d runs, %d differences", p.Runs, p.Differences)
}

// tell says to the service that copies are due.
func (r *comparing) tell() {
	if r.conn == nil || !r.cfg.copied() || r.work.Counts.Repaired == 0 {
		return
	}
	if err := errors.Join(r.conn.Publish(dueSubject(r.cfg.Deployment), nil), r.conn.FlushTimeout(flushTime)); err != nil {
		r.log.Debug("nobody is told that runs are due", "error", err)
	}
}

// js is JetStream on the connection.
func (r *comparing) js() (jetstream.JetStream, error) {
	js, err := jetstream.New(r.conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
}
