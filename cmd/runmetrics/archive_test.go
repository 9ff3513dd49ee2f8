package main

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
)

// seededRandom prints its seed when the test fails.
func seededRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("RUNMETRICS_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("RUNMETRICS_TEST_SEED: %v", err)
		}
	}
	t.Logf("RUNMETRICS_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// tale makes n events of a few runs: all types, with names that are awkward to write, repeated, conflicting, voided and
// reported.
func tale(random *rand.Rand, n int) []events.Event {
	runs := []events.Key{
		{CampaignID: "c", RunID: "r", Phase: "1"}, {CampaignID: "c", RunID: "r", Phase: "2-3"},
		{CampaignID: "c.1 🚀/%", RunID: `it's "r"`, Phase: "p q"}, {CampaignID: "other", RunID: "\u2028<&>", Phase: "1"},
		{CampaignID: "c", RunID: "reported", Phase: "1"},
	}
	var list []events.Event
	for len(list) < n {
		e := taleEvent(random, runs[random.IntN(len(runs))])
		if len(list) > 0 && random.IntN(8) == 0 {
			e = list[random.IntN(len(list))]
			if random.IntN(2) == 0 { // an id of its run with another content
				e.OccurredAt = e.OccurredAt.Add(time.Second)
			}
		}
		list = append(list, e)
	}
	return list
}

func taleEvent(random *rand.Rand, key events.Key) events.Event {
	id := func() string { return fmt.Sprintf("é-%d", random.IntN(400)) }
	e := events.Event{Key: key, ID: id(), OccurredAt: loadStart.Add(time.Duration(random.IntN(1e9)) * time.Microsecond)}
	kind := random.IntN(20)
	if key.RunID == "reported" {
		kind = 19
	}
	switch kind {
	case 0:
		e.Type, e.AgentsExpected = events.RunStarted, random.Int64N(30)
	case 1:
		e.Type, e.Outcome = events.RunFinished, events.OutcomeFailed
	case 2:
		e.Type, e.Voids, e.Reason = events.ExecutionsVoided, []string{id(), id(), "never came"}, "wrong\tprompt"
	case 3, 4:
		e.Type, e.AgentID, e.Attempt, e.Model = events.AgentStarted, "agent "+id(), 1+random.Int64N(3), "m"
	case 19:
		e.Type, e.Report = events.RunReported, &events.Report{AgentsTotal: 9, AgentsSuccessful: random.Int64N(9), TokensIn: 1 << 52,
			Cost: events.Nanos(random.Int64N(1e15)), LatencyP95Ms: 7, LatencyAvgMs: 3}
	default:
		e.Type, e.AgentID, e.Attempt, e.Status = events.AgentFinished, "agent "+id(), 1+random.Int64N(3), events.Succeeded
		e.LatencyMs, e.TokensIn, e.AssetsGenerated = random.Int64N(1000), random.Int64N(1e9), random.Int64N(5)
		e.AgentName, e.Error = "\U0010FFFF", strings.Repeat("x\n", random.IntN(3))
		if random.IntN(4) > 0 {
			e.Cost = events.USD(events.Nanos(random.Int64N(1e12)))
		}
	}
	return e
}

// commitTale publishes events as they are, without message ids, and lets a service commit them.
func commitTale(t *testing.T, b *broker, environ map[string]string, list []events.Event) {
	t.Helper()
	js := testJetStream(t, b)
	for i := range list {
		m := &nats.Msg{Subject: events.Subject(list[i].CampaignID, list[i].RunID), Data: events.Encode(&list[i])}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	readOut(t, b, environ)
}

// readOut lets a service read the streams to their ends, and stops it.
func readOut(t *testing.T, b *broker, environ map[string]string) {
	t.Helper()
	info, err := testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	p := startService(t, environ)
	db := openDatabase(t, environ)
	defer db.Close()
	eventually(t, "everything is committed", func() bool {
		var position uint64
		err := db.QueryRowContext(t.Context(), "SELECT coalesce(max(sequence), 0) FROM stream_positions").Scan(&position)
		return err == nil && position == info.CachedInfo().State.LastSeq
	})
	if code := p.stop(t); code != exitOK {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
}

// setUp makes a broker with an empty stream and an empty store.
func setUp(t *testing.T) (*broker, map[string]string) {
	t.Helper()
	b, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	return b, environ
}

// tablesOf are the rows of all tables and views that hold what was measured, without what depends on when it was committed.
func tablesOf(t *testing.T, environ map[string]string) map[string][]string {
	t.Helper()
	db := openDatabase(t, environ)
	defer db.Close()
	tables := make(map[string][]string)
	for _, table := range []string{"campaign_metrics", "agent_runs", "run_events", "voided_events"} {
		tables[table] = rowsOf(t, db, table)
	}
	return tables
}

func rowsOf(t *testing.T, db *sql.DB, table string) (list []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		var row strings.Builder
		for i, name := range names {
			if name != "version" && name != "updated_at" {
				fmt.Fprintf(&row, "%s=%v ", name, values[i])
			}
		}
		list = append(list, row.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestWhatIsExportedCanBePublishedIntoAnEmptySystem(t *testing.T) {
	t.Parallel()
	b, environ := setUp(t)
	list := tale(seededRandom(t), 400)
	commitTale(t, b, environ, list)
	want := tablesOf(t, environ)
	for table, rows := range want {
		if len(rows) == 0 {
			t.Fatalf("%s is empty: there is nothing to compare", table)
		}
	}
	for _, args := range [][]string{{"export", "archive.ndjson.gz"}, {"export", "--stored", "archive.ndjson"}} {
		last := len(args) - 1
		args[last] = filepath.Join(t.TempDir(), args[last])
		r := call(t, environ, "", args...)
		r.want(t, exitOK)
		t.Logf("%s%s", r.stdout, r.stderr)
		empty, emptyEnviron := setUp(t)
		call(t, emptyEnviron, "", "publish", args[last]).want(t, exitOK)
		readOut(t, empty, emptyEnviron)
		for table, rows := range tablesOf(t, emptyEnviron) {
			if !slices.Equal(rows, want[table]) {
				t.Errorf("%v: %s has\n%s\nwant\n%s", args, table, strings.Join(rows, "\n"), strings.Join(want[table], "\n"))
			}
		}
	}
}

func TestExportWritesNormalisedEventsOfWhatIsSelected(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	testStream(t, testJetStream(t, b), 1<<20)
	call(t, environ, eventLine("one")+"\n"+strings.Replace(eventLine("two"), `"r"`, `"s"`, 1)+"\n"+eventLine("three"),
		"publish", "-").want(t, exitOK)
	if _, err := testJetStream(t, b).Publish(t.Context(), "runs.c%2E1.r", []byte("not JSON")); err != nil {
		t.Fatal(err)
	}
	r := call(t, environ, "", "export", "--run", "r")
	r.want(t, exitOK)
	line := `{"id":"%s","type":"agent.finished","campaignId":"c.1","runId":"r","phase":"1","occurredAt":"2026-01-01T00:00:00Z",` +
		`"agentId":"a","status":"succeeded","latencyMs":5}` + "\n"
	if want := fmt.Sprintf(line, "one") + fmt.Sprintf(line, "three"); r.stdout != want {
		t.Errorf("wrote\n%s\nwant\n%s", r.stdout, want)
	}
	if !strings.Contains(r.stderr, "wrote 2 events to standard output") ||
		!strings.Contains(r.stderr, "left out, as they are dead letters: 1 malformed") {
		t.Errorf("says %s", r.stderr)
	}
	r = call(t, environ, "", "export", "-", "--from-seq", "2", "--to-seq", "2", "--gzip")
	r.want(t, exitOK)
	if !strings.HasPrefix(r.stdout, "\x1f\x8b") {
		t.Errorf("wrote %q", r.stdout)
	}
}

func TestExportReplacesNothingUnasked(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	testStream(t, testJetStream(t, b), 1<<20)
	call(t, environ, eventLine("one"), "publish", "-").want(t, exitOK)
	path := writeFile(t, "precious")
	r := call(t, environ, "", "export", path)
	r.want(t, exitFailure)
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" || !strings.Contains(r.stderr, "is there already") {
		t.Errorf("the file is %q, error %v; says %s", text, err, r.stderr)
	}
	call(t, environ, "", "export", path, "--force").want(t, exitOK)
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), `"id":"one"`) {
		t.Errorf("the file is %q, error %v", text, err)
	}
	call(t, environ, "", "export", "/dev/null", "--force").want(t, exitFailure)
	call(t, environ, "", "export", "--stored", "--from", "2026-01-01").want(t, exitUsage)
	call(t, environ, "", "export", "--stream", "NONE").want(t, exitUsage)
}

func TestAnInterruptedExportLeavesNoFile(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	testStream(t, testJetStream(t, b), 1<<20)
	call(t, environ, "", "publish", "--generate", "1000").want(t, exitOK)
	path := filepath.Join(t.TempDir(), "archive.ndjson.gz")
	p := start(t, environ, "export", path, "--rate", "100")
	eventually(t, "it has begun", func() bool {
		partial, err := filepath.Glob(path + ".*.partial")
		return err == nil && len(partial) == 1
	})
	if code := p.stop(t); code != exitLeftovers || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("exit code %d, says %s", code, p.stderr.String())
	}
	if left, err := filepath.Glob(filepath.Dir(path) + "/*"); err != nil || len(left) > 0 {
		t.Errorf("left %v, error %v", left, err)
	}
}

func TestTheOperatorMayReadStreams(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	call(t, g.environ, "", "setup").want(t, exitOK)
	call(t, g.as("publisher"), "", "publish", "--generate", "20").want(t, exitOK)
	for _, args := range [][]string{{"export"}, {"export", "--from", "2026-01-01"}, {"export", "--campaign", "load-1"}} {
		r := call(t, g.environ, "", args...)
		r.want(t, exitOK)
		if strings.Count(r.stdout, "\n") != 20 || strings.Contains(r.stderr, "NATS reports an error") {
			t.Errorf("%v: wrote %d lines, says %s", args, strings.Count(r.stdout, "\n"), r.stderr)
		}
	}
	const right = "$JS.API.CONSUMER.MSG.NEXT.RUN_EVENTS."
	g.grant(t, func(users string) string { return strings.ReplaceAll(users, right+"*", "nothing") })
	r := call(t, g.environ, "", "export")
	r.want(t, exitFailure)
	if _, said, _ := strings.Cut(r.stderr, "runmetrics: read stream RUN_EVENTS: "); !strings.Contains(said, right) {
		t.Errorf("says %s", r.stderr)
	}
}
