package consumer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// maxFlips is how often within flipTime the database may turn out to hold another broker's timeline of the stream
	// before two brokers are found to share it.
	maxFlips = 2
	flipTime = time.Hour
)

// timelines is what a reader knows of its stream's timelines. A stream has another one after it was made anew, and after
// its broker forgot messages at its end: their sequences are given out again.
type timelines struct {
	created []time.Time // when the streams were made that the broker has had, the present one last
	epoch   int64       // the newest one that is known to be of this broker, stored or not
	found   finding     // what was last said
	flips   []time.Time // when the database held a timeline that is not of this broker
	missed  uint64      // the last sequence of this timeline that is known to have left the stream unread
}

// finding is what a look at position and stream may find again, until a message is committed.
type finding struct {
	how     fit
	epoch   int64 // the stored one
	created int64 // nanoseconds
}

// noteFit says what was found of the stream, where that is not as expected. Timelines that take turns are two brokers.
func (r *Reader) noteFit(how fit, p sinks.Position, info *jetstream.StreamInfo) error {
	t := &r.timelines
	lost := r.lostUnread(how, p, info)
	if t.flipped(how, p, info, r.now()) {
		r.log.Error("the database holds a timeline of the stream that is not of this broker", "stream", r.stream,
			"epoch", p.Epoch, "stored_created", p.Created, "created", info.Created)
	}
	if how == fits {
		t.found, t.missed = finding{}, min(t.missed, info.State.LastSeq)
		r.noteLost("", lost)
		r.noteGone(p.Sequence, info.State.FirstSeq)
	} else if again := (finding{how, p.Epoch, info.Created.UnixNano()}); again != t.found || lost > 0 {
		t.found = again
		r.noteTimeline(how, lost, p, info)
	}
	if len(t.flips) > maxFlips {
		return fmt.Errorf("%w: the database was found to hold another broker's timeline of stream %s %d times within an hour: "+
			"two brokers share one database", sinks.ErrBlocked, r.stream, len(t.flips))
	}
	return nil
}

// noteTimeline says that the stream is read from its first message.
func (r *Reader) noteTimeline(how fit, lost uint64, p sinks.Position, info *jetstream.StreamInfo) {
	r.timelines.missed = 0
	if how != recreated {
		// What left the stream before its first message was read, or belonged to nobody.
		r.timelines.missed = max(info.State.FirstSeq, 1) - 1
	}
	if how == unread {
		return
	}
	r.log.Warn("the stream does not fit the stored position", "stream", r.stream, "found", how.String(),
		"position", p.Sequence, "last", info.State.LastSeq, "created", info.Created, "stored_created", p.Created)
	note := fmt.Sprintf("%s; reading it from its first message, committed runs are kept", how)
	r.note(note)
	r.noteLost(note+"; ", lost)
}

// lostUnread is how many messages behind the position were in the stream when it was last asked, and are not any more.
// They were stored and acknowledged to their publishers.
func (r *Reader) lostUnread(how fit, p sinks.Position, info *jetstream.StreamInfo) uint64 {
	t := &r.timelines
	if len(t.created) == 0 || p.Epoch == 0 {
		return 0
	}
	// Where the stream fits, its own end tells what is left; else nothing behind the position is.
	was, left := t.created[len(t.created)-1], p.Sequence
	if how == fits {
		left = info.State.LastSeq
	}
	known := r.status.snapshot().LastSequence
	if !was.Equal(p.Created) || known <= left {
		return 0
	}
	return known - left
}

// noteLost says that the stream lost messages at its end before they were read.
func (r *Reader) noteLost(before string, lost uint64) {
	if lost == 0 {
		return
	}
	r.log.Error("the stream lost its last messages before they were read", "stream", r.stream, "messages", lost)
	r.note(fmt.Sprintf("%sat least %d messages at its end were lost before they were read", before, lost))
}

// noteGone says that what lies between the last accepted sequence and the next one has left the stream: it expired, or
// somebody purged it. Each gap is said once; the numbers of a gap follow with the commit that steps over it.
func (r *Reader) noteGone(last, next uint64) {
	t := &r.timelines
	if next <= last+1 || next <= t.missed+1 {
		return
	}
	from := max(last, t.missed) + 1
	t.missed = next - 1
	n := t.missed - from + 1
	r.log.Error("messages left the stream before they were read", "stream", r.stream, "messages", n, "from", from,
		"through", t.missed)
	r.note(fmt.Sprintf("%d messages left it before they were read, sequences %d to %d", n, from, t.missed))
}

// notePutBack says so if the database is behind what a reader marked as committed, as after a restore. The mark may be on
// messages that have left the stream since.
func (s *session) notePutBack(ctx context.Context, marked uint64) error {
	first := s.stream.CachedInfo().State.FirstSeq
	from := max(first, s.position.Sequence+1)
	if s.position.Epoch != s.stored.Epoch || from > marked {
		return nil
	}
	if err := s.unmoved(ctx); err != nil {
		return err // another reader committed since the session began
	}
	r := s.reader
	r.log.Warn("the database is at an earlier state than before; reading again what it lacks", "stream", r.stream,
		"from", from, "through", marked)
	if first <= s.position.Sequence+1 { // else it is more important what it will lack for ever
		r.note(fmt.Sprintf("the database is at an earlier state than before; reading sequences %d to %d again", from, marked))
	}
	return nil
}

// note shows what was found until something else is.
func (r *Reader) note(found string) {
	r.status.update(func(s *Status) { s.Note = fmt.Sprintf("stream %s: %s", r.stream, found) })
}

// flipped tells whether the database holds a timeline that is not of this broker and was written since the last look:
// one that this reader never heard of, or its own after the broker brought back a stream that had been another one since.
// A stream that somebody makes anew is none of these, however often, nor is a database that was put back. It also takes
// note of the stream that the broker has now.
func (t *timelines) flipped(how fit, p sinks.Position, info *jetstream.StreamInfo, now time.Time) bool {
	known := slices.ContainsFunc(t.created, info.Created.Equal)
	strange := t.epoch > 0 && (p.Epoch > t.epoch || p.Epoch == t.epoch && how == recreated && known)
	t.epoch = p.Epoch
	if how != fits {
		t.epoch++
	}
	t.created = append(slices.DeleteFunc(t.created, info.Created.Equal), info.Created)
	for len(t.flips) > 0 && now.Sub(t.flips[0]) > flipTime {
		t.flips = t.flips[1:]
	}
	if !strange || how == fits || how == unread {
		return false
	}
	t.flips = append(t.flips, now)
	return true
}
