package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
)

// defaultStreamBytes is the size of a stream that nobody asked another one for.
const defaultStreamBytes = 10_000_000_000

// defaultMaxBytes leaves half of the free disk alone where the stream lies on this machine, in dir.
func defaultMaxBytes(dir string) int64 {
	var disk syscall.Statfs_t
	if syscall.Statfs(dir, &disk) != nil {
		return defaultStreamBytes
	}
	return min(defaultStreamBytes, int64(disk.Bavail)*int64(disk.Bsize)/2)
}

// change is what has to be done to one thing, and what was.
type change struct {
	Created bool
	Differs []string // "max age: 24h0m0s → 720h0m0s"
	apply   func(ctx context.Context) error
}

func (c *change) needed() bool { return c.Created || len(c.Differs) > 0 }

// planStream compares a stream with what it must be. Settings that the design leaves open, such as replicas, placement
// and compression, stay as they are. maxBytes 0 keeps the size of a stream that has one, and is absent for others.
func planStream(ctx context.Context, js jetstream.JetStream, name string, subjects []string, maxBytes, absent int64) (change, error) {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		want := consumer.StreamConfig(name, cmp.Or(maxBytes, absent))
		want.Subjects = subjects
		return change{Created: true, apply: func(ctx context.Context) error {
			return explainOverlap(makeStream(ctx, js, want))
		}}, nil
	}
	if err != nil {
		return change{}, fmt.Errorf("look at stream %s: %w", name, err)
	}
	have := stream.CachedInfo().Config
	want := consumer.StreamConfig(name, cmp.Or(maxBytes, max(have.MaxBytes, 0), absent))
	want.Subjects = subjects
	next, differs := mendStream(have, want)
	return change{Differs: differs, apply: func(ctx context.Context) error {
		_, err := js.UpdateStream(ctx, next)
		return explainOverlap(err)
	}}, nil
}

const (
	// notMade is JetStream's code for a stream whose files could not be made.
	notMade    jetstream.ErrorCode = 10049
	makeTries                      = 5
	againAfter                     = 200 * time.Millisecond
)

// makeStream makes a stream. A server that still removes the directory of its last one was seen to fail at it, so it is
// asked again.
func makeStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	for try := 1; ; try++ {
		_, err := js.CreateStream(ctx, want)
		var answer *jetstream.APIError
		if try == makeTries || !errors.As(err, &answer) || answer.ErrorCode != notMade {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(againAfter):
		}
	}
}

// subjectsOverlap is JetStream's code for subjects that another stream has.
const subjectsOverlap jetstream.ErrorCode = 10065

// explainOverlap adds what to do about subjects that another stream has.
func explainOverlap(err error) error {
	var answer *jetstream.APIError
	if errors.As(err, &answer) && answer.ErrorCode == subjectsOverlap {
		return fmt.Errorf("%w; name in STREAMS all that share the events, or let `runmetrics setup --streams` find them", err)
	}
	return err
}

// mendStream takes over from want what our guarantees rest on.
func mendStream(have, want jetstream.StreamConfig) (jetstream.StreamConfig, []string) {
	var d differences
	next := have
	d.take("subjects", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "))
	next.Subjects = want.Subjects
	differ(&d, "retention", &next.Retention, want.Retention)
	differ(&d, "discard", &next.Discard, want.Discard)
	differ(&d, "max age", &next.MaxAge, want.MaxAge)
	differ(&d, "max bytes", &next.MaxBytes, want.MaxBytes)
	differ(&d, "max messages", &next.MaxMsgs, want.MaxMsgs)
	differ(&d, "max message size", &next.MaxMsgSize, want.MaxMsgSize)
	differ(&d, "storage", &next.Storage, want.Storage)
	differ(&d, "duplicates window", &next.Duplicates, want.Duplicates)
	differ(&d, "deny delete", &next.DenyDelete, want.DenyDelete)
	differ(&d, "direct get", &next.AllowDirect, want.AllowDirect)
	return next, d.list
}

// differences are settings that are not as they must be.
type differences struct {
	list []string
}

func (d *differences) take(name, have, want string) {
	if have != want {
		d.list = append(d.list, fmt.Sprintf("%s: %s → %s", name, have, want))
	}
}

// differ sets a value to what is wanted, and notes if that changes it.
func differ[T comparable](d *differences, name string, value *T, want T) {
	d.take(name, fmt.Sprint(*value), fmt.Sprint(want))
	*value = want
}

// planConsumer compares a consumer of the deployment with what it must be. One that belongs to another database is an
// error that names both, unless adopt is set.
func planConsumer(
	ctx context.Context, js jetstream.JetStream, stream string, want jetstream.ConsumerConfig, adopt bool,
) (change, error) {
	c, err := js.Consumer(ctx, stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return change{Created: true, apply: func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, stream, want)
			return err
		}}, nil
	}
	if err != nil {
		return change{}, fmt.Errorf("look at consumer %s of stream %s: %w", want.Durable, stream, err)
	}
	have := c.CachedInfo().Config
	if err := consumer.CheckOwner(stream, have, want); err != nil && !adopt {
		return change{}, err
	}
	next, differs := mendConsumer(have, want)
	return change{Differs: differs, apply: func(ctx context.Context) error {
		_, err := js.UpdateConsumer(ctx, stream, next)
		return err
	}}, nil
}

// mendConsumer takes over from want what our guarantees rest on.
func mendConsumer(have, want jetstream.ConsumerConfig) (jetstream.ConsumerConfig, []string) {
	var d differences
	next := have
	next.Metadata = maps.Clone(have.Metadata)
	if next.Metadata == nil {
		next.Metadata = make(map[string]string)
	}
	for key, value := range want.Metadata { // the server keeps keys of its own there
		d.take(key, have.Metadata[key], value)
		next.Metadata[key] = value
	}
	differ(&d, "ack policy", &next.AckPolicy, want.AckPolicy)
	differ(&d, "ack wait", &next.AckWait, want.AckWait)
	differ(&d, "max deliver", &next.MaxDeliver, want.MaxDeliver)
	differ(&d, "max ack pending", &next.MaxAckPending, want.MaxAckPending)
	differ(&d, "pin", &next.PinnedTTL, want.PinnedTTL)
	return next, d.list
}
