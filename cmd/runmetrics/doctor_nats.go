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

// answerTime is how long a server may take to tell of a stream and its consumer. It says nothing at all to who may not ask.
const answerTime = 5 * time.Second

// leastOutageHours is how long a database may be away that somebody has to mend in the morning.
const leastOutageHours = 24

// examineNATS looks at the server, the streams and this deployment's consumers.
func (d *doctor) examineNATS(ctx context.Context) {
	conn, err := connectNATS(d.cfg, connection{URL: d.cfg.natsURL(), Role: "doctor", Refusals: &d.refusals}, d.log)
	if embeddedIsDown(d.cfg, err) {
		d.warn("nats", "server", err.Error(),
			"runmetrics run has the server in it, listening on NATS_LISTEN: start it, or set NATS_URL to another server")
		return
	}
	if err != nil {
		d.fail("nats", "server", err.Error(),
			"start the server, or correct NATS_URL, the user in NATS_CREDS or NATS_NKEY, and the certificates")
		return
	}
	defer conn.Close()
	d.ok("nats", "server", conn.ConnectedAddr()+" answers, version "+conn.ConnectedServerVersion())
	js, err := jetstream.New(conn)
	if err != nil {
		d.fail("nats", "server", err.Error(), "")
		return
	}
	missing := false
	for _, name := range inOrder(d.cfg.Streams) {
		limited, cancel := context.WithTimeout(ctx, answerTime)
		there := d.examineStream(limited, js, name)
		if there && d.examineConsumer(limited, js, name) {
			d.examineRights(ctx, js, name)
		}
		missing = missing || !there
		cancel()
	}
	if !missing {
		d.examineSpread(ctx, conn)
	}
}

// setupFix says what makes or mends a stream or a consumer.
func (d *doctor) setupFix() string {
	if d.cfg.NATSURL.IsSet() {
		return "runmetrics setup does it"
	}
	return "runmetrics run does it when it starts, for the server that it has in it"
}

// examineStream tells whether the stream is there.
func (d *doctor) examineStream(ctx context.Context, js jetstream.JetStream, name string) bool {
	subject := "stream " + name
	plan, err := planStream(ctx, js, name, subjectsOf(name, d.cfg.Streams), 0, defaultStreamBytes)
	switch {
	case err != nil:
		d.unanswered(subject, err, "is JetStream enabled there?")
		return false
	case plan.Created:
		d.fail("nats", subject, "is missing", d.setupFix())
		return false
	}
	for _, difference := range plan.Differs {
		d.warn("nats", subject, "is not as it must be: "+difference, d.setupFix())
	}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		d.fail("nats", subject, err.Error(), "")
		return false
	}
	info := stream.CachedInfo()
	d.room(subject, info)
	d.position(ctx, subject, name, info)
	return true
}

// room says for how long the stream can hold events that nobody reads.
func (d *doctor) room(subject string, info *jetstream.StreamInfo) {
	finding := fmt.Sprintf("%d messages, %d bytes", info.State.Msgs, info.State.Bytes)
	hours, bounded := consumer.OutageHours(info)
	if !bounded {
		d.ok("nats", subject, finding)
		return
	}
	finding += fmt.Sprintf("; the database may be away for %.0f hours before events are lost or refused", hours)
	if hours < leastOutageHours {
		d.warn("nats", subject, finding, "runmetrics setup --max-bytes gives the stream more room")
		return
	}
	d.ok("nats", subject, finding)
}

// position says how far the stream is read, as the database has it.
func (d *doctor) position(ctx context.Context, subject, name string, info *jetstream.StreamInfo) {
	if d.store == nil {
		return
	}
	p, err := d.store.Position(ctx, name)
	if err != nil {
		d.fail("database", subject, err.Error(), databaseFix(err))
		return
	}
	d.ok("database", subject, fmt.Sprintf("read through %d of %d: %d events applied, %d duplicates, %d dead letters, %d gone",
		p.Sequence, info.State.LastSeq, p.Applied, p.Duplicates, p.DeadLetters, p.Gone))
}

// unanswered notes a request to NATS that failed: for want of a right, which says what to do, or otherwise.
func (d *doctor) unanswered(subject string, err error, otherwise string) {
	if err = d.refusals.explain(err); errors.Is(err, sinks.ErrBlocked) {
		otherwise = "" // the refusal names the right to grant
	}
	d.fail("nats", subject, err.Error(), otherwise)
}

// examineConsumer looks whose the deployment's consumer is, and whether somebody reads. It tells whether the consumer is
// there and ours.
func (d *doctor) examineConsumer(ctx context.Context, js jetstream.JetStream, stream string) bool {
	name := consumer.ConsumerName(d.cfg.Deployment)
	subject := "consumer " + name
	c, err := js.Consumer(ctx, stream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		d.fail("nats", subject, "is missing on stream "+stream, d.setupFix())
		return false
	}
	if err != nil {
		d.unanswered(subject, err, "")
		return false
	}
	if d.database != nil {
		plan, err := planConsumer(ctx, js, stream, d.cfg.Deployment, *d.database, false)
		if err != nil {
			d.fail("nats", subject, err.Error(), "")
			return false
		}
		for _, difference := range plan.Differs {
			d.warn("nats", subject, "is not as it must be: "+difference, d.setupFix())
		}
	}
	if info := c.CachedInfo(); info.NumWaiting > 0 || pinned(info) {
		d.ok("nats", subject, "somebody reads stream "+stream)
		return true
	}
	d.warn("nats", subject, "nobody reads stream "+stream, "start runmetrics run with DEPLOYMENT="+d.cfg.Deployment)
	return true
}

// malformed is no JSON: the server answers that before it does anything. Without the brace it would mean one message, please.
const malformed = "{"

// rightTime is how long doctor waits for the answer to a request that needs a right.
const rightTime = 2 * time.Second

// examineRights tries what run needs beside what was asked before, by requests that the server answers with an error: it
// cannot read them.
func (d *doctor) examineRights(ctx context.Context, js jetstream.JetStream, stream string) {
	of := stream + "." + consumer.ConsumerName(d.cfg.Deployment)
	missing := false
	for _, subject := range []string{"DIRECT.GET." + stream, "CONSUMER.MSG.NEXT." + of, "CONSUMER.RESET." + of, "CONSUMER.UNPIN." + of} {
		limited, cancel := context.WithTimeout(ctx, rightTime)
		_, err := js.Conn().RequestWithContext(limited, jetstream.DefaultAPIPrefix+subject, []byte(malformed))
		cancel()
		if err != nil && !errors.Is(err, nats.ErrNoResponders) {
			d.unanswered("rights", fmt.Errorf("request %s: %w", subject, err), "")
			missing = true
		}
	}
	if !missing {
		d.ok("nats", "rights", "this user may read stream "+stream+" as runmetrics run does")
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
		fix = fmt.Sprintf("the NATS configuration must have mappings { %q: %q }; see runmetrics setup --streams %d", from, to, n)
	}
	found, err := probe(ctx, conn, len(share))
	if err != nil {
		d.warn("nats", subject, "it cannot be told which streams take events: "+d.refusals.explain(err).Error(),
			"may this user publish to "+events.SubjectPrefix+".*.*?")
		return
	}
	others, idle := found.others(d.cfg.Streams), found.idle(share)
	if found.none {
		d.fail("nats", subject, "no stream takes the events of some runs: who publishes them gets an error", fix)
	}
	if len(others) > 0 {
		d.warn("nats", subject, "events go to "+strings.Join(others, " ")+", not in STREAMS: does another service read them?", fix)
	}
	if len(idle) > 0 {
		d.warn("nats", subject, "no events go to "+strings.Join(idle, " "),
			fix+"; what gets none may leave STREAMS once it is read through")
	}
	if !found.none && len(others) == 0 && len(idle) == 0 {
		d.ok("nats", subject, "events go to "+strings.Join(share, " "))
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
