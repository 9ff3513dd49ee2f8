package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

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
func (m copyMode) due() func() time.Time {
	if m != copySlow {
		return nil
	}
	next := time.Now()
	return func() time.Time {
		due := next
		next = next.Add(slowCopies)
		return due
	}
}
