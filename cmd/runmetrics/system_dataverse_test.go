package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// tenant is a world whose services keep a copy in an organization, which the test's process emulates.
type tenant struct {
	*world
	organization *emulator.Emulator
	table        *dataverse.Table
}

// withDataverse gives the world an organization.
func (w *world) withDataverse(t *testing.T, c emulator.Config) *tenant {
	t.Helper()
	c.ClientSecret = organizationSecret
	organization, err := emulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := organization.Close(); err != nil {
			t.Error(err)
		}
	})
	maps.Copy(w.environ, testOrganization(t, organization))
	return &tenant{world: w, organization: organization, table: testTable(t, testClient(t, w.environ))}
}

// rows are the organization's, by id.
func (o *tenant) rows(t *testing.T) map[uuid.UUID]dataverse.Row {
	t.Helper()
	rows := make(map[uuid.UUID]dataverse.Row)
	for _, row := range o.organization.Rows(o.table.EntitySet) {
		id, err := uuid.Parse(fmt.Sprint(row[o.table.PrimaryID]))
		if err != nil {
			t.Fatal(err)
		}
		rows[id] = row
	}
	return rows
}

// differing counts the records whose row is not there or not equal.
func (o *tenant) differing(t *testing.T, records []aggregate.Metrics) (n int, example string) {
	t.Helper()
	rows := o.rows(t)
	for i := range records {
		row, found := rows[records[i].RunKey]
		if differ := o.table.Same(&records[i], row); !found || len(differ) > 0 {
			n++
			example = fmt.Sprintf("%s: found %t, %+v", records[i].RunID, found, differ)
		}
	}
	return n, example
}

// wantCopies waits until every record that the service lists has its row.
func (o *tenant) wantCopies(t *testing.T, p *program, campaign string, limit time.Duration) {
	t.Helper()
	records := p.list(t, campaign)
	var n int
	var example string
	deadline := time.After(limit)
	for n, example = o.differing(t, records); n > 0; n, example = o.differing(t, records) {
		select {
		case <-deadline:
			t.Fatalf("after %s %d of %d rows differ, such as %s", limit, n, len(records), example)
		case <-time.After(200 * time.Millisecond): // comparing all of them is work
		}
	}
}

// testDataverseLoad writes runs as fast as the pipeline goes, to an organization with the service's limits. 100,000 runs
// take RUNMETRICS_TEST_RUNS=100000.
func testDataverseLoad(t *testing.T, s *system) {
	runs := 20_000
	if text := os.Getenv("RUNMETRICS_TEST_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	o := s.onPostgres(t).withDataverse(t, emulator.Config{Limits: emulator.DefaultLimits(), Latency: 20 * time.Millisecond})
	l := load{Seed: 20261125, Runs: 40, Agents: 10}
	n := runs * l.perRun()
	began := time.Now()
	publisher := o.publish(t, l, n, 0)
	p := o.run(t)
	publisher.want(t, exitOK, 10*patience)
	p.reaches(t, uint64(n), 10*patience)
	committed := time.Since(began)
	o.wantCopies(t, p, l.At(0).CampaignID, 10*patience)
	stats := o.organization.Stats()
	throttled := 0
	for _, times := range stats.Throttled {
		throttled += int(times)
	}
	t.Logf("%d runs of %d agents: %d events committed in %s, all copied after %s; %d requests, %d rows sent, %d answers of 429, %d requests before their Retry-After, at most %d at once",
		runs, l.Agents, n, committed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), stats.Requests, stats.Targets,
		throttled, stats.WhileThrottled, stats.MaxConcurrent)
	if throttled > 5 || stats.WhileThrottled > 0 {
		t.Errorf("%d times 429, %d requests before their Retry-After", throttled, stats.WhileThrottled)
	}
	if got := len(o.rows(t)); got != runs {
		t.Errorf("%d rows, want %d", got, runs)
	}
	o.call(t, o.environ, "dataverse", "reconcile")
	p.terminate(t)
}

// testDataverseKill kills the service with SIGKILL while it copies, and cuts off answers meanwhile.
func testDataverseKill(t *testing.T, s *system) {
	s.onEachStore(t, func(t *testing.T, w *world) {
		o := w.withDataverse(t, emulator.Config{Latency: 30 * time.Millisecond})
		seed := rand.Uint64()
		random := rand.New(rand.NewPCG(seed, 0))
		t.Logf("moments of seed %d", seed)
		l := load{Seed: 20261126, Runs: 40, Agents: 10}
		const n, rate = 60_000, 10_000
		publisher := o.publish(t, l, n, rate)
		for i := range 3 {
			p := o.run(t)
			p.reaches(t, uint64(n/20+i*n/4)+random.Uint64N(n/5), patience)
			for _, kind := range []string{"drop-before", "drop-after"} {
				o.organization.Inject(emulator.Fault{Kind: kind, Path: "UpsertMultiple", Times: 1 + random.IntN(3)})
			}
			<-time.After(time.Duration(random.IntN(100)) * time.Millisecond) // somewhere in a request
			p.kill(t)
		}
		o.organization.ClearFaults()
		p := o.run(t)
		publisher.want(t, exitOK, patience)
		p.reaches(t, n, patience)
		o.wantCopies(t, p, l.At(0).CampaignID, patience)
		o.call(t, o.environ, "dataverse", "reconcile")
		p.terminate(t)
	})
}

// testDataverseStop stops a replica in the middle of a request, whose rows are written long after another replica has
// taken over and written newer ones. Before, a row that somebody changed by hand is put right by another process.
func testDataverseStop(t *testing.T, s *system) {
	o := s.onPostgres(t).withDataverse(t, emulator.Config{Latency: 20 * time.Millisecond})
	first, second := o.run(t), o.run(t)
	l := load{Seed: 20261127, Runs: 5, Agents: 20}
	campaign := l.At(0).CampaignID
	block := l.Runs * l.perRun()
	o.publish(t, l, block/4, 0).want(t, exitOK, patience)
	until(t, patience, "one replica is active, the other stands by", func() bool {
		if first.ready(t).State == "standby" {
			first, second = second, first
		}
		return first.ready(t).State == "active" && second.ready(t).State == "standby"
	})
	o.wantCopies(t, first, campaign, patience)

	// A run of its own: those before may have been sent by either replica, and are sent once more.
	other := load{Seed: 20261128, Runs: 1, Agents: 2}
	o.publish(t, other, other.perRun(), 0).want(t, exitOK, patience)
	first.reaches(t, uint64(block/4+other.perRun()), patience)
	o.wantCopies(t, first, other.At(0).CampaignID, patience)
	record := first.list(t, other.At(0).CampaignID)[0]
	client := testClient(t, o.environ)
	if err := client.Update(t.Context(), o.table.EntitySet, record.RunKey, dataverse.Row{"apex_costusd": int64(0)}); err != nil {
		t.Fatal(err)
	}
	o.start(t, o.environ, "dataverse", "reconcile").want(t, exitLeftovers, patience)
	o.call(t, o.environ, "dataverse", "reconcile", "--repair")
	o.wantCopies(t, first, other.At(0).CampaignID, patience)

	// The next request takes place after the standby has taken over.
	const late = 3 * pinLife / 2
	o.organization.Inject(emulator.Fault{Kind: "slow", Path: "UpsertMultiple", Times: 1, Delay: late})
	asked := o.organization.Stats().Requests
	o.publish(t, l, block/2, 0).want(t, exitOK, patience) // the broker drops what it has of it
	until(t, patience, "a request is under way", func() bool { return o.organization.Stats().Requests > asked })
	stopped := time.Now()
	first.signal(t, syscall.SIGSTOP)
	o.publish(t, l, block, 0).want(t, exitOK, patience)
	second.reaches(t, uint64(block+other.perRun()), patience)
	o.wantCopies(t, second, campaign, late-time.Since(stopped))
	t.Logf("the other replica wrote the newest rows %s after the first was stopped", time.Since(stopped).Round(time.Millisecond))
	until(t, patience, "the late request writes older rows over them", func() bool {
		n, _ := o.differing(t, second.list(t, campaign))
		return n > 0
	})
	first.signal(t, syscall.SIGCONT)
	woken := time.Now()
	o.wantCopies(t, second, campaign, patience)
	t.Logf("the newest rows stand again %s after it was woken", time.Since(woken).Round(time.Millisecond))

	first.terminate(t)
	second.terminate(t)
}

func (p *program) signal(t *testing.T, which syscall.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(which); err != nil {
		t.Fatal(err)
	}
}

// testDataverseSecret gives a service a secret that is not accepted, and looks for it in all that it says. The pipeline
// goes on meanwhile.
func testDataverseSecret(t *testing.T, s *system) {
	o := s.onSQLite(t).withDataverse(t, emulator.Config{})
	const secret = "Q8~not.the-right~secret_of_anybody"
	environ := with(o.environ, map[string]string{"DATAVERSE_CLIENT_SECRET": secret, "LOG_LEVEL": "debug"})
	p := o.serve(t, environ, "run")
	l := load{Seed: 1, Runs: 5, Agents: 10}
	o.publish(t, l, 100, 0).want(t, exitOK, patience)
	p.reaches(t, 100, patience)
	var said string
	until(t, patience, "the service says what is wrong", func() bool {
		said = string(p.get(t, "/readyz").body)
		return strings.Contains(said, "DATAVERSE_CLIENT_SECRET")
	})
	doctor := o.start(t, environ, "doctor")
	doctor.want(t, exitFailure, patience)
	said += p.stderr.String() + p.stdout.String() + doctor.stdout.String() + doctor.stderr.String()
	if strings.Contains(said, secret) {
		t.Error("the secret is shown")
	}
	if r := p.ready(t); r.State != "degraded" {
		t.Errorf("state %s with a copy that is blocked", r.State)
	}
	p.terminate(t)
	// With the right one everything arrives.
	p = o.run(t)
	o.wantCopies(t, p, l.At(0).CampaignID, patience)
	p.terminate(t)
}
