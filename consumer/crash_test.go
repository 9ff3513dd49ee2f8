package consumer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// Every side effect of the pipeline fails in every way that it can: before it took place, after it took place, and - what
// a killed client's commit does - long after its author gave up. In the end each event must have been applied once.
func TestCrashAtEverySideEffect(t *testing.T) {
	for _, m := range []sinktest.Method{sinktest.Position, sinktest.Load, sinktest.Commit} {
		for name, fault := range map[string]sinktest.Fault{
			"NotStored": sinktest.NotStored, "Stored": sinktest.Stored, "StoredLater": sinktest.StoredLater,
		} {
			for _, at := range []int{1, 2, 5} {
				if testing.Short() && at != 2 {
					continue // -short is for races
				}
				t.Run(fmt.Sprintf("%s%d%s", m, at, name), func(t *testing.T) {
					t.Parallel()
					crashAt(t, func(_ context.Context, called sinktest.Method, n int) sinktest.Fault {
						if called == m && n == at {
							return fault
						}
						return sinktest.None
					})
				})
			}
		}
	}
}

// A store that fails at random, in all ways, for a third of all calls.
func TestRandomFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	faults := 10 // the pauses after more would add up to the time that the test waits
	crashAt(t, func(context.Context, sinktest.Method, int) sinktest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if faults == 0 || random.IntN(3) > 0 {
			return sinktest.None
		}
		faults--
		return sinktest.Fault(1 + random.IntN(3))
	})
}

// crashAt reads a history with duplicates through a store that fails as planned. Half of its runs are in the store before
// the reader starts, so that Load is called too.
func crashAt(t *testing.T, plan sinktest.Plan) {
	b, store := startBroker(t), openSQLite(t)
	list := history(2_000)
	first := b.startReader(t, store)
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:700])...))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	faulty := sinktest.NewFaulty(store, plan)
	r := b.startReader(t, faulty)
	watch(t, r)
	var last uint64
	for from := 700; from < 2_000; from += 130 {
		part := append(messagesOf(list[from:from+130]), messagesOf(list[from-20:from])...)
		last = b.publish(t, part...)
		// Whatever died earlier may take place now, in the middle of the reader's next commits.
		faulty.Release(t.Context())
	}
	p := waitCommitted(t, b, store, last)
	if p.Applied != 2_000 || p.Duplicates != 200 || p.DeadLetters+p.Gone != 0 {
		t.Fatalf("position %+v, want 2000 applied and 200 duplicates", p)
	}
	for _, err := range faulty.Release(t.Context()) {
		if err == nil {
			t.Error("a dead client's commit took place although others went on without it")
		}
	}
	expect(t, store, list)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	conserved(t, r, store)
}

// A paused owner wakes up behind a rival that went on: what it has in memory must not be stored.
func TestAPausedOwnerStoresNothingOverItsSuccessor(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	short := func(c *consumer.Config) { c.PinnedTTL = 4 * time.Second }
	pause, paused, resume := make(chan struct{}), make(chan struct{}), make(chan struct{})
	owner := sinktest.NewFaulty(store, func(_ context.Context, m sinktest.Method, _ int) sinktest.Fault {
		if m == sinktest.Commit {
			select {
			case <-pause:
				close(paused)
				<-resume // a stopped process does not look at contexts
			default:
			}
		}
		return sinktest.None
	})
	wake := sync.OnceFunc(func() { close(resume) })
	list := history(900)
	slow := b.startReader(t, owner, short)
	watch(t, slow)
	t.Cleanup(wake) // before the owner is stopped, whatever happens
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:300])...))
	go func() { pause <- struct{}{} }()
	b.publish(t, messagesOf(list[300:600])...)
	<-paused

	// Only the owner's commit stands still here; its subscription goes on to ask for the pin. So the operator takes it away,
	// event by event, until the rival has it.
	rival := b.startReader(t, store, short)
	next := 600
	for rival.Status().Read == 0 {
		unpin(t, b)
		b.publish(t, messageOf(&list[next]))
		next++
		select {
		case <-time.After(300 * time.Millisecond):
		case <-slow.done:
			t.Fatalf("the owner ended: %v", slow.err)
		}
	}
	last := b.publish(t, messagesOf(list[next:])...)
	p := waitCommitted(t, b, store, last)
	wake()
	if err := slow.stop(); err != nil {
		t.Fatal(err)
	}
	if p.Applied != 900 || p.Duplicates != 0 {
		t.Fatalf("position %+v", p)
	}
	after, err := store.Position(t.Context(), streamName)
	if err != nil || after.Sequence != p.Sequence || after.Applied != 900 {
		t.Fatalf("position after the owner woke up: %+v (%v)", after, err)
	}
	expect(t, store, list)
	if s := rival.Status(); s.State != consumer.Active {
		t.Fatalf("rival is %s", s.State)
	}
	conserved(t, slow, store)
	conserved(t, rival, store)
}

func unpin(t *testing.T, b *broker) {
	t.Helper()
	stream, err := b.js.Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.UnpinConsumer(t.Context(), consumer.ConsumerName("main"), "reader"); err != nil {
		t.Fatal(err)
	}
}

// All kinds of events go through the whole way, in any order, and end as the fold says.
func TestAllTypesOfEvents(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	list := history(300)
	for i := range 10 {
		key := list[i].Key
		at := time.Date(2026, 2, 14, 13, 0, i, 0, time.UTC)
		list = append(list,
			events.Event{Key: key, ID: "started", Type: events.RunStarted, OccurredAt: at, AgentsExpected: 12},
			events.Event{Key: key, ID: "finished", Type: events.RunFinished, OccurredAt: at.Add(time.Hour), Outcome: events.OutcomeFailed},
			events.Event{Key: key, ID: "agent", Type: events.AgentStarted, OccurredAt: at, AgentID: "silent 🚀", Attempt: 1},
			events.Event{Key: key, ID: "void", Type: events.ExecutionsVoided, OccurredAt: at, Voids: []string{list[i].ID, "later"}, Reason: "test"},
			events.Event{Key: key, ID: "report", Type: events.RunReported, OccurredAt: at, Report: &events.Report{AgentsTotal: 3, AgentsSuccessful: 2}})
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	b.startReader(t, store)
	half := len(list) / 2
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[:half])...))
	waitCommitted(t, b, store, b.publish(t, messagesOf(list[half:])...))
	expect(t, store, list)
}
