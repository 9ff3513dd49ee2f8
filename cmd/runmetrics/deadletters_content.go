package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/sinks"
)

// content is all that can be had of the message that became a dead letter.
type content struct {
	subject string
	header  nats.Header // nil where the stream no longer holds the message
	data    []byte
	stream  bool // the stream holds it; else data is what the store kept
}

// whole tells whether data is all of the payload, as far as its length tells.
func (c *content) whole() bool { return c.stream || len(c.data) < sinks.MaxDeadPayload }

// askedAtOnce is how many messages the server is asked for at the same time.
const askedAtOnce = 16

// originals reads messages from streams, as long as these hold them.
type originals struct {
	js       jetstream.JetStream // nil where there is no connection: then it is all from the store
	refusals *refusals

	mu      sync.Mutex
	streams map[string]jetstream.Stream // nil of one that is not there
}

// contents reads those of a page, in its order.
func (o *originals) contents(ctx context.Context, page []sinks.Letter) ([]content, error) {
	list := make([]content, len(page))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i := range page {
		group.Go(func() (err error) {
			list[i], err = o.content(ctx, &page[i])
			return err
		})
	}
	return list, group.Wait()
}

func (o *originals) content(ctx context.Context, l *sinks.Letter) (content, error) {
	stored := content{subject: l.Subject, data: l.Payload}
	if o.js == nil {
		return stored, nil
	}
	stream, err := o.stream(ctx, l.Stream)
	if err != nil || stream == nil {
		return stored, err
	}
	m, err := stream.GetMsg(ctx, l.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return stored, nil
	case err != nil:
		return stored, fmt.Errorf("read sequence %d of stream %s: %w", l.Sequence, printable(l.Stream), o.refusals.explain(err))
	case !m.Time.Truncate(time.Microsecond).Equal(l.Time):
		// The stream was made anew, or lost its end and gave the sequence to another message: no two have one moment.
		return stored, nil
	}
	return content{subject: m.Subject, header: withoutAnswer(m.Header), data: m.Data, stream: true}, nil
}

// stream finds a stream once.
func (o *originals) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stream, known := o.streams[name]; known {
		return stream, nil
	}
	stream, err := o.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrInvalidStreamName) {
		stream, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for stream %s: %w", printable(name), o.refusals.explain(err))
	}
	if o.streams == nil {
		o.streams = make(map[string]jetstream.Stream)
	}
	o.streams[name] = stream
	return stream, nil
}

// answerHeaders are what the server adds to a message that it is asked for.
var answerHeaders = []string{jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader,
	jetstream.TimeStampHeaer, jetstream.LastSequenceHeader}

func withoutAnswer(header nats.Header) nats.Header {
	own := nats.Header(http.Header(header).Clone())
	if own == nil {
		own = nats.Header{}
	}
	for _, name := range answerHeaders {
		own.Del(name)
	}
	return own
}

// natsPrefix begins the headers that tell the server what to do with a message.
const natsPrefix = "Nats-"

// forPublishing leaves out what told the server how to take the message the first time: its id, what it expected of the
// stream, how long it was to live.
func forPublishing(header nats.Header) nats.Header {
	own := nats.Header(http.Header(header).Clone())
	for name := range own {
		if len(name) >= len(natsPrefix) && strings.EqualFold(name[:len(natsPrefix)], natsPrefix) {
			delete(own, name)
		}
	}
	if own == nil {
		own = nats.Header{}
	}
	return own
}
