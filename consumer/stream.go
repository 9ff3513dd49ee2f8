package consumer

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

const (
	streamMaxAge     = 30 * 24 * time.Hour
	streamMaxMessage = 1 << 20
	duplicateWindow  = 2 * time.Minute
)

// StreamConfig is how a stream of run events is kept: nothing falls out of it unseen within 30 days, and when it is full
// the publisher gets the error. maxBytes is its size on disk.
func StreamConfig(name string, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        name,
		Description: "runmetrics: agent run events, " + events.SubjectPrefix + ".<campaign>.<run>",
		Subjects:    []string{events.SubjectPrefix + ".>"},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxAge:      streamMaxAge,
		MaxBytes:    maxBytes,
		MaxMsgSize:  streamMaxMessage,
		Storage:     jetstream.FileStorage,
		Duplicates:  duplicateWindow,
		DenyDelete:  true,
		AllowDirect: true,
		MaxMsgs:     -1,
	}
}
