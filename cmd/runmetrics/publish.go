package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

func (a *app) publish() *cobra.Command {
	p := &publishing{app: a}
	cmd := &cobra.Command{
		Use:   "publish [FILE|-]",
		Short: "Publish events from a file, or generated ones",
		Long: `publish sends events to the stream at NATS_URL (default: NATS_LISTEN on this machine).

From a file, or from stdin where it is -, it takes one event in JSON a line, compressed by gzip or not: also what
"runmetrics export" wrote. Each is checked first; a bad one is named with its line and every fault, and the others are
sent. Publishing a file again changes nothing: events are known by their ids.

With --check it sends nothing and needs neither a server nor configuration: it names what would be refused.

With --generate it makes events instead: runs of agents with retries, failures, latencies and costs. The same flags
make the same events, whenever and wherever, so this may be repeated and interrupted, too.

On Ctrl-C it waits for what is under way and says how many events the stream has.`,
		Example: `  runmetrics publish events.ndjson
  cat events.ndjson | runmetrics publish -
  runmetrics publish archive.ndjson.gz
  runmetrics publish --check events.ndjson
  runmetrics publish --generate 10000
  runmetrics publish --generate 1000000 --runs 20 --agents 500 --rate 1000 --duplicates 5 --seed 7`,
		Args: func(_ *cobra.Command, args []string) error { return p.checkArgs(args) },
		RunE: a.enter(p.run),
	}
	flags := cmd.Flags()
	flags.BoolVar(&p.check, "check", false, "send nothing: say what would be refused, and why, line by line")
	flags.IntVar(&p.generate, "generate", 0, "make this `number` of events instead of reading a file")
	flags.Float64Var(&p.pace.PerSecond, "rate", 0, "events per second; 0 is as fast as the stream takes them")
	flags.IntVar(&p.load.Runs, "runs", 10, "generated runs under way at once")
	flags.IntVar(&p.load.Agents, "agents", 100, "agents of each generated run")
	flags.Uint64Var(&p.load.Seed, "seed", 1, "other seeds make other events")
	flags.IntVar(&p.load.Duplicates, "duplicates", 0, "`percent` of the generated events that are sent twice")
	return cmd
}

// publishing is one run of the command.
type publishing struct {
	app      *app
	check    bool
	generate int
	pace     replay.Pace
	load     load

	publisher *publisher
	progress  *progress
	began     time.Time
	sent      int64 // events given to the publisher
	refused   int64 // lines that are no event
}

func (p *publishing) checkArgs(args []string) error {
	switch {
	case p.generate < 0 || p.pace.PerSecond < 0:
		return errors.New("--generate and --rate must not be negative")
	case p.check && (p.generate > 0 || p.pace.PerSecond > 0):
		return errors.New("--check looks at a file and sends nothing: --generate and --rate do not go with it")
	case p.load.Runs < 1 || p.load.Agents < 1 || p.load.Agents > 1_000_000:
		return errors.New("--runs must be at least 1, --agents from 1 to 1000000")
	case p.load.Duplicates < 0 || p.load.Duplicates > 100:
		return errors.New("--duplicates is a percentage, 0 to 100")
	case p.generate > 0 && len(args) > 0:
		return errors.New("give a file or --generate, not both")
	case p.generate == 0 && len(args) != 1:
		return errors.New("give one file, - for stdin, or --generate")
	}
	return nil
}

func (p *publishing) run(ctx context.Context, args []string) error {
	if p.check {
		return p.app.checkEvents(ctx, args[0])
	}
	cfg, log, err := p.app.open()
	if err != nil {
		return err
	}
	send := p.sendGenerated
	total := 0
	if p.generate > 0 {
		total = p.load.Len(p.generate)
	} else {
		file, err := replay.OpenLines(args[0], p.app.stdin)
		if err != nil {
			return err
		}
		defer file.Close()
		send = func(ctx context.Context) error { return p.sendLines(ctx, file) }
	}
	conn, err := connectNATS(cfg, connection{URL: cfg.natsURL(), Role: "publish", Inbox: "publish"}, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	if p.publisher, err = newPublisher(conn); err != nil {
		return err
	}
	defer p.publisher.Close()
	p.began = time.Now()
	p.progress = startProgress(p.app.stderr, log,
		progressOf{doing: "publishing", unit: "events", total: total, count: p.publisher.tally.acknowledged})
	err = send(ctx)
	if flushed := p.publisher.Flush(ctx); err == nil {
		err = flushed
	}
	p.progress.Stop()
	return p.finish(ctx, err)
}

// sendGenerated sends the load. A repetition has a message id of its own, or JetStream would drop it and no store would
// ever see one.
func (p *publishing) sendGenerated(ctx context.Context) error {
	for e, again := range p.load.All(p.generate) {
		id := events.MessageID(&e)
		if again {
			id += "/again"
		}
		if err := p.send(ctx, &e, events.Encode(&e), id); err != nil {
			return err
		}
	}
	return nil
}

// sendLines sends the good lines as they stand.
func (p *publishing) sendLines(ctx context.Context, file io.Reader) error {
	for line, err := range replay.Lines(file) {
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		e, rejected := events.Decode(events.Message{Data: line.Text, Time: time.Now()})
		if rejected != nil {
			p.refused++
			p.progress.Printf("line %d: %v\n", line.Number, rejected)
			continue
		}
		if err := p.send(ctx, &e, line.Text, events.MessageID(&e)); err != nil {
			return err
		}
	}
	return nil
}

// send gives an event to the publisher when its time has come.
func (p *publishing) send(ctx context.Context, e *events.Event, data []byte, id string) error {
	if err := p.pace.Wait(ctx); err != nil {
		return err
	}
	if err := p.publisher.Publish(ctx, eventMessage(e, data, id)); err != nil {
		return err
	}
	p.sent++
	return nil
}

// finish prints the summary and says how it went.
func (p *publishing) finish(ctx context.Context, err error) error {
	t := &p.publisher.tally
	seconds := time.Since(p.began).Seconds()
	fmt.Fprintf(p.app.stdout, "published %d, duplicates %d, refused %d, %.1f s, %.0f/s\n",
		t.stored.Load(), t.duplicates.Load(), p.refused, seconds, float64(t.acknowledged())/seconds)
	unknown := p.sent - t.acknowledged()
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(p.app.stderr, "runmetrics: interrupted: the stream has %d of the %d events sent\n", t.acknowledged(), p.sent)
		return errLeftovers
	case err != nil:
		return fmt.Errorf("%w (%d events sent before are not acknowledged)", err, unknown)
	case p.refused > 0:
		return errLeftovers
	}
	return nil
}
