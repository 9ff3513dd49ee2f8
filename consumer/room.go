package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rateTime is the least time between a stream's first and last message over which its growth says anything.
const rateTime = time.Minute

// OutageHours is how many hours the store may stay away before an event is lost or refused: messages expire at the
// stream's maximum age, and a full stream refuses new ones. It grows on as it did between its first and its last message,
// until the first expires; from then on as much leaves it as comes. It is false where neither bound applies.
func OutageHours(info *jetstream.StreamInfo) (float64, bool) {
	hours, bounded := info.Config.MaxAge.Hours(), info.Config.MaxAge > 0
	span := info.State.LastTime.Sub(info.State.FirstTime)
	if info.Config.MaxBytes <= 0 || span < rateTime {
		return hours, bounded
	}
	left := max(0, info.Config.MaxBytes-int64(info.State.Bytes))
	full := float64(left) / float64(info.State.Bytes) * span.Hours()
	if bounded && left > 0 && full > hours-span.Hours() {
		return hours, true
	}
	return full, true
}

// glanceTime is how long the broker may take to say how the stream is while the store is away.
const glanceTime = 2 * time.Second

// glance looks at the stream after a session failed: what comes while the store is away, and for how long it can still
// wait there. It asks the broker only, and is silent where that does not answer: the next session says so.
func (r *Reader) glance(ctx context.Context) {
	if !r.conn.IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, glanceTime)
	defer cancel()
	stream, err := r.js.Stream(ctx, r.stream)
	if err != nil {
		return
	}
	info, known := stream.CachedInfo(), r.status.snapshot()
	created := r.timelines.created
	if len(created) > 0 && !created[len(created)-1].Equal(info.Created) || info.State.LastSeq < known.LastSequence {
		return // another timeline, of which the next session takes note
	}
	hours, bounded := OutageHours(info)
	if info.Config.MaxAge > 0 && info.State.LastSeq > known.Reached {
		first, err := stream.GetMsg(ctx, known.Reached+1, jetstream.WithGetMsgSubject(">"))
		if err != nil {
			return
		}
		hours = max(0, min(hours, (info.Config.MaxAge-r.now().Sub(first.Time)).Hours()))
	}
	r.status.room(info.State.LastSeq, hours, bounded)
}
