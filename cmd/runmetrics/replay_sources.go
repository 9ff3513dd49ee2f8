package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer/replay"
)

// openSources opens files and streams: files go first, because an archive is older than its stream.
func (r *comparing) openSources(ctx context.Context) error {
	var bytes int64
	for _, path := range r.files {
		r.addSource(replay.OpenFile(path, r.app.stdin, r.filter()), replay.History{})
		bytes += fileBytes(path)
	}
	var chosen *replay.Chosen
	if r.ranged() {
		chosen = replay.NewChosen()
		r.work.Chosen = chosen
	}
	if r.Streams != nil {
		js, err := r.js()
		if err != nil {
			return err
		}
		for _, name := range r.Streams {
			n, err := r.openStream(ctx, js, name, chosen)
			if err != nil {
				return err
			}
			bytes += n
		}
	}
	if r.work.Place.Parts == 0 {
		r.work.Place.Parts = replay.PartsFor(bytes)
	}
	return nil
}

func (r *comparing) addSource(s replay.Source, h replay.History) {
	r.work.Sources = append(r.work.Sources, s)
	r.work.Histories = append(r.work.Histories, h)
}

// unknownBytes is how much stdin is taken to hold.
const unknownBytes = 2 << 30

// fileBytes is about how many bytes of events a file holds.
func fileBytes(path string) int64 {
	info, err := os.Stat(path)
	switch {
	case path == "-" || err != nil: // reading it will say why
		return unknownBytes
	case strings.HasSuffix(path, ".gz"):
		return 10 * info.Size()
	}
	return info.Size()
}

// openStream opens a stream as far as the service has read it: what lies behind that is the service's to commit. A store that
// never read this stream gets all of it. It returns about how many bytes that is.
func (r *comparing) openStream(ctx context.Context, js jetstream.JetStream, name string, chosen *replay.Chosen) (int64, error) {
	position, err := r.store.Position(ctx, name)
	if err != nil {
		return 0, err
	}
	config := replay.StreamConfig{Stream: name, Filter: r.filter(), Rate: r.rate}
	whole, err := replay.OpenStream(ctx, js, config)
	if err != nil {
		return 0, err
	}
	ofTimeline := position.Epoch > 0 && position.Created.Equal(whole.Created)
	if ofTimeline && position.Sequence < whole.Last {
		r.unread += whole.Last - position.Sequence
	}
	if whole.Deleted > 0 {
		r.notes = append(r.notes, fmt.Sprintf("%d messages were deleted within stream %s: runs that lack them look complete",
			whole.Deleted, name))
	}
	if ofTimeline && position.Sequence == 0 {
		return 0, nil
	}
	if ofTimeline {
		config.ToSequence = position.Sequence
	}
	if chosen != nil {
		choosing := config
		choosing.Range = r.messages()
		if ofTimeline && (choosing.ToSequence == 0 || choosing.ToSequence > position.Sequence) {
			choosing.ToSequence = position.Sequence
		}
		source, err := replay.OpenStream(ctx, js, choosing)
		if err != nil {
			return 0, err
		}
		r.work.Select = append(r.work.Select, source)
		r.expect(source)
		config.Keep = chosen.Subject
	}
	source, err := replay.OpenStream(ctx, js, config)
	if err != nil {
		return 0, err
	}
	r.addSource(source, replay.History{First: source.First, FirstTime: source.FirstTime,
		Recreated: position.Epoch > 1 || position.Epoch == 1 && !ofTimeline})
	r.expect(source)
	return int64(source.Bytes), nil
}

// expect adds the messages of a source to what is to be read.
func (r *comparing) expect(s *replay.Stream) {
	if from, to := s.Span(); to >= from {
		r.all += int64(to - from + 1)
	}
}

// positions says where the streams are read.
func (r *comparing) positions() string {
	var b strings.Builder
	for _, source := range append(r.work.Select[:len(r.work.Select):len(r.work.Select)], r.work.Sources...) {
		stream, ok := source.(*replay.Stream)
		if !ok {
			continue
		}
		from, to := stream.Span()
		if at := stream.Position(); at >= from && at < to {
			fmt.Fprintf(&b, " %s at %d of %d", stream.Name(), at, to)
		}
	}
	return b.String()
}
