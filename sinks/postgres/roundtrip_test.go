package postgres

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// turns counts how often the client waited for the server: answers that came after something was sent.
type turns struct {
	n    atomic.Int64
	sent atomic.Bool
}

type countingConn struct {
	net.Conn
	turns *turns
}

func (c countingConn) Write(b []byte) (int, error) {
	c.turns.sent.Store(true)
	return c.Conn.Write(b)
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.turns.sent.Swap(false) {
		c.turns.n.Add(1)
	}
	return n, err
}

// counted opens a store with one connection whose round trips are counted.
func counted(t *testing.T, url string, c Config) (*Store, *turns) {
	t.Helper()
	config, err := parseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 1
	n := new(turns)
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return countingConn{conn, n}, err
	}
	store, err := open(t.Context(), c, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, n
}

func TestCommitIsOneRoundTrip(t *testing.T) {
	for _, mode := range []mode{cacheStatement, cacheDescribe, exec, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			store, turns := counted(t, migrated(t)+mode.setting, Config{Marks: true, DeadLetterLimit: 3})
			w := sinktest.NewWriter(t, store, "RUN_EVENTS")
			for i, size := range []int{1, 5000, 1, 300} {
				before := turns.n.Load()
				batch := w.Fold(everything(i, size)...)
				if err := w.Commit(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				took := turns.n.Load() - before
				t.Logf("commit %d: %d round trips", i, took)
				if i > 0 && took != 1 { // the first one connects and prepares
					t.Errorf("commit %d of %d events took %d round trips, not 1", i, size, took)
				}
			}
		})
	}
}

// everything makes events that need every statement a commit has: executions of many runs, a void and a dead letter.
func everything(round, executions int) []events.Event {
	var list []events.Event
	for i := range executions {
		e := execution(fmt.Sprintf("run-%d", i%100), fmt.Sprintf("e-%d-%d", round, i))
		list = append(list, e)
	}
	conflicting := list[0]
	conflicting.LatencyMs++
	void := events.Event{Key: list[0].Key, ID: fmt.Sprintf("v-%d", round), Type: events.ExecutionsVoided,
		OccurredAt: list[0].OccurredAt, Voids: []string{list[0].ID, "never seen"}}
	return append(list, conflicting, void)
}

func execution(run, id string) events.Event {
	return events.Event{
		Key: events.Key{CampaignID: "spring", RunID: run, Phase: "1"}, ID: id, Type: events.AgentFinished,
		OccurredAt: time.Date(2026, 3, 1, 11, 0, 0, 123456000, time.UTC), AgentID: "agent of " + id, Attempt: 1,
		AgentName: "Writer", Model: "large", Status: events.Succeeded, LatencyMs: 1250, TokensIn: 900, TokensOut: 1100,
		AssetsGenerated: 2, Cost: events.USD(12_345_678),
	}
}

func TestRefusedCommitCostsTheNextOneItsCaches(t *testing.T) {
	store, turns := counted(t, migrated(t), Config{})
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	for i := range 2 {
		if err := w.Write(t.Context(), execution("run", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Commit(t.Context(), sinks.Position{Stream: "RUN_EVENTS"}, w.Fold(execution("run", "3"))); err == nil {
		t.Fatal("a commit on an old position stood")
	}
	before := turns.n.Load()
	if err := w.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("reload", turns.n.Load()-before)
	before = turns.n.Load()
	if err := w.Commit(t.Context(), w.Fold(execution("other", "3"))); err != nil {
		t.Fatal(err)
	}
	t.Log("commit", turns.n.Load()-before)
}
