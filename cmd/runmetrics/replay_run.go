package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/sinks"
)

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
