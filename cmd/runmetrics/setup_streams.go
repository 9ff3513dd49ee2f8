package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
)

// streams prepares all streams, each with the deployment's consumer.
func (s *settingUp) streams(ctx context.Context) {
	all := strings.Join(s.cfg.Streams, " ")
	conn, err := connectNATS(s.cfg, connection{URL: s.cfg.natsURL(), Role: "setup", Refusals: &s.refusals}, s.log)
	if embeddedIsDown(s.cfg, err) {
		s.line("stream", all,
			"skipped: runmetrics run makes it in the NATS server that it has in it; set NATS_URL for another server")
		return
	}
	if err != nil {
		s.report("stream", all, change{}, err)
		return
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		s.report("stream", all, change{}, err)
		return
	}
	names, err := s.wanted(ctx, js)
	if err != nil {
		s.report("stream", all, change{}, err)
		return
	}
	imagined := false
	for _, name := range inOrder(names) {
		plan, err := planStream(ctx, js, name, subjectsOf(name, names), int64(s.maxBytes), s.share(names))
		if s.carryOut(ctx, "stream", name, plan, err) {
			s.consumers(ctx, js, name, plan.Created && s.dryRun)
		}
		imagined = imagined || s.dryRun && plan.Created
	}
	if s.partitions > 0 {
		s.spread(ctx, conn, js, names, imagined)
	}
}

// wanted are the streams to prepare: those of STREAMS or, with --streams, the partitions and behind them what there is of
// others that may hold events.
func (s *settingUp) wanted(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	if s.partitions == 0 {
		return s.cfg.Streams, nil
	}
	base := baseOf(s.cfg.Streams)
	names := partitionNames(base, s.partitions)
	for _, name := range append([]string{base}, s.cfg.Streams...) {
		there, err := hasStream(ctx, js, name)
		if err != nil {
			return nil, err
		}
		if there && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := s.partitions; ; i++ { // there were more partitions once
		name := partitionName(base, i)
		there, err := hasStream(ctx, js, name)
		if err != nil || !there {
			return names, err
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
}

func hasStream(ctx context.Context, js jetstream.JetStream, name string) (bool, error) {
	_, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return true, nil
}

// share is the size of a new stream: partitions have together what one stream would have.
func (s *settingUp) share(names []string) int64 {
	whole := int64(defaultStreamBytes)
	if !s.cfg.NATSURL.IsSet() {
		whole = defaultMaxBytes(s.cfg.DataDir)
	}
	return whole / int64(max(1, countPartitions(names)))
}

// consumers prepares the deployment's consumers on a stream, which in a dry run may not be there.
func (s *settingUp) consumers(ctx context.Context, js jetstream.JetStream, stream string, imagined bool) {
	for _, want := range []jetstream.ConsumerConfig{
		consumer.ConsumerConfig(s.cfg.Deployment, s.database, consumer.DefaultPinnedTTL), consumer.MessagesConfig(s.cfg.Deployment),
	} {
		who := stream + "/" + want.Durable
		switch {
		case s.unknown != "" && !s.dryRun:
			s.report("consumer", who, change{}, errors.New(s.unknown))
		case s.unknown != "":
			s.line("consumer", who, s.unknown)
		case imagined:
			s.report("consumer", who, change{Created: true}, nil)
		default:
			plan, err := planConsumer(ctx, js, stream, want, s.adopt)
			if !s.carryOut(ctx, "consumer", who, plan, err) {
				return // where the first one is another database's, so is the second
			}
		}
	}
}

// spread says whether the server spreads the events over the partitions, which are the first of names, and how to make it
// do so. The others are left out of STREAMS as soon as nothing is lost by that. Streams that are imagined cannot say what
// they take.
func (s *settingUp) spread(ctx context.Context, conn *nats.Conn, js jetstream.JetStream, names []string, imagined bool) {
	from, to := mapping(s.partitions)
	read, older := slices.Clone(names[:s.partitions]), names[s.partitions:]
	mapped, verdict := false, "is not in force yet"
	if !imagined {
		mapped, verdict = s.inForce(ctx, conn, read)
	}
	s.line("mapping", from, verdict)
	var notes []string
	for _, name := range older {
		reason, err := s.whyRead(ctx, js, name, mapped)
		if err != nil {
			reason = "it cannot be told whether the database has all of it: " + err.Error()
		}
		if reason != "" {
			read = append(read, name)
			notes = append(notes, name+" is among them: "+reason+".")
		} else {
			notes = append(notes, name+" is left out: it gets no more events, and the database has all of it.")
		}
	}
	if len(read) > s.partitions {
		notes = append(notes, "Run this again later: it leaves out what gets no more events and is read out.")
	}
	fmt.Fprintf(s.app.stdout, `
Put this into the configuration of the NATS servers, at its top or in the account of the streams, and reload it:

mappings {
  %q: %q
}

Start each "runmetrics run" with these streams:

STREAMS=%s

%s`, from, to, strings.Join(read, ","), strings.Join(append(notes, ""), "\n"))
}

// inForce tells, also in words, whether the server spreads the events over the partitions.
func (s *settingUp) inForce(ctx context.Context, conn *nats.Conn, partitions []string) (bool, string) {
	found, err := probe(ctx, conn, len(partitions))
	switch {
	case err != nil:
		return false, "cannot be told to be in force: " + s.refusals.explain(err).Error()
	case !found.over(partitions):
		return false, "is not in force yet"
	}
	return true, "in force"
}

// whyRead says why a stream that is no partition, or none any more, must be read; empty where it need not.
func (s *settingUp) whyRead(ctx context.Context, js jetstream.JetStream, name string, mapped bool) (string, error) {
	if !mapped {
		return "it gets events as long as the mapping is not in force", nil
	}
	if s.unknown != "" {
		return "", errors.New(s.unknown)
	}
	store, err := openStore(ctx, s.cfg, s.log)
	if err != nil {
		return "", err
	}
	left, err := unread(ctx, js, store, name)
	if err = errors.Join(err, store.Close()); err != nil || left == 0 {
		return "", err
	}
	return fmt.Sprintf("it holds %d messages that the database has not", left), nil
}

// unread is how many messages of a stream the store has not.
func unread(ctx context.Context, js jetstream.JetStream, store sinks.Ledger, name string) (uint64, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", name, err)
	}
	p, err := store.Position(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("read position: %w", err)
	}
	info := stream.CachedInfo()
	if !p.Created.Equal(info.Created) || info.State.LastSeq < p.Sequence {
		return info.State.Msgs, nil // the reader will begin anew
	}
	return min(info.State.Msgs, info.State.LastSeq-p.Sequence), nil // what expired before it was read is not there to read
}
