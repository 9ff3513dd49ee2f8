package consumer_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// split puts the one stream aside for n that share the events, and lets the server map them as it does for operators.
func (k *broker) split(t testing.TB, n int) (streams []string) {
	t.Helper()
	// It is not deleted: servers were seen to fail at making a stream while they removed the directory of their last one.
	aside := consumer.StreamConfig(streamName, 1<<30)
	aside.Subjects = []string{"aside"}
	if _, err := k.js.UpdateStream(t.Context(), aside); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c := consumer.StreamConfig(fmt.Sprintf("%s_%d", streamName, i), 3<<30/int64(n))
		c.Subjects = []string{fmt.Sprintf("runs.%d.*.*", i)}
		if _, err := k.js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, c.Name)
	}
	k.spread(t, n)
	return streams
}

// spread maps events to the first n of the streams.
func (k *broker) spread(t testing.TB, n int) {
	t.Helper()
	to := fmt.Sprintf("runs.{{partition(%d,1,2)}}.{{wildcard(1)}}.{{wildcard(2)}}", n)
	if err := k.server.GlobalAccount().AddMapping("runs.*.*", to); err != nil {
		t.Fatal(err)
	}
}

// standing waits until the stream is committed through its last message, and returns what became of them.
func (k *broker) standing(t *testing.T, store sinks.Ledger, stream string) sinks.Position {
	t.Helper()
	s, err := k.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(60 * time.Second)
	for {
		p, err := store.Position(t.Context(), stream)
		if err == nil && p.Sequence == s.CachedInfo().State.LastSeq {
			return p
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("stream %s holds %d messages, position %+v (%v)", stream, s.CachedInfo().State.LastSeq, p, err)
		}
	}
}

// wantAll waits until the streams are committed and fails the test unless so many events were applied and repeated.
func (k *broker) wantAll(t *testing.T, store sinks.Ledger, streams []string, applied, duplicates int) {
	t.Helper()
	var sum sinks.Position
	for _, stream := range streams {
		p := k.standing(t, store, stream)
		sum.Applied += p.Applied
		sum.Duplicates += p.Duplicates
		sum.DeadLetters += p.DeadLetters
	}
	if sum.Applied != int64(applied) || sum.Duplicates != int64(duplicates) || sum.DeadLetters != 0 {
		t.Errorf("%d applied, %d duplicates, %d dead letters, want %d, %d, 0",
			sum.Applied, sum.Duplicates, sum.DeadLetters, applied, duplicates)
	}
}

func stopAll(t *testing.T, readers []*running) {
	t.Helper()
	for _, r := range readers {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	}
}

// onEachStore runs the test with SQLite and with Postgres.
func onEachStore(t *testing.T, test func(t *testing.T, store sinks.Store)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) { test(t, openSQLite(t)) })
	t.Run("Postgres", func(t *testing.T) { test(t, openPostgres(t, sinktest.StartPostgres(t, "fsync=off"))) })
}

// TestRunsThatLieInTwoStreamsKeepTheirNumbers: two readers commit the same runs at the same time, and get some of the
// events both. This is more than a new number of partitions does, which moves a run once.
func TestRunsThatLieInTwoStreamsKeepTheirNumbers(t *testing.T) {
	onEachStore(t, func(t *testing.T, store sinks.Store) {
		k := startBroker(t)
		streams := k.split(t, 2)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		list := history(4_000)
		for i := range 100 {
			list = append(list, events.Event{Key: list[i*40].Key, ID: fmt.Sprintf("void-%d", i), Type: events.ExecutionsVoided,
				OccurredAt: list[i].OccurredAt, Voids: []string{list[random.IntN(4_000)].ID}})
		}
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		repeated := 0
		var readers []*running
		for from := 0; from < len(list); from += 100 {
			var messages []*nats.Msg
			for i := range list[from:min(from+100, len(list))] {
				e := &list[from+i]
				first := random.IntN(2)
				messages = append(messages, inStream(first, e))
				if random.IntN(10) == 0 {
					messages = append(messages, inStream(1-first, e))
					repeated++
				}
			}
			k.publish(t, messages...)
			if from == 1_000 { // the first of them are a backlog
				for _, stream := range streams {
					readers = append(readers, k.startReader(t, store, func(c *consumer.Config) { c.Stream = stream }))
				}
			}
		}
		k.wantAll(t, store, streams, len(list), repeated)
		expect(t, store, list)
		stopAll(t, readers)
	})
}

// inStream is an event as the server's mapping would put it into a stream.
func inStream(partition int, e *events.Event) *nats.Msg {
	m := messageOf(e)
	m.Subject = fmt.Sprintf("runs.%d.%s", partition, strings.TrimPrefix(m.Subject, "runs."))
	return m
}

// TestANewNumberOfStreamsMovesRunsAndNothingElse: the first half of every run's events was spread over two streams, the
// other one goes to five, where some of the first is sent again.
func TestANewNumberOfStreamsMovesRunsAndNothingElse(t *testing.T) {
	onEachStore(t, func(t *testing.T, store sinks.Store) {
		k := startBroker(t)
		streams := k.split(t, 5)
		k.spread(t, 2)
		list := history(2_000)
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		k.publish(t, messagesOf(list[:1_000])...)
		var readers []*running
		for _, stream := range streams {
			readers = append(readers, k.startReader(t, store, func(c *consumer.Config) { c.Stream = stream }))
		}
		k.spread(t, 5)
		k.publish(t, messagesOf(list[900:])...)
		k.wantAll(t, store, streams, 2_000, 100)
		expect(t, store, list)
		stopAll(t, readers)
	})
}
