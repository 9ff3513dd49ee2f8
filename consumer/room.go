package consumer

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rateTime is the least time between a stream's first and last message over which its growth says anything.
const rateTime = time.Minute

// OutageHours is how many hours the store may stay away before an event is lost or refused: messages expire at the
// stream's maximum age, and a full stream refuses new ones. It grows on as it did between its first and its last message.
// It is false where neither bound applies.
func OutageHours(info *jetstream.StreamInfo) (float64, bool) {
	hours, bounded := info.Config.MaxAge.Hours(), info.Config.MaxAge > 0
	span := info.State.LastTime.Sub(info.State.FirstTime)
	if info.Config.MaxBytes <= 0 || span < rateTime {
		return hours, bounded
	}
	left := max(0, info.Config.MaxBytes-int64(info.State.Bytes))
	full := float64(left) / float64(info.State.Bytes) * span.Hours()
	if bounded {
		return min(hours, full), true
	}
	return full, true
}
