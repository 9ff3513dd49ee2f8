package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// examineConsumers looks whose the deployment's consumers are, and whether somebody reads. It tells whether they are
// there and ours.
func (d *doctor) examineConsumers(ctx context.Context, js jetstream.JetStream, stream string) bool {
	var database sinks.Identity
	if d.database != nil {
		database = *d.database
	}
	pin := d.examineConsumer(ctx, js, stream, consumer.ConsumerConfig(d.cfg.Deployment, database, consumer.DefaultPinnedTTL))
	if pin == nil {
		return false
	}
	messages := d.examineConsumer(ctx, js, stream, consumer.MessagesConfig(d.cfg.Deployment))
	if messages == nil {
		return false
	}
	// What keeps one of them from delivering keeps the stream from being read.
	if !d.delivers(stream, pin.CachedInfo()) || !d.delivers(stream, messages.CachedInfo()) {
		return true
	}
	subject := "consumer " + pin.CachedInfo().Name
	if isRead(ctx, pin) {
		d.ok(areaNATS, subject, "somebody reads stream "+stream)
		return true
	}
	d.warn(areaNATS, subject, "nobody reads stream "+stream, "start runmetrics run with DEPLOYMENT="+d.cfg.Deployment)
	return true
}

// examineConsumer compares a consumer with what it must be; nil where it is missing or not ours.
func (d *doctor) examineConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) jetstream.Consumer {
	subject := "consumer " + want.Durable
	c, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		d.fail(areaNATS, subject, "is missing on stream "+stream, d.setupFix())
		return nil
	}
	if err != nil {
		d.unanswered(subject, err, "")
		return nil
	}
	if d.database == nil {
		return c // whose it must be is not known
	}
	have := c.CachedInfo().Config
	if err := consumer.CheckOwner(stream, have, want); err != nil {
		finding, _, _ := strings.Cut(err.Error(), "; set DEPLOYMENT")
		d.fail(areaNATS, subject, finding, "set DEPLOYMENT to another name; or, if the database was moved, "+
			"`runmetrics setup --adopt`")
		return nil
	}
	_, differs := mendConsumer(have, want)
	for _, difference := range differs {
		d.warn(areaNATS, subject, "is not as it must be: "+difference, d.setupFix())
	}
	return c
}

// A reader asks anew from time to time, and for a moment nobody seems to wait: so many looks, so far apart.
const (
	looks    = 5
	lookTime = 200 * time.Millisecond
)

// isRead tells whether somebody waits for messages, or had some lately.
func isRead(ctx context.Context, c jetstream.Consumer) bool {
	info := c.CachedInfo()
	for range looks {
		if info.NumWaiting > 0 || pinned(info) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(lookTime):
		}
		again, err := c.Info(ctx)
		if err != nil {
			return false
		}
		info = again
	}
	return false
}

// delivers tells whether the consumer hands out all messages of its stream.
func (d *doctor) delivers(stream string, info *jetstream.ConsumerInfo) bool {
	subject := "consumer " + info.Name
	if info.Paused {
		d.fail(areaNATS, subject, fmt.Sprintf("it is paused for %s more: nothing is read of stream %s",
			info.PauseRemaining.Round(time.Second), stream),
			fmt.Sprintf("`nats consumer resume %s %s`", stream, info.Name))
		return false
	}
	if only := strings.Join(append(info.Config.FilterSubjects, info.Config.FilterSubject),
		" "); strings.TrimSpace(only) != "" {
		d.fail(areaNATS, subject, "it hands out messages of "+strings.TrimSpace(only)+" only, no others of stream "+stream,
			fmt.Sprintf("`nats consumer rm %s %s`, then runmetrics setup makes it anew", stream, info.Name))
		return false
	}
	return true
}

// malformed is no JSON: the server answers that before it does anything. Without the brace it would mean one message, please.
const malformed = "{"

// rightTime is how long doctor waits for the answer to a request that needs a right.
const rightTime = 2 * time.Second

// examineRights tries what run needs beside what was asked before, by requests that the server answers with an error: it
// cannot read them.
func (d *doctor) examineRights(ctx context.Context, js jetstream.JetStream, stream string) {
	pin, messages := stream+"."+consumer.ConsumerName(d.cfg.Deployment), stream+"."+consumer.MessagesName(d.cfg.Deployment)
	missing := false
	for _, subject := range []string{"DIRECT.GET." + stream, "CONSUMER.MSG.NEXT." + pin, "CONSUMER.RESET." + pin,
		"CONSUMER.UNPIN." + pin, "CONSUMER.MSG.NEXT." + messages, "CONSUMER.RESET." + messages} {
		limited, cancel := context.WithTimeout(ctx, rightTime)
		_, err := js.Conn().RequestWithContext(limited, jetstream.DefaultAPIPrefix+subject, []byte(malformed))
		cancel()
		if err != nil && !errors.Is(err, nats.ErrNoResponders) {
			d.unanswered("rights", fmt.Errorf("request %s: %w", subject, err), "")
			missing = true
		}
	}
	if !missing {
		d.ok(areaNATS, "rights", "this user may read stream "+stream+" as runmetrics run does")
	}
}

// examineSpread looks which streams get the events that agents publish.
func (d *doctor) examineSpread(ctx context.Context, conn *nats.Conn) {
	const subject = "publishing"
	share := d.cfg.Streams
	fix := "take the mapping of subjects out of the NATS configuration, or name its streams in STREAMS"
	if n := countPartitions(share); n > 0 {
		share = slices.DeleteFunc(slices.Clone(share), func(name string) bool { return !partition.MatchString(name) })
		from, to := mapping(n)
		fix = fmt.Sprintf("the NATS configuration must have mappings { %q: %q }; see runmetrics setup --streams %d",
			from, to, n)
	}
	found, err := probe(ctx, conn, len(share))
	if err != nil {
		d.warn(areaNATS, subject, "it cannot be told which streams take events: "+d.refusals.explain(err).Error(),
			"may this user publish to "+events.SubjectPrefix+".*.*?")
		return
	}
	others, idle := found.others(d.cfg.Streams), found.idle(share)
	if found.none {
		d.fail(areaNATS, subject, "no stream takes the events of some runs: who publishes them gets an error", fix)
	}
	if len(others) > 0 {
		d.warn(areaNATS, subject, "events go to "+strings.Join(others,
			" ")+", not in STREAMS: does another service read them?", fix)
	}
	if len(idle) > 0 {
		d.warn(areaNATS, subject, "no events go to "+strings.Join(idle, " "),
			fix+"; what gets none may leave STREAMS once it is read through")
	}
	if !found.none && len(others) == 0 && len(idle) == 0 {
		d.ok(areaNATS, subject, "events go to "+strings.Join(share, " "))
	}
}

// pinned tells whether a reader has the consumer to itself, though it may not be asking at this moment.
func pinned(info *jetstream.ConsumerInfo) bool {
	for _, group := range info.PriorityGroups {
		if group.PinnedClientID != "" {
			return true
		}
	}
	return false
}
