package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// leastOutageHours is how long a database may be away that somebody has to mend in the morning.
const leastOutageHours = 24

// nearlyFull is the part of its room that a stream may use before somebody should give it more.
const nearlyFull = 0.9

// examineStreams looks at each of STREAMS, and tells whether all are there.
func (d *doctor) examineStreams(ctx context.Context, js jetstream.JetStream) bool {
	missing := false
	for _, name := range inOrder(d.cfg.Streams) {
		limited, cancel := context.WithTimeout(ctx, answerTime)
		there := d.examineStream(limited, js, name)
		if there && d.examineConsumers(limited, js, name) {
			d.examineRights(ctx, js, name)
		}
		missing = missing || !there
		cancel()
	}
	return !missing
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
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		d.noJetStream()
		return false
	case err != nil:
		d.unanswered(subject, err, "")
		return false
	case plan.Created:
		d.fail(areaNATS, subject, "is missing", d.setupFix())
		return false
	}
	before := time.Now()
	stream, err := js.Stream(ctx, name)
	after := time.Now()
	if err != nil {
		d.fail(areaNATS, subject, err.Error(), "")
		return false
	}
	info := stream.CachedInfo()
	if !info.TimeStamp.IsZero() && len(d.cfg.Streams) > 0 && name == d.cfg.Streams[0] {
		d.readClock("the NATS server", before, info.TimeStamp, after)
	}
	d.examineSettings(subject, info, plan.Differs)
	d.examineCopies(subject, info)
	d.examineFilling(subject, info)
	d.position(ctx, subject, name, info)
	return true
}

// examineFilling says how full the stream is, and for how long it can hold events that nobody reads.
func (d *doctor) examineFilling(subject string, info *jetstream.StreamInfo) {
	used, most := int64(info.State.Bytes), info.Config.MaxBytes
	finding := fmt.Sprintf("%d messages, %d bytes", info.State.Msgs, used)
	more := "runmetrics setup --max-bytes gives the stream more room"
	if most > 0 {
		finding += " of " + bytesText(most)
		more = fmt.Sprintf("`runmetrics setup --max-bytes %dMB` gives the stream twice the room", max(1, 2*most/1_000_000))
	}
	hours, bounded := consumer.OutageHours(info)
	switch {
	case most > 0 && most-used < largestEvent, info.Config.MaxMsgs > 0 && int64(info.State.Msgs) >= info.Config.MaxMsgs:
		d.fail(areaNATS, subject, finding+": it is full, publishers are refused", more)
		return
	case most > 0 && float64(used) > nearlyFull*float64(most):
		d.warn(areaNATS, subject, finding+": it is nearly full, and then publishers are refused", more)
		return
	case !bounded:
		d.ok(areaNATS, subject, finding)
		return
	}
	finding += fmt.Sprintf("; the database may be away for %.0f hours before events are lost or refused", hours)
	if hours < leastOutageHours {
		d.warn(areaNATS, subject, finding, more)
		return
	}
	d.ok(areaNATS, subject, finding)
	d.examineGrowth(subject, info)
}

// examineGrowth compares what the stream of the embedded server may still grow with what its disk has free.
func (d *doctor) examineGrowth(subject string, info *jetstream.StreamInfo) {
	free, _, err := diskRoom(d.cfg.DataDir)
	if d.cfg.NATSURL.IsSet() || err != nil || info.Config.MaxBytes <= 0 {
		return
	}
	if grows := info.Config.MaxBytes - int64(info.State.Bytes); grows > free {
		d.warn(areaDisk, subject, fmt.Sprintf("it may still grow by %s, and the disk of DATA_DIR has %s free",
			bytesText(grows), bytesText(free)),
			fmt.Sprintf("make room there, or `runmetrics setup --max-bytes %dMB`",
				max(1, (int64(info.State.Bytes)+free/2)/1_000_000)))
	}
}

// position says how far the stream is read, as the database has it.
func (d *doctor) position(ctx context.Context, subject, name string, info *jetstream.StreamInfo) {
	if d.store == nil {
		return
	}
	p, err := d.store.Position(ctx, name)
	if err != nil {
		d.fail(areaDatabase, subject, err.Error(), databaseFix(err))
		return
	}
	d.ok(areaDatabase, subject, fmt.Sprintf("read through %d of %d: %d events applied, %d duplicates, %d dead "+
		"letters, %d gone",
		p.Sequence, info.State.LastSeq, p.Applied, p.Duplicates, p.DeadLetters, p.Gone))
}
