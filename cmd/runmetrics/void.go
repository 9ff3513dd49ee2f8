package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) void() *cobra.Command {
	v := &voiding{app: a}
	cmd := &cobra.Command{
		Use:   "void --reason TEXT",
		Short: "Publish that events count nowhere",
		Long: `void publishes events "executions.voided", after which other events count nowhere: those that were published wrongly. It
takes one of

  a range      every event of the streams of STREAMS in a range of --from, --to, --from-seq and --to-seq, of the selected
               runs or of all. Ids that the stream also holds from before the range are left: there they are repetitions
  stored runs  every stored event of a --campaign, --run or --phase, or of several of these together
  ids          --id, once for each, with --campaign, --run and --phase

Without --apply it publishes nothing and says what would change: the figures of each run, stored → without the events.
With --apply it waits until the stream has all voids; the service applies them as it does all events. Ids that are voided
already are left out, so it may be interrupted and run again. Runs whose executions were pruned stay as they are.

A void cannot be taken back: publish the events again under new ids.

It keeps the ids of a range in memory, 2,000,000 at the most, and the events of up to 50 runs.

Exit codes: 0 done; 3 interrupted, or runs were left out.`,
		Example: `  runmetrics void --reason "wrong prompt" --from 2026-03-01T12:00:00Z --to 2026-03-01T13:00:00Z
  runmetrics void --reason "wrong prompt" --stream RUN_EVENTS --from-seq 1041 --to-seq 2040 --campaign spring --apply
  runmetrics void --reason "test run" --campaign spring --run run-7 --apply
  runmetrics void --reason "sent twice" --campaign spring --run run-7 --phase 1 --id e-17 --id e-18 --apply`,
		Args: checkedFlags(v.checkFlags),
		RunE: a.enter(v.run),
	}
	v.runFlags(cmd)
	v.rangeFlags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&v.ids, "id", nil, "this event `id` of a run; may be given several times")
	flags.StringVar(&v.report.Reason, "reason", "", "why they count nowhere, a `text` of up to 256 characters that is kept with each void")
	flags.BoolVar(&v.report.Applied, "apply", false, "publish the voids; without it nothing is published")
	flags.BoolVar(&v.undo, "undo", false, "is not possible: publish the events again under new ids")
	flags.IntVar(&v.limit, "limit", defaultListed, "list at most this `number` of runs; all are counted")
	outputFlag(cmd, &v.output)
	return cmd
}

// voiding is one run of the command.
type voiding struct {
	selection
	app    *app
	ids    []string
	undo   bool
	limit  int
	output outputFormat

	cfg       *Config
	log       *slog.Logger
	store     sinks.Store
	conn      *nats.Conn
	publisher *publisher   // nil without --apply
	judged    atomic.Int64 // runs, for the progress
	report    voidReport
}

func (v *voiding) checkFlags() error {
	probe := voidOf(events.Key{CampaignID: "c", RunID: "r", Phase: "p"}, v.report.Reason)
	probe.Voids = append([]string{"id"}, v.ids...)
	_, rejected := events.Decode(events.Message{Data: events.Encode(&probe)})
	switch {
	case v.undo:
		return errors.New("--undo: a void cannot be taken back; publish the events again under new ids")
	case v.report.Reason == "":
		return errors.New("--reason is required: it is kept with each void")
	case rejected != nil:
		return rejected
	case v.limit < 0:
		return errors.New("--limit must not be negative")
	case v.ids != nil && (v.ranged() || v.Campaign == "" || v.Run == "" || v.Phase == ""):
		return errors.New("--id names events of one run: give --campaign, --run and --phase with it, and no range")
	case v.ids == nil && !v.ranged() && v.records() == sinks.RecordFilter{}:
		return errors.New("say what to void: a range of a stream, a --campaign, --run or --phase, or each --id")
	case v.Streams != nil && !v.ranged():
		return errors.New("--stream goes with a range: --from, --to, --from-seq, --to-seq")
	}
	return v.check()
}

// voidOf makes a void of a run that names nothing yet.
func voidOf(key events.Key, reason string) events.Event {
	return events.Event{Key: key, ID: "void-" + uuid.NewString(), Type: events.ExecutionsVoided, Reason: reason,
		OccurredAt: time.Now().UTC().Truncate(time.Microsecond)}
}

func (v *voiding) run(ctx context.Context, _ []string) (err error) {
	if v.cfg, v.log, err = v.app.open(); err != nil {
		return err
	}
	if v.ranged() {
		if err := v.checkStreams(v.cfg); err != nil {
			return usageError{err}
		}
	}
	if v.store, err = openExisting(ctx, v.cfg, v.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.store.Close()) }()
	if v.ranged() || v.report.Applied {
		if err := v.connect(); err != nil {
			return err
		}
		defer v.conn.Close()
	}
	if !v.report.Applied {
		return v.finish(ctx, v.work(ctx))
	}
	record, err := beginAudit(ctx, v.store, "void", v.app.args)
	if err != nil {
		return err
	}
	defer v.publisher.Close()
	err = v.work(ctx)
	if flushed := v.publisher.Flush(ctx); err == nil {
		err = flushed
	}
	v.report.Published = v.publisher.acknowledged()
	return v.finish(ctx, record.end(v.report.counts(), err))
}

func (v *voiding) connect() (err error) {
	v.conn, err = connectNATS(v.cfg, connection{URL: v.cfg.natsURL(), Role: "void"}, v.log)
	switch {
	case err != nil && embeddedIsDown(v.cfg, err):
		return fmt.Errorf("%w: its server is a part of `runmetrics run`; start that", err)
	case err != nil || !v.report.Applied:
		return err
	}
	v.publisher, err = newPublisher(v.conn)
	return err
}

// work finds what is to be voided, and voids it.
func (v *voiding) work(ctx context.Context) error {
	switch {
	case v.ids != nil:
		return v.voidIDs(ctx)
	case v.ranged():
		return v.voidRange(ctx)
	}
	return v.voidStored(ctx)
}

// target is what is to be voided of a run.
type target struct {
	key    events.Key
	ids    []string
	spared []string // of ids: those that stay
}

// drop takes out the ids that are spared, and returns how many they were.
func (t *target) drop() int64 {
	slices.Sort(t.spared)
	before := len(t.ids)
	t.ids = t.without(t.spared)
	return int64(before - len(t.ids))
}

// settle makes each id stand once.
func (t *target) settle() {
	slices.Sort(t.ids)
	t.ids = slices.Compact(t.ids)
}

// void judges a run, and with --apply publishes the voids.
func (v *voiding) void(ctx context.Context, held *sinks.Holding, t *target) error {
	defer v.judged.Add(1)
	t.settle()
	r := &v.report
	switch {
	case held.Sealed:
		r.Sealed++
		return nil
	case held.Damage != "":
		r.Damaged++
		return nil
	}
	fresh := t.without(held.Run.Voided())
	r.Voided += int64(len(t.ids) - len(fresh))
	if len(fresh) == 0 {
		return nil
	}
	r.Runs++
	r.Events += int64(len(fresh))
	list := voids(t.key, r.Reason, fresh)
	if len(r.Changes) < v.limit {
		r.Changes = append(r.Changes, changeBy(held, list, len(fresh)))
	}
	if v.publisher == nil {
		return nil
	}
	for i := range list {
		if err := v.publisher.Publish(ctx, eventMessage(&list[i], events.Encode(&list[i]), events.MessageID(&list[i]))); err != nil {
			return err
		}
	}
	return nil
}

// without are the ids that are not among others, which are sorted.
func (t *target) without(others []string) []string {
	return slices.DeleteFunc(slices.Clone(t.ids), func(id string) bool {
		_, found := slices.BinarySearch(others, id)
		return found
	})
}

// maxVoids is how many events one void may name.
const maxVoids = 1000

// voids names the ids in as many events as it takes.
func voids(key events.Key, reason string, ids []string) (list []events.Event) {
	for len(ids) > 0 {
		e := voidOf(key, reason)
		n, size := 0, len(events.Encode(&e))+len(`,"voids":[]`)
		for n < len(ids) && n < maxVoids {
			size += len(events.AppendQuoted(nil, ids[n])) + len(",")
			if size > events.MaxSize {
				break
			}
			n++
		}
		e.Voids, ids = ids[:n], ids[n:]
		list = append(list, e)
	}
	return list
}
