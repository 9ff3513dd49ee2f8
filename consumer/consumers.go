package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// DefaultPinnedTTL is how long a silent reader keeps the pin. A standby takes over within ten seconds: the broker
	// needs up to two more to see that the pin is over (10.0 to 11.2 s were measured with a pin of 10 s).
	DefaultPinnedTTL = 8 * time.Second
	// pinRepeat is after how long the broker delivers again what brought somebody the pin, which is never acknowledged:
	// so long a stream with something to read may have no reader after a pin ended.
	pinRepeat = time.Second
	// pinGroup is the one priority group of the pin's consumer.
	pinGroup = "reader"
	// fingerprintKey names the database in the metadata of the pin's consumer.
	fingerprintKey = "runmetrics-database"
)

// ErrForeignDatabase: the consumer of this deployment belongs to another database. Reading on would take that one's
// events away, or send this one's rows to its copies.
var ErrForeignDatabase = errors.New("the deployment belongs to another database")

// Consumers are the two durable consumers of a stream that all replicas of a deployment share. One would do, but then
// each message would carry the pin in a header and each delivery would be tracked: that costs broker and reader more than
// decoding and folding the event (see docs/performance.md).
type Consumers struct {
	// Pin gives one replica at a time the pin, and shows how far that one is. It delivers one message at a time, the next
	// one to be read, to whoever gets or has the pin, and repeats it.
	Pin jetstream.Consumer
	// Messages delivers the stream to the replica with the pin, which sets where from.
	Messages jetstream.Consumer
}

// ConsumerName is the durable consumer of a deployment that gives the pin.
func ConsumerName(deployment string) string { return "runmetrics-" + deployment }

// MessagesName is the durable consumer of a deployment that delivers its messages. No deployment's ConsumerName is like it.
func MessagesName(deployment string) string { return "runmetrics_messages-" + deployment }

// ConsumerConfig is the consumer that gives the pin.
func ConsumerConfig(deployment string, database sinks.Identity, pinnedTTL time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       ConsumerName(deployment),
		Description:   "runmetrics deployment " + deployment + ": who reads, and how far that is",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		// Nothing is acknowledged. Another policy would do as well, but a consumer's cannot be changed.
		AckPolicy:      jetstream.AckAllPolicy,
		AckWait:        pinRepeat,
		MaxDeliver:     -1,
		MaxAckPending:  1,
		PriorityPolicy: jetstream.PriorityPolicyPinned,
		PriorityGroups: []string{pinGroup},
		PinnedTTL:      pinnedTTL,
		Metadata:       map[string]string{fingerprintKey: database.String()},
	}
}

// MessagesConfig is the consumer that delivers messages. It tracks nothing: whoever has the pin sets it to where the
// store is.
func MessagesConfig(deployment string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       MessagesName(deployment),
		Description:   "runmetrics deployment " + deployment + ": messages for the one that reads",
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckNonePolicy,
		MaxDeliver:    -1,
	}
}

// EnsureConsumers returns the deployment's consumers, made where they are not there. A consumer that carries another
// database is ErrForeignDatabase with both names, unless adopt is set: then it is taken over.
func EnsureConsumers(ctx context.Context, js jetstream.JetStream, stream, deployment string, database sinks.Identity,
	pinnedTTL time.Duration, adopt bool) (both Consumers, err error) {
	want := ConsumerConfig(deployment, database, pinnedTTL)
	if both.Pin, err = ensureConsumer(ctx, js, stream, want); err != nil {
		return both, err
	}
	have := both.Pin.CachedInfo().Config
	foreign := CheckOwner(stream, have, want)
	if foreign != nil && !adopt {
		return both, foreign
	}
	// One that tracks many messages is of a version that read by it.
	if foreign != nil || have.MaxAckPending != want.MaxAckPending || have.AckWait != want.AckWait {
		if both.Pin, err = js.UpdateConsumer(ctx, stream, want); err != nil {
			return both, fmt.Errorf("update consumer %s of stream %s: %w", want.Durable, stream, err)
		}
	}
	both.Messages, err = ensureConsumer(ctx, js, stream, MessagesConfig(deployment))
	return both, err
}

// CheckOwner compares the database that a consumer of a stream carries with the one that it must carry: nil, or
// ErrForeignDatabase with both names.
func CheckOwner(stream string, have, want jetstream.ConsumerConfig) error {
	owner, database := have.Metadata[fingerprintKey], want.Metadata[fingerprintKey]
	if owner == database {
		return nil
	}
	return fmt.Errorf("%w: consumer %s of stream %s belongs to %s, this process uses %s; "+
		"set DEPLOYMENT to another name, or run `runmetrics setup --adopt` if the database was moved",
		ErrForeignDatabase, have.Durable, stream, owner, database)
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		// Two replicas may get here at once: creating the same consumer twice is no error.
		c, err = js.CreateConsumer(ctx, stream, want)
	}
	if err != nil {
		return nil, fmt.Errorf("open consumer %s of stream %s: %w", want.Durable, stream, err)
	}
	return c, nil
}
