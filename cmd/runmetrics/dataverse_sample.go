package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

const (
	// sampleTime is how long a sample may be on its way, and how long its removal may take.
	sampleTime = 30 * time.Second
	// sampleLook is the time between two looks at what is being waited for.
	sampleLook = 100 * time.Millisecond
)

func (a *app) dataverseTest() *cobra.Command {
	s := &sample{app: a, patience: sampleTime}
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Send a sample run all the way into Dataverse",
		Long: `test publishes the events of a small run to the stream, as agents do, waits until the service has committed it and sent
it, and reads its row back from Dataverse, all within 30 s. It shows the row and the time of each step; a step that fails
is named, and the exit code is 1. It needs a service that is up: "runmetrics run" with USE_DATAVERSE=true and the same
NATS_URL, DATABASE_URL and DEPLOYMENT.

Then it removes the sample: it voids the run's events, so that the run counts no agents and no money, and deletes the row
in Dataverse. The database keeps the run, because nothing deletes events there. With --keep all of it stays.`,
		Example: `  USE_DATAVERSE=true runmetrics dataverse test
  runmetrics dataverse test --keep --env-file production.env`,
		Args: cobra.NoArgs,
		RunE: a.enter(s.run),
	}
	cmd.Flags().BoolVar(&s.keep, "keep", false, "leave the sample where it went")
	return cmd
}

// sample is one run of the command.
type sample struct {
	app      *app
	keep     bool
	patience time.Duration

	cfg    *Config
	log    *slog.Logger
	js     jetstream.JetStream
	watch  *consumer.Watch
	store  sinks.Store
	client *dataverse.Client
	table  *dataverse.Table

	key    events.Key
	sent   []events.Event // of the run
	ack    *jetstream.PubAck
	record aggregate.Metrics // as it was committed
	row    dataverse.Row     // as it was read back
}

func (s *sample) run(ctx context.Context, _ []string) (err error) {
	if s.cfg, s.log, err = s.app.open(needDataverse); err != nil {
		return err
	}
	conn, err := connectNATS(s.cfg, connection{URL: s.cfg.natsURL(), Role: "dataverse test"}, s.log)
	if err != nil {
		return stepFailed("connect", fmt.Errorf("%w; start `runmetrics run`, or set NATS_URL to the server that it uses", err))
	}
	defer conn.Close()
	if s.store, err = openExisting(ctx, s.cfg, s.log); err != nil {
		return stepFailed("connect", err)
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	if s.client, err = newDataverse(s.cfg, s.log); err != nil {
		return stepFailed("connect", err)
	}
	defer s.client.Close()
	return s.send(ctx, conn)
}

// send takes the steps.
func (s *sample) send(ctx context.Context, conn *nats.Conn) error {
	s.key = newSampleKey()
	way, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	connect := func(ctx context.Context) (string, error) { return s.connect(ctx, conn) }
	if err := s.step(way, "connect", connect); err != nil {
		return err
	}
	if err := s.step(way, "publish", s.publish); err != nil {
		return s.abandon(ctx, err)
	}
	if err := s.step(way, "store", s.commit); err != nil {
		return s.abandon(ctx, err)
	}
	if err := s.step(way, "dataverse", s.readBack); err != nil {
		return s.abandon(ctx, err)
	}
	s.show()
	if s.keep {
		return nil
	}
	back, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if err := s.step(back, "remove", s.remove); err != nil {
		return fmt.Errorf("%w; the sample's row is %s", err, s.record.RunKey)
	}
	return nil
}

// step takes a step and prints what came of it, and how long it took.
func (s *sample) step(ctx context.Context, name string, take func(context.Context) (string, error)) error {
	began := time.Now()
	said, err := take(ctx)
	if errors.Is(err, context.Canceled) {
		return stepFailed(name, errors.New("interrupted"))
	}
	if err != nil {
		return stepFailed(name, err)
	}
	fmt.Fprintf(s.app.stdout, "%-10s %8s  %s\n", name, time.Since(began).Round(time.Millisecond), said)
	return nil
}

func stepFailed(name string, err error) error { return fmt.Errorf("step %s failed: %w", name, err) }

// connect finds out what can be found out before anything is left anywhere.
func (s *sample) connect(ctx context.Context, conn *nats.Conn) (string, error) {
	var err error
	if s.js, err = jetstream.New(conn); err != nil {
		return "", err
	}
	if s.watch, err = consumer.NewWatch(conn, s.cfg.Deployment); err != nil {
		return "", err
	}
	if err := conn.FlushWithContext(ctx); err != nil { // the server knows that we listen
		return "", fmt.Errorf("ask NATS: %w", err)
	}
	database, err := s.store.Identity(ctx)
	if err != nil {
		return "", err
	}
	if s.table, err = readTable(ctx, s.client, s.cfg.DataverseTable); err != nil {
		return "", err
	}
	if err := s.table.Usable(); err != nil {
		return "", err
	}
	return fmt.Sprintf("NATS %s, %s, %s", conn.ConnectedServerVersion(), database.Database, s.client), nil
}

// commit waits until the store has everything that was published.
func (s *sample) commit(ctx context.Context) (string, error) {
	err := s.watch.Wait(ctx, s.ack.Stream, s.ack.Sequence)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("nobody has committed it: is `runmetrics run` up, with this NATS_URL, STREAMS and DEPLOYMENT=%s? "+
			"`runmetrics doctor` says what keeps it", s.cfg.Deployment)
	}
	if err != nil {
		return "", err
	}
	record, found, err := s.store.Get(ctx, s.key.UUID())
	if err != nil {
		return "", err
	}
	if !found {
		return "", errors.New("it was committed into another database: DATABASE_URL, or DATA_DIR, must be the service's")
	}
	s.record = record
	return fmt.Sprintf("committed as version %d", record.Version), nil
}

// readBack waits until the row in Dataverse is the record.
func (s *sample) readBack(ctx context.Context) (string, error) {
	if err := s.delivered(ctx); err != nil {
		return "", err
	}
	var row dataverse.Row
	last := errors.New("nothing was read")
	err := s.until(ctx, func() (bool, error) {
		if row, last = s.client.Get(ctx, s.table.EntitySet, s.record.RunKey, presentColumns(s.table)...); last != nil {
			return false, s.outlast(ctx, last)
		}
		differences := s.table.Same(&s.record, row)
		if len(differences) == 0 {
			return true, nil
		}
		d := differences[0]
		last = fmt.Errorf("%s is %s, not %s", d.Column, printable(d.Got), printable(d.Want))
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("the row cannot be read back as it was sent: %w", last)
	}
	if err != nil {
		return "", err
	}
	s.row = row
	return "the row is as it was committed", nil
}

// outlast returns an error that waiting does not mend. Others it waits for as long as Dataverse asks.
func (s *sample) outlast(ctx context.Context, err error) error {
	if !errors.Is(err, sinks.ErrUnavailable) && !errors.Is(err, dataverse.ErrNoRow) {
		return err
	}
	if wait, throttled := dataverse.Throttled(err); throttled {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// delivered waits until the dispatcher has settled the record's version. The store tells, so that Dataverse is asked once.
func (s *sample) delivered(ctx context.Context) error {
	err := s.until(ctx, func() (bool, error) {
		found, err := s.store.CopiesOf(ctx, []uuid.UUID{s.record.RunKey})
		switch {
		case err != nil:
			return false, err
		case len(found) == 0:
			return false, errors.New("the database has lost the run")
		case found[0].Parked != "":
			return false, fmt.Errorf("the row is refused: %s", printable(found[0].Parked))
		case found[0].Delivered >= s.record.Version:
			return true, nil
		case !found[0].Waiting: // a service that copies marks the run when it commits
			return false, errors.New("the service does not copy: start `runmetrics run` with USE_DATAVERSE=true")
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the row waits to be sent: /readyz of the service says why, under dataverse")
	}
	return err
}

// until looks, and looks again after a while, until done or an error.
func (s *sample) until(ctx context.Context, look func() (done bool, err error)) error {
	tick := time.NewTicker(sampleLook)
	defer tick.Stop()
	for {
		done, err := look()
		if ctx.Err() != nil && !done {
			return ctx.Err()
		}
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// show prints the row as it stands in Dataverse.
func (s *sample) show() {
	row := s.row
	fmt.Fprintf(s.app.stdout, `
  campaign      %s
  run           %s
  phase         %s
  agents        %s successful
  success rate  %s %%
  cost          %s USD
  latency       p95 %s ms, average %s ms
  tokens        %s in, %s out
  created       %s
  row           %s

`, cell(row, columnCampaign), cell(row, columnRun), cell(row, columnPhase), agentsOf(row), cell(row, columnRate),
		cell(row, columnCost), cell(row, columnP95), cell(row, columnAverage), cell(row, columnTokensIn),
		cell(row, columnTokensOut), cell(row, columnCreatedAt), cell(row, s.table.PrimaryID))
}

// remove voids the run and deletes its row. The void makes another version of the record, which the dispatcher sends; only
// after that the row is deleted, or it would come back.
func (s *sample) remove(ctx context.Context) (string, error) {
	if err := s.void(ctx); err != nil {
		return "", err
	}
	if _, err := s.commit(ctx); err != nil {
		return "", err
	}
	if err := s.delivered(ctx); err != nil {
		return "", err
	}
	if err := s.client.Delete(ctx, s.table.EntitySet, s.record.RunKey); err != nil && !errors.Is(err, dataverse.ErrNoRow) {
		return "", err
	}
	return "the row is deleted; the database keeps the run, voided: it counts no agents", nil
}
