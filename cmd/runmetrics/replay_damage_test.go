package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestDamageUnderLiveLoadIsFoundExactlyAndRepaired damages tables at random while the service commits other runs. A dry run
// finds each damaged run, and what was done to it, and nothing else; --apply repairs it; a second dry run finds nothing.
// RUNMETRICS_TEST_RUNS is how often, RUNMETRICS_TEST_SEED repeats one.
func TestDamageUnderLiveLoadIsFoundExactlyAndRepaired(t *testing.T) {
	t.Parallel()
	rounds := 2
	if s := os.Getenv("RUNMETRICS_TEST_RUNS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatalf("RUNMETRICS_TEST_RUNS: %v", err)
		}
	}
	if testing.Short() {
		rounds = 1
	}
	for _, store := range []string{"sqlite", "postgres"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			b, environ := testBroker(t)
			environ["LOG_FORMAT"] = "json"
			if store == "postgres" {
				environ["DATABASE_URL"] = sinktest.StartPostgres(t, "fsync=off").CreateDatabase(t)
			}
			call(t, environ, "", "setup").want(t, exitOK)
			d := &damaging{T: t, random: seededRandom(t), broker: b, environ: environ, db: openWritable(t, environ)}
			d.begin()
			for range rounds {
				d.round()
			}
			d.end()
		})
	}
}

// damaging is a service whose tables somebody damages.
type damaging struct {
	*testing.T
	random  *rand.Rand
	broker  *broker
	environ map[string]string
	db      *sql.DB

	service *process
	api     string
	live    *process       // publishes all the while
	began   time.Time      // when it began to
	quiet   []events.Event // what was published besides, in its order
}

// openWritable opens the store's database as somebody with a shell does.
func openWritable(t *testing.T, environ map[string]string) *sql.DB {
	t.Helper()
	driver, source := "pgx", environ["DATABASE_URL"]
	if source == "" {
		file := url.URL{Scheme: "file", Path: filepath.Join(environ["DATA_DIR"], "runmetrics.db"),
			RawQuery: "_pragma=busy_timeout(20000)"}
		driver, source = "sqlite", file.String()
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// liveRate is how many events a second the service gets meanwhile.
const liveRate = 150

// liveLoad is what the service works on meanwhile; quietLoad makes runs that are damaged.
var (
	liveLoad  = load{Seed: 2, Runs: 10, Agents: 6}
	quietLoad = load{Seed: 1, Runs: 12, Agents: 5}
)

// begin publishes what will be damaged and starts what goes on all the while.
func (d *damaging) begin() {
	d.Helper()
	d.quiet = tale(d.random, 300)
	for e, again := range quietLoad.All(300) {
		if !again {
			d.quiet = append(d.quiet, e)
		}
	}
	d.send(d.quiet)
	d.service = startService(d.T, d.environ)
	d.api = d.service.up(d.T).API
	d.caughtUp()
	d.live = start(d.T, d.environ, "publish", "--generate", "1000000", "--seed", fmt.Sprint(liveLoad.Seed),
		"--runs", fmt.Sprint(liveLoad.Runs), "--agents", fmt.Sprint(liveLoad.Agents), "--rate", fmt.Sprint(liveRate))
	d.began = time.Now()
}

// send publishes events as they are, without message ids.
func (d *damaging) send(list []events.Event) {
	d.Helper()
	js := testJetStream(d.T, d.broker)
	for i := range list {
		m := &nats.Msg{Subject: events.Subject(list[i].CampaignID, list[i].RunID), Data: events.Encode(&list[i])}
		if _, err := js.PublishMsg(d.Context(), m); err != nil {
			d.Fatal(err)
		}
	}
}

// caughtUp waits until the service has committed what the stream holds by now.
func (d *damaging) caughtUp() {
	d.Helper()
	stream, err := testJetStream(d.T, d.broker).Stream(d.Context(), "RUN_EVENTS")
	if err != nil {
		d.Fatal(err)
	}
	eventually(d.T, "everything is committed", func() bool {
		var position uint64
		err := d.db.QueryRowContext(d.Context(), "SELECT coalesce(max(sequence), 0) FROM stream_positions").Scan(&position)
		return err == nil && position >= stream.CachedInfo().State.LastSeq
	})
}

// round damages some runs, and has them found and repaired. A late event for each tells whether the service, which has them
// in memory, goes on with what is stored.
func (d *damaging) round() {
	d.Helper()
	want := d.damage()
	dry := d.replay(exitLeftovers)
	d.compare(dry, want, false)
	d.compare(d.replay(exitOK, "--apply", "--limit", "1000"), want, true)
	again := d.replay(exitOK)
	if again.Counts.Equal != again.Counts.Runs || again.Counts.Runs < dry.Counts.Runs {
		d.Errorf("after the repair: %+v", again.Counts)
	}
	late := make([]events.Event, 0, len(want))
	for _, key := range slices.SortedFunc(maps.Keys(want), func(a, b events.Key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		e := taleEvent(d.random, key)
		e.ID = fmt.Sprintf("late %d", len(d.quiet)+len(late))
		late = append(late, e)
	}
	d.send(late)
	d.quiet = append(d.quiet, late...)
	d.caughtUp()
}

// replay runs the command beside the service.
func (d *damaging) replay(code int, args ...string) compareReport {
	d.Helper()
	r := call(d.T, d.environ, "", append([]string{"replay", "--output", "json", "--limit", "1000"}, args...)...)
	r.want(d.T, code)
	var report compareReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		d.Fatal(err)
	}
	return report
}

// harm is what was done to a run, as a difference must say it.
type harm struct {
	verdict           replay.Verdict
	fields            []string
	executions, other int64
}

// compare fails the test unless exactly the damage was found.
func (d *damaging) compare(report compareReport, want map[events.Key]harm, repaired bool) {
	d.Helper()
	found := make(map[events.Key]harm)
	for _, r := range report.Differences {
		h := harm{verdict: r.Verdict, executions: r.Executions, other: r.OtherEvents}
		for _, f := range r.Fields {
			if r.Verdict == replay.Different {
				h.fields = append(h.fields, f.Field)
			}
		}
		found[events.Key{CampaignID: r.CampaignID, RunID: r.RunID, Phase: r.Phase}] = h
		if r.Repaired != repaired {
			d.Errorf("%+v", r)
		}
	}
	for key, h := range want {
		if fmt.Sprintf("%+v", found[key]) != fmt.Sprintf("%+v", h) {
			d.Errorf("%v: found %+v, want %+v", key, found[key], h)
		}
		delete(found, key)
	}
	if len(found) > 0 {
		d.Errorf("found besides: %+v", found)
	}
	if left := report.Left; (left == 0) != repaired || report.Applied != repaired {
		d.Errorf("%d left, applied %t", left, report.Applied)
	}
}

// damage does something to about a third of the quiet runs.
func (d *damaging) damage() map[events.Key]harm {
	d.Helper()
	done := make(map[events.Key]harm)
	for _, m := range d.records() {
		if m.CampaignID == liveLoad.At(0).CampaignID || d.random.IntN(3) > 0 && len(done) > 0 {
			continue
		}
		of := " WHERE run_key = '" + m.RunKey.String() + "'"
		eventsOf := " WHERE number = (SELECT number FROM campaign_metrics" + of + ")"
		switch kind := d.random.IntN(6); {
		case kind == 0:
			d.exec("DELETE FROM campaign_metrics" + of)
			done[m.Key()] = harm{verdict: replay.Missing}
		case kind == 1:
			h := d.dropCommit(eventsOf)
			done[m.Key()] = h
		case kind == 3 && m.LatencyMaxMs != nil:
			d.exec("UPDATE event_chunks SET latencies = " + d.oneLatency() + eventsOf)
			done[m.Key()] = harm{verdict: replay.Different}
		case kind == 2 && m.Source == aggregate.FromEvents:
			if d.exec("DELETE FROM voided_events"+of) > 0 {
				done[m.Key()] = harm{verdict: replay.Different}
				continue
			}
			fallthrough
		default:
			done[m.Key()] = d.changeFigures(of)
		}
	}
	d.Logf("damaged %d runs", len(done))
	return done
}

// figures are columns that always have a value, in the order of the record, as the API names them.
var figures = []struct{ column, field string }{{"agents_total", "agentsTotal"}, {"agents_successful", "agentsSuccessful"},
	{"assets_generated", "assetsGenerated"}, {"tokens_in", "tokensIn"}, {"tokens_out", "tokensOut"}, {"cost_usd", "costUSD"},
	{"latency_p95_ms", "latencyP95Ms"}}

func (d *damaging) changeFigures(of string) harm {
	d.Helper()
	h := harm{verdict: replay.Different}
	var set []string
	for i, f := range figures {
		if d.random.IntN(2) == 0 || i == len(figures)-1 && set == nil {
			value := fmt.Sprintf("coalesce(%s, 0) + %d", f.column, 1+d.random.IntN(9))
			if f.column == "cost_usd" {
				value = "'123456.789'"
			}
			set = append(set, f.column+" = "+value)
			h.fields = append(h.fields, f.field)
		}
	}
	d.exec("UPDATE campaign_metrics SET " + strings.Join(set, ", ") + of)
	return h
}

// oneLatency is what a commit stores that added one latency of a minute and a half, which no event has.
func (d *damaging) oneLatency() string {
	if d.environ["DATABASE_URL"] == "" {
		return "x'a0fe0a'"
	}
	return `'\xa0fe0a'::bytea`
}

// dropCommit removes what one commit stored of a run.
func (d *damaging) dropCommit(of string) harm {
	d.Helper()
	h := harm{verdict: replay.Different}
	var version int64
	var text string
	if err := d.db.QueryRowContext(d.Context(), "SELECT version, events FROM event_chunks"+of+
		" AND events <> '[]' ORDER BY events LIMIT 1").Scan(&version, &text); err != nil {
		d.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		d.Fatal(err)
	}
	for _, e := range list {
		if e[0] == '[' {
			h.executions++
		} else {
			h.other++
		}
	}
	d.exec(fmt.Sprintf("DELETE FROM event_chunks%s AND version = %d", of, version))
	return h
}

func (d *damaging) exec(statement string) int64 {
	d.Helper()
	result, err := d.db.ExecContext(d.Context(), statement)
	if err != nil {
		d.Fatalf("%s: %v", statement, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		d.Fatal(err)
	}
	return n
}

// records are all that the API lists.
func (d *damaging) records() (all []aggregate.Metrics) {
	d.Helper()
	query := url.Values{"limit": {"500"}}
	for {
		var page struct {
			Metrics    []aggregate.Metrics
			NextCursor *string
		}
		get(d.T, d.api+"/api/metrics/campaign?"+query.Encode(), &page)
		all = append(all, page.Metrics...)
		if page.NextCursor == nil {
			return all
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// end compares all that the service has stored with what an oracle makes of the events.
func (d *damaging) end() {
	d.Helper()
	if code := d.live.stop(d.T); code != exitLeftovers {
		d.Fatalf("publish ends with %d: %s", code, d.live.stderr.String())
	}
	// More than were published: what is missing follows, the rest are duplicates.
	all := int(liveRate*time.Since(d.began).Seconds()) + 1000
	publishLoad(d.T, d.environ, liveLoad, all)
	d.caughtUp()
	want := oracle(liveLoad, all)
	runs := make(map[events.Key]*aggregate.Run)
	for i := range d.quiet {
		e := &d.quiet[i]
		if runs[e.Key] == nil {
			runs[e.Key] = aggregate.NewRun(e.Key)
		}
		runs[e.Key].Apply(e)
	}
	pools := make(map[string]*aggregate.Pool)
	for key, run := range runs {
		want[key] = run.Metrics()
		if pools[key.CampaignID] == nil {
			pools[key.CampaignID] = new(aggregate.Pool)
		}
		if want[key].Source == aggregate.FromEvents {
			for _, change := range run.TakeLatencyChanges() {
				pools[key.CampaignID].Change(change)
			}
		}
	}
	d.summaries(pools)
	for _, got := range d.records() {
		got.Version, got.UpdatedAt = 0, time.Time{}
		expected := want[got.Key()]
		delete(want, got.Key())
		if a, b := asText(d.T, got), asText(d.T, expected); a != b {
			d.Errorf("run %v\n got %s\nwant %s", got.Key(), a, b)
		}
	}
	if len(want) > 0 {
		d.Errorf("%d records are missing", len(want))
	}
	if code := d.service.stop(d.T); code != exitOK {
		d.Errorf("exit code %d: %s", code, d.service.stderr.String())
	}
}

// summaries compares the latencies of campaigns, after all damage and repair, with those of their events.
func (d *damaging) summaries(want map[string]*aggregate.Pool) {
	d.Helper()
	for campaign, pool := range want {
		var got struct{ LatencyAvgMs, LatencyP50Ms, LatencyP95Ms, LatencyP99Ms, LatencyMaxMs, LatencyAgents *int64 }
		get(d.T, d.api+"/api/metrics/campaign/"+events.EncodeToken(campaign)+"/summary", &got)
		stats, _ := pool.Stats()
		for i, pair := range [][2]*int64{{got.LatencyAvgMs, stats.AvgMs}, {got.LatencyP50Ms, stats.P50Ms}, {got.LatencyP95Ms, stats.P95Ms},
			{got.LatencyP99Ms, stats.P99Ms}, {got.LatencyMaxMs, stats.MaxMs}, {got.LatencyAgents, &stats.Count}} {
			if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && *pair[0] != *pair[1] {
				d.Errorf("summary of %q: number %d is not that of its events: %+v", campaign, i, got)
			}
		}
	}
}
