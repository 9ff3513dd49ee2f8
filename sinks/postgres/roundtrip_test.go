package postgres

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

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
	t.Parallel()
	countRoundTrips(t, commitsInOneRoundTrip)
}

func TestClaimAndSettleAreOneRoundTripEach(t *testing.T) {
	t.Parallel()
	countRoundTrips(t, dispatchesInOneRoundTrip)
}

func TestResolvingLettersIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	countRoundTrips(t, resolvesInOneRoundTrip)
}

func resolvesInOneRoundTrip(t *testing.T, url string) {
	t.Helper()
	store, turns := counted(t, url, Config{})
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	for i, size := range []int{1, 300, 1} {
		var list []sinks.Resolution
		for range size {
			if err := w.Commit(t.Context(), bury(w)); err != nil {
				t.Fatal(err)
			}
			at := sinks.LetterID{Stream: "RUN_EVENTS", Epoch: 1, Sequence: w.Position.Sequence}
			list = append(list, sinks.Resolution{LetterID: at, Text: `dropped: "known"`})
		}
		before := turns.n.Load()
		if n, err := store.ResolveLetters(t.Context(), list, w.At); n != int64(size) || err != nil {
			t.Fatalf("resolved %d of %d: %v", n, size, err)
		}
		if took := turns.n.Load() - before; i > 0 && took != 1 { // the first one prepares
			t.Errorf("%d letters took %d round trips, not 1", size, took)
		}
	}
}

// countRoundTrips runs a test in every way in which the driver can talk to the server.
func countRoundTrips(t *testing.T, test func(t *testing.T, url string)) {
	for _, mode := range []mode{cacheStatement, cacheDescribe, exec, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			test(t, migrated(t)+mode.setting)
		})
	}
	t.Run("ThroughPgBouncer", func(t *testing.T) {
		t.Parallel()
		bouncer := sinktest.StartPgBouncer(t, sinktest.SharedPostgres(t))
		test(t, bouncer.Route(t, migrated(t))+cacheDescribe.setting)
	})
}

func commitsInOneRoundTrip(t *testing.T, url string) {
	t.Helper()
	store, turns := counted(t, url, Config{Marks: true, DeadLetterLimit: 3})
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	for i, size := range []int{1, 1, 5000, 1, 300} {
		before := turns.n.Load()
		if err := w.Commit(t.Context(), w.Fold(everything(i, size)...)); err != nil {
			t.Fatal(err)
		}
		took := turns.n.Load() - before
		if i > 1 && took != 1 { // the first one connects and prepares, the second is the first that changes a run
			t.Errorf("commit %d of %d events took %d round trips, not 1", i, size, took)
		}
	}
}

// dispatchesInOneRoundTrip claims and settles many runs, few and none, after a first time that prepares each statement.
func dispatchesInOneRoundTrip(t *testing.T, url string) {
	t.Helper()
	store, turns := counted(t, url, Config{Marks: true})
	w := sinktest.NewWriter(t, store, "RUN_EVENTS")
	if err := w.Write(t.Context(), everything(0, 100)...); err != nil {
		t.Fatal(err)
	}
	count := func(what string, i int, call func() error) {
		t.Helper()
		before := turns.n.Load()
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if took := turns.n.Load() - before; i > 0 && took != 1 {
			t.Errorf("%s %d took %d round trips, not 1", what, i, took)
		}
	}
	claim := sinks.Claim{Owner: uuid.New(), Now: w.At, NotBefore: w.At}
	for i, limit := range []int{2, 60, 1, 100, 100} {
		settlement := sinks.Settlement{Owner: claim.Owner, Now: w.At, RetryParked: w.At, Targets: int64(limit)}
		claim.Limit = limit
		count("claim", i, func() error {
			claimed, err := store.Claim(t.Context(), claim)
			for j := range claimed.Copies {
				m := &claimed.Copies[j].Metrics
				settlement.Outcomes = append(settlement.Outcomes,
					sinks.Outcome{RunKey: m.RunKey, Version: m.Version, Verdict: sinks.Verdict(j % 2 * 2), Reason: "refused"})
			}
			return err
		})
		count("settlement", i, func() error {
			_, err := store.Settle(t.Context(), settlement)
			return err
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

func TestCommitSendsOnlyWhatTheBatchHolds(t *testing.T) {
	t.Parallel()
	server := sinktest.StartPostgres(t, "fsync=off", "log_statement=all")
	url := server.CreateDatabase(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	const application = "counted"
	store, err := Open(t.Context(), Config{URL: url + "&application_name=" + application, Marks: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if n := server.Statements(application); n != 0 {
		t.Errorf("Open sent %d statements", n)
	}
	w := sinktest.NewWriter(t, store, "RUN_EVENTS") // reads the position
	for _, test := range []struct {
		name       string
		events     []events.Event
		statements int
	}{
		{"nothing", nil, 1},                             // position
		{"a run", everything(0, 1)[:1], 3},              // and the run with its events, marks
		{"a duplicate", everything(0, 1)[:1], 1},        // position
		{"a conflict", everything(0, 1)[1:2], 2},        // and dead letters
		{"everything", everything(1, 5), 1 + 3 + 1 + 1}, // position, new and known runs and marks, void, dead letter
	} {
		before := server.Statements(application)
		if err := w.Commit(t.Context(), w.Fold(test.events...)); err != nil {
			t.Fatal(err)
		}
		if n := server.Statements(application) - before; n != test.statements {
			t.Errorf("%s: %d statements, not %d", test.name, n, test.statements)
		}
	}
}
