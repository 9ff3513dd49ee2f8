package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/consumer"
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

Several streams share the events as partitions: names end in _0, _1 and so on, and the NATS server maps
runs.*.* to runs.{{partition(n,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}.`,
		Example: `  runmetrics setup --dry-run
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@host/metrics runmetrics setup --max-bytes 50GB
  NATS_URL=nats://nats:4222 DATABASE_URL=postgres://user@newhost/metrics runmetrics setup --adopt`,
		Args: cobra.NoArgs,
		RunE: a.enter(s.run),
	}
	flags := cmd.Flags()
	flags.BoolVar(&s.dryRun, "dry-run", false, "say what would be done and change nothing")
	flags.BoolVar(&s.adopt, "adopt", false, "take the consumer over from another database: only after a move of the database")
	flags.Var(&s.maxBytes, "max-bytes", "`size` of each stream, such as 50GB; default: as it is, for a new one 10GB or half the free disk")
	return cmd
}

// settingUp is one run of the command.
type settingUp struct {
	app      *app
	dryRun   bool
	adopt    bool
	maxBytes byteSize

	cfg    *Config
	log    *slog.Logger
	failed bool

	database sinks.Identity
	unknown  string // why the database's identity is not known, empty where it is
	refusals refusals
}

var errSetup = errors.New("setup is not complete; mend what failed and run it again")

func (s *settingUp) run(ctx context.Context, _ []string) error {
	var err error
	if s.cfg, s.log, err = s.app.open(needCopied); err != nil {
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

// streams prepares all streams, each with the deployment's consumer.
func (s *settingUp) streams(ctx context.Context) {
	conn, err := connectNATS(s.cfg, connection{URL: s.cfg.natsURL(), Role: "setup", Refusals: &s.refusals}, s.log)
	if embeddedIsDown(s.cfg, err) {
		s.line("stream", strings.Join(s.cfg.Streams, " "),
			"skipped: runmetrics run makes it in the NATS server that it has in it; set NATS_URL for another server")
		return
	}
	if err != nil {
		s.report("stream", strings.Join(s.cfg.Streams, " "), change{}, err)
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		s.report("stream", strings.Join(s.cfg.Streams, " "), change{}, err)
		return
	}
	absent := int64(defaultStreamBytes)
	if !s.cfg.NATSURL.IsSet() {
		absent = defaultMaxBytes(s.cfg.DataDir)
	}
	for _, name := range inOrder(s.cfg.Streams) {
		plan, err := planStream(ctx, js, name, subjectsOf(name, s.cfg.Streams), int64(s.maxBytes), absent)
		if s.carryOut(ctx, "stream", name, plan, err) {
			s.consumer(ctx, js, name, plan.Created && s.dryRun)
		}
	}
}

// consumer prepares the deployment's consumer on a stream, which in a dry run may not be there.
func (s *settingUp) consumer(ctx context.Context, js jetstream.JetStream, stream string, imagined bool) {
	who := stream + "/" + consumer.ConsumerName(s.cfg.Deployment)
	switch {
	case s.unknown != "" && !s.dryRun:
		s.report("consumer", who, change{}, errors.New(s.unknown))
	case s.unknown != "":
		s.line("consumer", who, s.unknown)
	case imagined:
		s.report("consumer", who, change{Created: true}, nil)
	default:
		plan, err := planConsumer(ctx, js, stream, s.cfg.Deployment, s.database, s.adopt)
		s.carryOut(ctx, "consumer", who, plan, err)
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
	fmt.Fprintf(s.app.stdout, "%-9s %-30s %s\n", kind, name, text)
}
