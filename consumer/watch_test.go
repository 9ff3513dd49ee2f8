package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
)

// heard is what a follower was told.
type heard struct {
	mu     sync.Mutex
	told   []string // "changed", "lost", "back", "missed"
	since  []time.Time
	news   chan struct{}
	hold   chan struct{} // Changed waits for it, where it is not nil
	record []consumer.Changed
}

func newHeard() *heard { return &heard{news: make(chan struct{}, 1)} }

func (h *heard) note(what string, change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, what)
	change()
	select {
	case h.news <- struct{}{}:
	default:
	}
}

func (h *heard) follower() consumer.Follower {
	return consumer.Follower{
		Changed: func(announcement []byte) {
			if h.hold != nil {
				<-h.hold
			}
			var c consumer.Changed
			if err := json.Unmarshal(announcement, &c); err != nil {
				panic(err)
			}
			h.note("changed", func() { h.record = append(h.record, c) })
		},
		Lost:   func() { h.note("lost", func() {}) },
		Back:   func(since time.Time) { h.note("back", func() { h.since = append(h.since, since) }) },
		Missed: func(since time.Time) { h.note("missed", func() { h.since = append(h.since, since) }) },
	}
}

// waits waits until what it was told is as the condition says, and returns it.
func (h *heard) waits(t *testing.T, want string, condition func(told []string) bool) []string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		h.mu.Lock()
		told := slices.Clone(h.told)
		h.mu.Unlock()
		if condition(told) {
			return told
		}
		select {
		case <-h.news:
		case <-deadline:
			t.Fatalf("told %v, want %s", told, want)
		}
	}
}

// wants waits until it was told exactly this.
func (h *heard) wants(t *testing.T, want ...string) {
	t.Helper()
	h.waits(t, fmt.Sprint(want), func(told []string) bool { return slices.Equal(told, want) })
}

func follow(t *testing.T, conn *nats.Conn, h *heard) *consumer.Watch {
	t.Helper()
	w, err := consumer.Follow(conn, "main", h.follower())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			t.Error(err)
		}
	})
	h.wants(t, "back")
	return w
}

func batchOf(sequence uint64, runs ...string) *sinks.Batch {
	b := &sinks.Batch{Next: sinks.Position{Stream: streamName, Epoch: 1, Sequence: sequence}}
	for i, run := range runs {
		e := finished(run, i)
		r := aggregate.NewRun(e.Key)
		r.Apply(&e)
		b.Runs = append(b.Runs, sinks.RunChange{Metrics: r.Metrics()})
	}
	return b
}

func announce(t *testing.T, conn *nats.Conn, b *sinks.Batch) {
	t.Helper()
	if err := errors.Join(consumer.Announce(conn, "main", b), conn.Flush()); err != nil {
		t.Fatal(err)
	}
}

// TestAFollowerGetsEveryRecord however many a commit changes, and hears of changes that are none of records.
func TestAFollowerGetsEveryRecord(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	h := newHeard()
	w := follow(t, b.connect(t), h)
	var runs []string
	for i := range 600 {
		runs = append(runs, fmt.Sprintf("run \"%d\"\n", i)) // \n cannot be in a name, and must not end a line
	}
	big := batchOf(7, runs...)
	announce(t, b.conn, big)
	h.wants(t, "back", "changed", "changed", "changed")
	if err := w.Wait(t.Context(), streamName, 7); err != nil {
		t.Error(err)
	}
	var got []aggregate.Metrics
	for _, c := range h.record {
		got = append(got, c.Records...)
	}
	if len(got) != len(runs) || h.record[1].Position != 0 || h.record[2].Position != 7 {
		t.Fatalf("%d records, positions %d and %d", len(got), h.record[1].Position, h.record[2].Position)
	}
	for i := range got {
		if a, b := asJSON(t, got[i]), asJSON(t, big.Runs[i].Metrics); a != b {
			t.Errorf("%s, want %s", a, b)
		}
	}
	if err := errors.Join(consumer.AnnounceOther(b.conn, "main"), b.conn.Flush()); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "back", "changed", "changed", "changed", "changed")
}

// TestAFollowerIsToldOfInterruptions when the connection is lost, and that it is back.
func TestAFollowerIsToldOfInterruptions(t *testing.T) {
	t.Parallel()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}
	s := startServer(t, options)
	conn, err := nats.Connect(s.ClientURL(), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h := newHeard()
	follow(t, conn, h)
	options.Port = s.Addr().(*net.TCPAddr).Port
	before := time.Now()
	s.Shutdown()
	s.WaitForShutdown()
	h.wants(t, "back", "lost")
	s = startServer(t, options)
	defer s.WaitForShutdown()
	defer s.Shutdown()
	told := h.waits(t, "back once more", func(told []string) bool { return told[len(told)-1] == "back" && len(told) > 2 })
	if since := h.since[1]; since.After(before) {
		t.Errorf("since %s, the connection was lost after %s", since, before)
	}
	announce(t, conn, batchOf(1, "r"))
	told = append(told, "changed")
	h.wants(t, told...)
	conn.Close()
	h.wants(t, append(told, "lost")...)
}

// TestAFollowerIsToldOfACommitThatNobodyAnnounced when the next reader finds it in the store, and who waits for it is
// served.
func TestAFollowerIsToldOfACommitThatNobodyAnnounced(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	store := openSQLite(t)
	h := newHeard()
	w := follow(t, b.connect(t), h)
	last := b.publish(t, messagesOf(history(30))...)
	// It announces elsewhere: to us it is one that dies between its commit and its announcement.
	dies := b.startReader(t, store, func(c *consumer.Config) { c.Deployment = "elsewhere" })
	waitCommitted(t, b, store, last)
	if err := dies.stop(); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "back")
	next := b.startReader(t, store)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := w.Wait(ctx, streamName, last); err != nil {
		t.Fatal(err)
	}
	h.wants(t, "back", "missed")

	// What was announced is not missed when a reader begins.
	more := b.publish(t, messagesOf(history(60)[30:])...)
	if err := w.Wait(ctx, streamName, more); err != nil {
		t.Fatal(err)
	}
	if err := next.stop(); err != nil {
		t.Fatal(err)
	}
	told := h.waits(t, "all of it", func(told []string) bool { return told[len(told)-1] == "changed" })
	again := b.startReader(t, store)
	more = b.publish(t, messagesOf(history(61)[60:])...)
	if err := w.Wait(ctx, streamName, more); err != nil {
		t.Fatal(err)
	}
	h.wants(t, append(told, "changed")...)
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestAFollowerThatIsTooSlowIsToldWhatItMissed.
func TestAFollowerThatIsTooSlowIsToldWhatItMissed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	conn := b.connect(t)
	h := newHeard()
	h.hold = make(chan struct{})
	follow(t, conn, h)
	large := batchOf(1)
	for i := range 250 {
		large.Runs = append(large.Runs, batchOf(1, fmt.Sprintf("%d-%s", i, strings.Repeat("x", 60))).Runs...)
	}
	for i := range 500 { // 100 MB, more than the connection keeps for a subscription
		large.Next.Sequence = uint64(i + 1)
		announce(t, b.conn, large)
	}
	close(h.hold)
	h.waits(t, "missed once more", func(told []string) bool { return slices.Contains(told[1:], "missed") })
}
