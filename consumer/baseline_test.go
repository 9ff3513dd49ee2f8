package consumer_test

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// What one would write without runmetrics, in four ways, to compare with: baseline_rows_test.go and
// baseline_upsert_test.go. All decode ahead of the database, and a batch is one transaction. One is as the examples of the
// libraries are; the others are as good as one who knows both libraries well makes them, but for what runmetrics promises.

// One transaction of a baseline holds at most baselineBatch events, and waits at most baselineWait for them.
const (
	baselineBatch = 5_000
	baselineWait  = 50 * time.Millisecond
)

// baselineEvent is what a baseline takes of an event.
type baselineEvent struct {
	ID              string    `json:"id"`
	CampaignID      string    `json:"campaignId"`
	RunID           string    `json:"runId"`
	Phase           string    `json:"phase"`
	OccurredAt      time.Time `json:"occurredAt"`
	AgentID         string    `json:"agentId"`
	Attempt         int64     `json:"attempt"`
	Status          string    `json:"status"`
	LatencyMs       int64     `json:"latencyMs"`
	TokensIn        int64     `json:"tokensIn"`
	TokensOut       int64     `json:"tokensOut"`
	AssetsGenerated int64     `json:"assetsGenerated"`
	CostUSD         float64   `json:"costUSD"`

	sequence int64
	message  jetstream.Msg
	fault    error // it could not be read
}

// costNanos is the cost in nano-dollars, so that sums are exact.
func (e *baselineEvent) costNanos() int64 { return int64(math.Round(e.CostUSD * 1e9)) }

// baseline is a way to keep run metrics in Postgres.
type baseline struct {
	schema string
	// explicit is the consumer that nobody configured, of which each message is acknowledged by itself once it is stored.
	// Else the last one of a batch acknowledges all of it.
	explicit bool
	// store keeps a batch, in one transaction.
	store func(ctx context.Context, conn *pgx.Conn, batch []baselineEvent) error
	// results is a query for what is known of each run: its name, its agents and cost, and what else there is.
	results string
}

// storedResults is the query for the same of what the pipeline has stored.
const storedResults = `
SELECT run_id, concat_ws(' ', agents_total, agents_successful, trim_scale(cost_usd)),
	concat_ws(' ', latency_avg_ms, latency_p95_ms, success_rate)
FROM campaign_metrics`

// runResult is what is known of a run, as text: agents and cost, and what only who has all executions can tell.
type runResult struct{ sums, more string }

func resultsOf(tb testing.TB, conn *pgx.Conn, query string) map[string]runResult {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	found := make(map[string]runResult)
	var run string
	var r runResult
	if _, err := pgx.ForEachRow(rows, []any{&run, &r.sums, &r.more}, func() error {
		found[run] = r
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return found
}

// compareResults fails the test unless a baseline knows the number of runs and of each what the pipeline knows, too.
func compareResults(tb testing.TB, got, want map[string]runResult, runs int) {
	tb.Helper()
	if len(got) != runs {
		tb.Fatalf("the baseline has %d runs, want %d", len(got), runs)
	}
	for run, r := range got {
		if w := want[run]; r.sums != w.sums || r.more != "" && r.more != w.more {
			tb.Fatalf("run %s: the baseline has %+v, the pipeline %+v", run, r, w)
		}
	}
}

// connect opens a database with the baseline's schema.
func (l *baseline) connect(tb testing.TB, server *sinktest.PostgresServer) *pgx.Conn {
	tb.Helper()
	conn := connectTo(tb, server.CreateDatabase(tb))
	if _, err := conn.Exec(tb.Context(), l.schema); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func connectTo(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// run reads the first n events of the stream into the database.
func (l *baseline) run(tb testing.TB, k *broker, conn *pgx.Conn, n int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 5*time.Minute)
	defer cancel()
	config := jetstream.ConsumerConfig{Durable: "baseline", AckPolicy: jetstream.AckAllPolicy, MaxAckPending: 4 * baselineBatch}
	if l.explicit {
		config.AckPolicy = jetstream.AckExplicitPolicy
	}
	c, err := k.js.CreateConsumer(ctx, streamName, config)
	if err != nil {
		tb.Fatal(err)
	}
	defer k.js.DeleteConsumer(tb.Context(), streamName, "baseline")
	arrived := make(chan baselineEvent, baselineBatch)
	consume, err := c.Consume(func(m jetstream.Msg) {
		select {
		case arrived <- decodeBaseline(m):
		case <-ctx.Done():
		}
	}, jetstream.PullMaxMessages(2*baselineBatch))
	if err != nil {
		tb.Fatal(err)
	}
	defer consume.Stop()
	batch := make([]baselineEvent, 0, baselineBatch)
	for stored := 0; stored < n; stored += len(batch) {
		if batch, err = gather(ctx, batch[:0], arrived, min(n-stored, baselineBatch)); err == nil {
			err = l.store(ctx, conn, batch)
		}
		if err == nil {
			err = l.ack(batch)
		}
		if err != nil {
			tb.Fatalf("after %d events: %v", stored, err)
		}
	}
}

func (l *baseline) ack(batch []baselineEvent) error {
	if !l.explicit {
		batch = batch[len(batch)-1:]
	}
	for i := range batch {
		if err := batch[i].message.Ack(); err != nil {
			return err
		}
	}
	return nil
}

func decodeBaseline(m jetstream.Msg) baselineEvent {
	e := baselineEvent{message: m}
	var meta *jetstream.MsgMetadata
	if meta, e.fault = m.Metadata(); e.fault == nil {
		e.sequence = int64(meta.Sequence.Stream)
		e.fault = json.Unmarshal(m.Data(), &e)
	}
	return e
}

// gather waits for an event and takes what else comes until there are limit or baselineWait is over.
func gather(ctx context.Context, batch []baselineEvent, arrived <-chan baselineEvent, limit int) ([]baselineEvent, error) {
	var over <-chan time.Time
	for len(batch) < limit {
		select {
		case e := <-arrived:
			if e.fault != nil {
				return nil, e.fault
			}
			if len(batch) == 0 {
				over = time.After(baselineWait)
			}
			batch = append(batch, e)
		case <-over:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}

// TestBaselinesKnowWhatThePipelineKnows: what the pipeline is compared with does the same work, as far as it can. All events
// are published twice; two baselines can tell.
func TestBaselinesKnowWhatThePipelineKnows(t *testing.T) {
	if testing.Short() {
		t.Skip("what is compared with takes as long as what is measured")
	}
	const n = 800
	server := sinktest.StartPostgres(t, "fsync=off")
	k := startBroker(t)
	k.publish(t, messagesOf(history(n))...)
	k.publish(t, messagesOf(history(n))...)
	dsn := server.CreateDatabase(t)
	store := openPostgresBy(t, dsn, dsn)
	k.startReader(t, store)
	waitCommitted(t, k, store, 2*n)
	want := resultsOf(t, connectTo(t, dsn), storedResults)
	for _, c := range []struct {
		name     string
		baseline *baseline
		read     int
	}{{"CopiedRows", copiedRows, n}, {"AdditiveUpsert", additiveUpsert, n}, {"DistinctRows", distinctRows, 2 * n},
		{"ExampleRows", exampleRows, 2 * n}} {
		t.Run(c.name, func(t *testing.T) {
			conn := c.baseline.connect(t, server)
			c.baseline.run(t, k, conn, c.read)
			compareResults(t, resultsOf(t, conn, c.baseline.results), want, n/10)
		})
	}
}
