package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

func (a *app) export() *cobra.Command {
	x := &exporting{app: a, skipped: make(map[events.Reason]int64)}
	cmd := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Write events of streams, or the stored ones, to a file",
		Long: `export writes events as NDJSON, one normalised event a line: to FILE, which is packed by gzip if its name ends in .gz, or
to stdout. "runmetrics publish" sends such a file to a stream, "runmetrics replay" compares it with what is stored.

It reads the streams of STREAMS, through the message that is their last when it begins. Messages that are no events are
left out and counted: they are dead letters. With --stored it writes every stored event of the runs in the store instead,
also of those that left the streams long ago; of runs whose executions were pruned it has none.

The file gets its name when it is complete: after Ctrl-C or an error there is none.`,
		Example: `  runmetrics export events.ndjson.gz
  runmetrics export --from 2026-02-01 --to 2026-03-01 archive-2026-02.ndjson.gz
  runmetrics export --stored --campaign spring spring.ndjson
  runmetrics export --run run-7 | jq .status`,
		Args: func(cmd *cobra.Command, args []string) error {
			return errors.Join(x.checkFlags(), cobra.MaximumNArgs(1)(cmd, args))
		},
		RunE: a.enter(x.run),
	}
	x.runFlags(cmd)
	x.rangeFlags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&x.stored, "stored", false, "write the stored events of the runs in the store, not those of streams")
	flags.BoolVar(&x.packed, "gzip", false, "pack by gzip whatever the name of the file")
	flags.BoolVar(&x.force, "force", false, "replace the file if it is there")
	flags.Float64Var(&x.rate, "rate", 0, "messages of a stream per second at the most; 0: as fast as it goes")
	return cmd
}

// exporting is one run of the command.
type exporting struct {
	selection
	app    *app
	stored bool
	packed bool
	force  bool
	rate   float64

	cfg     *Config
	log     *slog.Logger
	archive *archive
	written atomic.Int64 // events, for the progress
	skipped map[events.Reason]int64
	pruned  int64 // runs without events
}

func (x *exporting) checkFlags() error {
	switch {
	case x.rate < 0:
		return errors.New("--rate must not be negative")
	case x.stored && (x.ranged() || x.Streams != nil || x.rate > 0):
		return errors.New("--stored writes whole runs of the store: leave out --stream, --rate and ranges of messages")
	}
	return x.check()
}

func (x *exporting) run(ctx context.Context, args []string) (err error) {
	if x.cfg, x.log, err = x.app.open(); err != nil {
		return err
	}
	if !x.stored {
		if err := x.checkStreams(x.cfg); err != nil {
			return usageError{err}
		}
	}
	path := "-"
	if len(args) > 0 {
		path = args[0]
	}
	if err := x.writeTo(ctx, path); err != nil {
		if ctx.Err() == nil {
			return err
		}
		fmt.Fprintln(x.app.stderr, "runmetrics: interrupted: the archive is not complete")
		return errLeftovers
	}
	x.report(path)
	return nil
}

// writeTo writes a file, or stdout. The file has another name until it is complete.
func (x *exporting) writeTo(ctx context.Context, path string) (err error) {
	if path == "-" {
		return x.write(ctx, x.app.stdout, x.packed)
	}
	if err := checkTarget(path, x.force); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	err = errors.Join(x.write(ctx, file, x.packed || packedName(path)), file.Sync(), file.Close())
	if err == nil {
		err = checkTarget(path, x.force) // somebody may have made it meanwhile
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		err = syncDirectory(path)
	}
	return err
}

// write writes the events.
func (x *exporting) write(ctx context.Context, out io.Writer, packed bool) error {
	x.archive = newArchive(out, packed)
	work := x.writeStreams
	if x.stored {
		work = x.writeStored
	}
	if err := work(ctx); err != nil {
		return err
	}
	return x.archive.flush()
}

func (x *exporting) writeStreams(ctx context.Context) error {
	conn, err := connectNATS(x.cfg, connection{URL: x.cfg.natsURL(), Role: "export"}, x.log)
	if err != nil {
		if embeddedIsDown(x.cfg, err) {
			err = fmt.Errorf("%w: its server is a part of `runmetrics run`; start that, or write what is --stored", err)
		}
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	sources, err := openStreams(ctx, js, x.Streams,
		replay.StreamConfig{Range: x.messages(), Filter: x.filter(), Rate: x.rate})
	if err != nil {
		return err
	}
	total, position := progressOfStreams(sources)
	bar := startProgress(x.app.stderr, x.log, progressOf{doing: "exporting", unit: "messages", total: total, count: position})
	defer bar.Stop()
	for _, source := range sources {
		if err := source.Read(ctx, x.take); err != nil {
			return err
		}
	}
	return nil
}

// openStreams opens the same part of several streams.
func openStreams(ctx context.Context, js jetstream.JetStream, names []string, c replay.StreamConfig) ([]*replay.Stream, error) {
	sources := make([]*replay.Stream, len(names))
	for i, name := range names {
		c.Stream = name
		var err error
		if sources[i], err = replay.OpenStream(ctx, js, c); err != nil {
			return nil, err
		}
	}
	return sources, nil
}

// progressOfStreams is how many messages are to be read of streams, and a function that says how many were.
func progressOfStreams(sources []*replay.Stream) (total int, position func() int64) {
	for _, source := range sources {
		if from, to := source.Span(); to >= from {
			total += int(to - from + 1)
		}
	}
	return total, func() (n int64) {
		for _, source := range sources {
			from, _ := source.Span()
			n += int64(source.Position() + 1 - from)
		}
		return n
	}
}

// take writes an event.
func (x *exporting) take(r *replay.Record) error {
	if r.Rejected != nil {
		x.skipped[r.Rejected.Reason]++
		return nil
	}
	x.written.Add(1)
	return x.archive.write(&r.Event)
}

func (x *exporting) writeStored(ctx context.Context) (err error) {
	store, err := openExisting(ctx, x.cfg, x.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	bar := startProgress(x.app.stderr, x.log, progressOf{doing: "exporting", unit: "events", count: x.written.Load})
	defer bar.Stop()
	return eachPage(ctx, store, x.records(), func(page []aggregate.Metrics) error {
		return eachStored(ctx, store, page, func(_ *aggregate.Metrics, list []events.Event) error {
			if len(list) == 0 {
				x.pruned++
			}
			for i := range list {
				if err := x.archive.write(&list[i]); err != nil {
					return err
				}
			}
			x.written.Add(int64(len(list)))
			return nil
		})
	})
}

// report says what was written: on stdout, unless that is the archive.
func (x *exporting) report(path string) {
	w, to := x.app.stdout, path
	if path == "-" {
		w, to = x.app.stderr, "standard output"
	}
	fmt.Fprintf(w, "wrote %d events to %s\n", x.archive.events, to)
	if len(x.skipped) > 0 {
		fmt.Fprintln(x.app.stderr, "left out, as they are dead letters:", reasonCounts(x.skipped))
	}
	if x.pruned > 0 {
		fmt.Fprintf(x.app.stderr, "%d runs have no stored events: they were pruned\n", x.pruned)
	}
}

// reasonCounts lists how often each reason was met, the most frequent first.
func reasonCounts(counts map[events.Reason]int64) string {
	reasons := slices.SortedFunc(maps.Keys(counts), func(a, b events.Reason) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(string(a), string(b))
	})
	parts := make([]string, len(reasons))
	for i, reason := range reasons {
		parts[i] = fmt.Sprintf("%d %s", counts[reason], reason)
	}
	return strings.Join(parts, ", ")
}
