package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// maxVoided is how many ids of a range are kept in memory, about 100 bytes each.
	maxVoided = 2_000_000
	// voidedAtOnce is how many runs are judged at a time.
	voidedAtOnce = 50
)

// voidStored voids all stored events of the selected runs.
func (v *voiding) voidStored(ctx context.Context) error {
	bar := startProgress(v.app.stderr, v.log, progressOf{doing: "voiding", unit: "runs", count: v.judged.Load})
	defer bar.Stop()
	return eachPage(ctx, v.store, v.records(), func(page []aggregate.Metrics) error {
		return eachStored(ctx, v.store, page, func(m *aggregate.Metrics, list []events.Event) error {
			t := target{key: m.Key()}
			for i := range list {
				if list[i].Type != events.ExecutionsVoided {
					t.ids = append(t.ids, list[i].ID)
				}
			}
			return v.void(ctx, holdingOf(m, list), &t)
		})
	})
}

// holdingOf is what is held of a run with these stored events.
func holdingOf(m *aggregate.Metrics, list []events.Event) *sinks.Holding {
	held := sinks.Holding{Run: aggregate.NewRun(m.Key()), Record: m, Version: m.Version, Sealed: len(list) == 0}
	for i := range list {
		held.Run.Apply(&list[i])
	}
	return &held
}

// voidIDs voids single events of one run.
func (v *voiding) voidIDs(ctx context.Context) error {
	t := target{key: events.Key{CampaignID: v.Campaign, RunID: v.Run, Phase: v.Phase}, ids: v.ids}
	held, err := v.store.Holdings(ctx, []events.Key{t.key})
	if err != nil {
		return err
	}
	if held[0].Record == nil && held[0].Run.Len() == 0 {
		return errors.New("the store has no such run: campaign, run and phase must be as the events have them")
	}
	return v.void(ctx, &held[0], &t)
}

// voidRange voids what the streams have in a range.
func (v *voiding) voidRange(ctx context.Context) error {
	targets, err := v.gather(ctx)
	if err != nil {
		return err
	}
	bar := startProgress(v.app.stderr, v.log,
		progressOf{doing: "voiding", unit: "runs", total: len(targets), count: v.judged.Load})
	defer bar.Stop()
	for part := range slices.Chunk(targets, voidedAtOnce) {
		keys := make([]events.Key, len(part))
		for i, t := range part {
			keys[i] = t.key
		}
		held, err := v.store.Holdings(ctx, keys)
		if err != nil {
			return err
		}
		for i, t := range part {
			if err := v.void(ctx, &held[i], t); err != nil {
				return err
			}
		}
	}
	return nil
}

// gathering collects the events of a range by their runs.
type gathering struct {
	targets map[events.Key]*target
	names   map[[2]string]struct{} // campaigns and runs of the targets, as subjects have them
	size    int
}

// gather reads the range, and then what lies before it.
func (v *voiding) gather(ctx context.Context) ([]*target, error) {
	js, err := jetstream.New(v.conn)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	g := gathering{targets: make(map[events.Key]*target), names: make(map[[2]string]struct{})}
	if err := v.read(ctx, js, v.messages(), nil, g.add); err != nil {
		return nil, err
	}
	for _, t := range g.targets {
		t.settle()
	}
	for _, before := range v.before() {
		if err := v.read(ctx, js, before, g.concerns, g.leave); err != nil {
			return nil, err
		}
	}
	list := slices.SortedFunc(maps.Values(g.targets), func(a, b *target) int {
		return slices.Compare([]string{a.key.CampaignID, a.key.RunID, a.key.Phase}, []string{b.key.CampaignID, b.key.RunID, b.key.Phase})
	})
	for _, t := range list {
		v.report.Repeated += t.drop()
	}
	return list, nil
}

// before are the parts of the streams that lie before the range.
func (v *voiding) before() (list []replay.Range) {
	if v.FromSeq > 1 {
		list = append(list, replay.Range{ToSequence: v.FromSeq - 1})
	}
	if !v.From.IsZero() {
		list = append(list, replay.Range{To: v.From.Time})
	}
	return list
}

// read reads a part of all streams.
func (v *voiding) read(
	ctx context.Context, js jetstream.JetStream, part replay.Range, keep func(string) bool, each func(*replay.Record) error,
) error {
	sources, err := openStreams(ctx, js, v.Streams, replay.StreamConfig{Range: part, Filter: v.filter(), Keep: keep})
	if err != nil {
		return err
	}
	total, position := progressOfStreams(sources)
	bar := startProgress(v.app.stderr, v.log, progressOf{doing: "reading", unit: "messages", total: total, count: position})
	defer bar.Stop()
	for _, source := range sources {
		if err := source.Read(ctx, each); err != nil {
			return err
		}
	}
	return nil
}

// add takes an event that is to be voided. A void cannot be voided.
func (g *gathering) add(r *replay.Record) error {
	if r.Rejected != nil || r.Event.Type == events.ExecutionsVoided {
		return nil
	}
	if g.size++; g.size > maxVoided {
		return fmt.Errorf("there are more than %d events in the range: take it in parts", maxVoided)
	}
	t := g.targets[r.Event.Key]
	if t == nil {
		t = &target{key: r.Event.Key}
		g.targets[t.key] = t
		g.names[[2]string{t.key.CampaignID, t.key.RunID}] = struct{}{}
	}
	t.ids = append(t.ids, r.Event.ID)
	return nil
}

// concerns tells whether messages on a subject may belong to a target.
func (g *gathering) concerns(subject string) bool {
	campaignID, runID, err := events.ParseSubject(subject)
	_, found := g.names[[2]string{campaignID, runID}]
	return err == nil && found
}

// leave spares an id that was published before the range: what is in the range repeats it, or conflicts with it, and does
// not count.
func (g *gathering) leave(r *replay.Record) error {
	t := g.targets[r.Event.Key]
	if t == nil || r.Rejected != nil {
		return nil
	}
	if _, found := slices.BinarySearch(t.ids, r.Event.ID); found {
		t.spared = append(t.spared, r.Event.ID)
	}
	return nil
}
