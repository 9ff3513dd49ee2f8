package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// partition is the number at the end of a partition's name: RUN_EVENTS_2.
var partition = regexp.MustCompile(`_([0-9]+)$`)

// maxPartitions bounds how many streams share the events. Each costs a reader in every replica.
const maxPartitions = 256

// baseOf is what the names of all partitions begin with: the first of streams without its number.
func baseOf(streams []string) string { return partition.ReplaceAllString(streams[0], "") }

// partitionName is the name of a partition: RUN_EVENTS_2.
func partitionName(base string, number int) string { return base + "_" + strconv.Itoa(number) }

// partitionNames are the names of n partitions.
func partitionNames(base string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = partitionName(base, i)
	}
	return names
}

// countPartitions is how many of the streams are partitions. One stream alone is none: it takes all events.
func countPartitions(streams []string) int {
	if len(streams) == 1 {
		return 0
	}
	n := 0
	for _, name := range streams {
		if partition.MatchString(name) {
			n++
		}
	}
	return n
}

// mapping is the subject mapping by which a server spreads the events over n partitions. It hashes campaign and run, so
// that each run is whole in one of them; the subject that publishers use stays the same.
func mapping(n int) (from, to string) {
	return events.SubjectPrefix + ".*.*",
		fmt.Sprintf("%s.{{partition(%d,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}", events.SubjectPrefix, n)
}

// subjectsOf is what a stream takes in. Where there is one stream, it is everything. Where several share the events, the
// server's subject mapping puts a partition's number before the campaign; a stream without a number keeps what comes
// without one.
func subjectsOf(name string, streams []string) []string {
	if len(streams) == 1 {
		return []string{events.SubjectPrefix + ".>"}
	}
	if number := partition.FindStringSubmatch(name); number != nil {
		return []string{events.SubjectPrefix + "." + number[1] + ".*.*"}
	}
	return []string{events.SubjectPrefix + ".*.*"}
}

// inOrder puts streams without a number first: they are narrowed before the partitions take their subjects.
func inOrder(streams []string) []string {
	sorted := slices.Clone(streams)
	slices.SortStableFunc(sorted, func(a, b string) int {
		numbered := func(name string) int { return min(1, len(partition.FindString(name))) }
		return numbered(a) - numbered(b)
	})
	return sorted
}

const (
	// probesEach is how many runs are tried for each partition: so many that by the server's hash none gets nothing.
	probesEach = 16
	// probeTime is how long all answers together may take.
	probeTime = 5 * time.Second
	// noStream can be no stream's name.
	noStream = "no stream: this asks which one takes the subject"
)

// spread is where a server puts the events of many runs.
type spread struct {
	takes map[string]bool // the streams that took some
	none  bool            // some were taken by no stream
}

// over tells whether each of the streams got events, and nobody else did.
func (s spread) over(streams []string) bool {
	return !s.none && len(s.takes) == len(streams) && len(s.idle(streams)) == 0
}

// idle are those of the streams that got nothing.
func (s spread) idle(streams []string) []string {
	return slices.DeleteFunc(slices.Clone(streams), func(name string) bool { return s.takes[name] })
}

// others are the streams besides these that got something.
func (s spread) others(streams []string) []string {
	takers := slices.Sorted(maps.Keys(s.takes))
	return slices.DeleteFunc(takers, func(name string) bool { return slices.Contains(streams, name) })
}

// probeSubject is what an event of run number i would be published on. The run's name is as good as random: the server
// hashes both names as one, and what two numbers have in common cancels out.
func probeSubject(i int) string {
	return events.Subject("runmetrics-probe-"+strconv.Itoa(i), strconv.FormatUint(uint64(i+1)*0x9E3779B97F4A7C15, 36))
}

// probe finds out where the server puts events: it publishes on the subjects of enough runs for n partitions. Each message
// expects a stream that there is not, so the one that gets it says its name and stores nothing.
func probe(ctx context.Context, conn *nats.Conn, n int) (spread, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		return spread{}, err
	}
	defer func() { _ = answers.Unsubscribe() }() // else it ends with the connection
	for i := range n * probesEach {
		m := &nats.Msg{Subject: probeSubject(i), Reply: inbox, Header: nats.Header{jetstream.ExpectedStreamHeader: {noStream}}}
		if err := conn.PublishMsg(m); err != nil {
			return spread{}, err
		}
	}
	found := spread{takes: make(map[string]bool)}
	for range n * probesEach {
		m, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			found.none = true
			continue
		}
		if err != nil {
			return spread{}, fmt.Errorf("no answer within %s: %w", probeTime, err)
		}
		var refusal struct{ Stream string }
		if err := json.Unmarshal(m.Data, &refusal); err != nil || refusal.Stream == "" {
			return spread{}, fmt.Errorf("%.200q answers, which is no stream", m.Data)
		}
		found.takes[refusal.Stream] = true
	}
	return found, nil
}
