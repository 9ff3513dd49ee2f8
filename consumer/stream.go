package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// DefaultPinnedTTL is how long a silent reader keeps the pin. A standby takes over within ten seconds: the broker
	// needs up to two more to see that the pin is over (10.0 to 11.2 s were measured with a pin of 10 s).
	DefaultPinnedTTL = 8 * time.Second
	// maxAckPending is the flow control: that many messages may be under way. It bounds the throughput by the time that a
	// commit takes, and the memory: about 800 bytes for each message. With commits of 60 ms, 5,000 were measured to cap
	// reading at 41,700/s and 65,536 at 235,500/s; this caps it well above what the pipeline does, for half the memory.
	maxAckPending = 32_768
	// ackWait is long because nothing rests on redelivery: a reader that starts rewinds the consumer by itself.
	ackWait = time.Hour
	// pinGroup is the one priority group of the consumer.
	pinGroup = "reader"
	// fingerprintKey names the database in the consumer's metadata.
	fingerprintKey = "runmetrics-database"

	streamMaxAge     = 30 * 24 * time.Hour
	streamMaxMessage = 1 << 20
	duplicateWindow  = 2 * time.Minute
)

// ErrForeignDatabase: the consumer of this deployment belongs to another database. Reading on would take that one's
// events away, or send this one's rows to its copies.
var ErrForeignDatabase = errors.New("the deployment belongs to another database")

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

// ConsumerName is the durable consumer of a deployment.
func ConsumerName(deployment string) string { return "runmetrics-" + deployment }

// ConsumerConfig is the durable consumer that all replicas of a deployment share. One of them at a time is pinned.
func ConsumerConfig(deployment string, database sinks.Identity, pinnedTTL time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:        ConsumerName(deployment),
		Description:    "runmetrics deployment " + deployment,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckAllPolicy,
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxAckPending,
		PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{pinGroup},
		PinnedTTL:      pinnedTTL,
		Metadata:       map[string]string{fingerprintKey: database.String()},
	}
}

// EnsureConsumer returns the deployment's consumer, made where there is none. A consumer that carries another database
// is ErrForeignDatabase with both names, unless adopt is set: then it is taken over.
func EnsureConsumer(ctx context.Context, js jetstream.JetStream, stream, deployment string, database sinks.Identity, pinnedTTL time.Duration, adopt bool) (jetstream.Consumer, error) {
	want := ConsumerConfig(deployment, database, pinnedTTL)
	c, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		// Two replicas may get here at once: creating the same consumer twice is no error.
		c, err = js.CreateConsumer(ctx, stream, want)
	}
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of stream %s: %w", want.Durable, stream, err)
	}
	have := c.CachedInfo().Config
	if owner := have.Metadata[fingerprintKey]; owner != database.String() {
		if !adopt {
			return nil, fmt.Errorf("%w: consumer %s of stream %s belongs to %s, this process uses %s; "+
				"set DEPLOYMENT to another name, or run `runmetrics setup --adopt` if the database was moved",
				ErrForeignDatabase, want.Durable, stream, owner, database)
		}
		if c, err = js.UpdateConsumer(ctx, stream, want); err != nil {
			return nil, fmt.Errorf("adopt consumer %s: %w", want.Durable, err)
		}
	}
	return c, nil
}
