package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) setup() *cobra.Command {
	s := &settingUp{app: a}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Prepare streams, consumers, the database and the table in Dataverse",
		Long: `setup makes what "runmetrics run" needs of servers outside, or brings it up to date: the schema of the database at
DATABASE_URL (SQLite in DATA_DIR without it), the streams of STREAMS, the consumer of this deployment on each, and with
USE_DATAVERSE=true the table DATAVERSE_TABLE.

Without NATS_URL the server is a part of "runmetrics run", which makes streams and consumers when it starts: setup leaves
them to it, unless it is up.

It says of each thing whether it was created, changed and how, or left as it is. Run again, it changes nothing. What
cannot be reached is reported, the rest is done, and the exit code is 1.

A table that is there gets the columns that it lacks, and nothing else: where a column is narrower than wanted, or of
another type, setup says what that costs and what to do.

With --streams 8 the events are shared by eight streams, RUN_EVENTS_0 to RUN_EVENTS_7, each with a reader of its own: setup
makes them, narrows RUN_EVENTS, and prints the subject mapping by which the NATS server fills them and the STREAMS to set
for "runmetrics run". Streams that get no more events stay in STREAMS until they are read out; setup says when that is.
Another number later is done the same way: a run may then lie in two streams, and its numbers stay right.`,
		Example: `  runmetrics setup --dry-run
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@host/metrics runmetrics setup --streams 8
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@host/metrics runmetrics setup --max-bytes 50GB
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@newhost/metrics runmetrics setup --adopt`,
		Args: func(cmd *cobra.Command, args []string) error { return cmp.Or(cobra.NoArgs(cmd, args), s.checkFlags()) },
		RunE: a.enter(s.run),
	}
	flags := cmd.Flags()
	flags.BoolVar(&s.dryRun, "dry-run", false, "say what would be done and change nothing")
	flags.BoolVar(&s.adopt, "adopt", false, "take the consumer over from another database: only after a move of the database")
	flags.Var(&s.maxBytes, "max-bytes",
		"`size` of each stream, such as 50GB; default: as it is, for new ones together 10GB or half the free disk")
	flags.IntVar(&s.partitions, "streams", 0, "share the events among this `number` of streams; 0: those of STREAMS")
	return cmd
}

// settingUp is one run of the command.
type settingUp struct {
	app        *app
	dryRun     bool
	adopt      bool
	maxBytes   byteSize
	partitions int // 0: the streams are those of STREAMS

	cfg    *Config
	log    *slog.Logger
	failed bool

	database sinks.Identity
	unknown  string // why the database's identity is not known, empty where it is
	refusals refusals
}

func (s *settingUp) checkFlags() error {
	if s.partitions != 0 && (s.partitions < 2 || s.partitions > maxPartitions) {
		return fmt.Errorf("--streams must be 2 to %d", maxPartitions)
	}
	return nil
}

// needServer wants a server that can be told to map subjects.
func (s *settingUp) needServer(cfg *Config, f *faults) {
	if s.partitions > 0 && !cfg.NATSURL.IsSet() {
		f.add("NATS_URL", "is not set; --streams needs a server that maps subjects, which the one in runmetrics run does not")
	}
}

var errSetup = errors.New("setup is not complete; mend what failed and run it again")

func (s *settingUp) run(ctx context.Context, _ []string) error {
	var err error
	if s.cfg, s.log, err = s.app.open(needCopied, s.needServer); err != nil {
		return err
	}
	s.store(ctx)
	s.streams(ctx)
	s.dataverse(ctx)
	if s.failed {
		return errSetup
	}
	return nil
}

// store prepares the database and learns its identity.
func (s *settingUp) store(ctx context.Context) {
	var plan change
	var err error
	name := "sqlite"
	if s.cfg.DatabaseURL.IsSet() {
		name = "postgres"
		plan, err = planPostgres(ctx, s.cfg)
	} else {
		plan, err = planSQLite(s.cfg)
	}
	if !s.carryOut(ctx, "schema", name, plan, err) {
		s.unknown = "needs the database, which failed"
		return
	}
	if plan.needed() && s.dryRun {
		s.unknown = "depends on the database's identity, which comes with its schema"
		return
	}
	if s.database, err = identityOf(ctx, s.cfg, s.log); err != nil {
		s.unknown = "needs the database's identity: " + err.Error()
	}
}

// carryOut applies a plan, unless this is a dry run, and reports it. It tells whether all is well.
func (s *settingUp) carryOut(ctx context.Context, kind, name string, plan change, err error) bool {
	if err == nil && plan.needed() && !s.dryRun {
		err = plan.apply(ctx)
	}
	s.report(kind, name, plan, s.refusals.explain(err))
	return err == nil
}

// report prints a line on a thing, and one on each of its settings that differs.
func (s *settingUp) report(kind, name string, c change, err error) {
	verdict := "unchanged"
	switch {
	case err != nil:
		s.failed = true
		verdict = "failed: " + err.Error()
	case c.Created && s.dryRun:
		verdict = "would be created"
	case c.Created:
		verdict = "created"
	case c.needed() && s.dryRun:
		verdict = "would be changed"
	case c.needed():
		verdict = "changed"
	}
	s.line(kind, name, verdict)
	if err != nil {
		return
	}
	for _, d := range c.Differs {
		s.line("", "", "  "+d)
	}
}

func (s *settingUp) line(kind, name, text string) {
	fmt.Fprintf(s.app.stdout, "%-9s %-36s %s\n", kind, name, text)
}
