package main

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/events"
)

// sizeOf is how large a test is: small, or what the environment says.
func sizeOf(t *testing.T, variable string, small int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// manyRunsMemory is what the README promises that the service needs at most, in bytes, whatever the number of runs.
const manyRunsMemory = 400 << 20

// testManyRuns lets the service read a day's stream of runs of one or two executions as fast as it can. Its memory does not
// grow with them. RUNMETRICS_TEST_RUNS=5000000 makes it a large day, of which stream and database take some GB each.
func testManyRuns(t *testing.T, s *system) {
	d := day{runs: sizeOf(t, "RUNMETRICS_TEST_RUNS", 50_000)}
	s.onEachStore(t, func(t *testing.T, w *world) {
		began := time.Now()
		total := publishEach(t, testJetStream(t, w.broker), d.messages(), nil)
		published := time.Since(began)
		if total < d.runs {
			t.Fatalf("%d events of %d runs", total, d.runs)
		}
		began = time.Now()
		p := w.run(t)
		p.reaches(t, uint64(total), patience+time.Duration(total)*time.Millisecond)
		took := time.Since(began)
		wantConserved(t, p)
		peak := p.peakMemory(t)
		if peak > manyRunsMemory {
			t.Errorf("%d runs needed %d MB of memory", d.runs, peak>>20)
		}
		p.terminate(t)
		w.wantStanding(t, standing{sequence: int64(total), applied: int64(total)})
		w.wantSums(t, d)
		t.Logf("%d events of %d runs, published in %s, committed in %s, %.0f/s; peak %d MB, database %d MB", total, d.runs,
			published.Round(time.Millisecond), took.Round(time.Millisecond), float64(total)/took.Seconds(), peak>>20,
			w.databaseSize(t)>>20)
	})
}

// day is a day's runs: every one has an execution, every second one another, most of them soon after the first and some
// half a day later, when the run has left the memory.
type day struct {
	runs int
}

const (
	daySoon = 1_000 // runs that begin between two executions of a run
	dayLate = 100   // one run in so many has its second execution late
)

func (d day) messages() iter.Seq[*nats.Msg] {
	halfDay := d.runs / 2
	return func(yield func(*nats.Msg) bool) {
		for at := range d.runs + halfDay + daySoon {
			soon, late := at-daySoon, at-halfDay
			if at < d.runs && !yield(d.execution(at, 1)) ||
				soon >= 0 && soon < d.runs && soon%2 == 1 && soon%dayLate != 1 && !yield(d.execution(soon, 2)) ||
				late >= 0 && late < d.runs && late%dayLate == 1 && !yield(d.execution(late, 2)) {
				return
			}
		}
	}
}

// execution is a run's execution of number n.
func (d day) execution(run, n int) *nats.Msg {
	e := events.Event{
		Key: events.Key{CampaignID: fmt.Sprintf("campaign-%d", run%50), RunID: fmt.Sprintf("run-%07d", run), Phase: "main"},
		ID:  fmt.Sprintf("%08d-0000-4000-8000-%012d", n, run), Type: events.AgentFinished,
		OccurredAt: loadStart.Add(time.Duration(run) * 24 * time.Hour / time.Duration(d.runs)).Truncate(time.Microsecond),
		AgentID:    fmt.Sprintf("agent-%d", n), AgentName: "Copywriter", Model: "atlas-large", Attempt: 1, Status: events.Succeeded,
		LatencyMs: int64(500 + run%9_000), TokensIn: int64(run), TokensOut: int64(n), AssetsGenerated: 1, Cost: events.USD(12_345_678),
	}
	return &nats.Msg{Subject: events.Subject(e.CampaignID, e.RunID), Data: events.Encode(&e)}
}

// wantSums fails the test unless the records add up to what the day's runs did.
func (w *world) wantSums(t *testing.T, d day) {
	t.Helper()
	var want, got [4]int64 // runs, executions and the tokens of both kinds
	for run := range d.runs {
		executions := int64(1 + run%2)
		for i, n := range [4]int64{1, executions, executions * int64(run), executions * (executions + 1) / 2} {
			want[i] += n
		}
	}
	db := openDatabase(t, w.environ)
	defer db.Close()
	row := db.QueryRowContext(t.Context(), "SELECT count(*), sum(executions), sum(tokens_in), sum(tokens_out) FROM campaign_metrics")
	if err := row.Scan(&got[0], &got[1], &got[2], &got[3]); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("runs, executions, tokens in and out are %d, want %d", got, want)
	}
}

// giantMemory is what the README promises that the service needs at most, in bytes, for one run of so many executions.
func giantMemory(executions int) int64 { return 300<<20 + 900*int64(executions) }

// testGiantRun follows one run of very many executions: while they come, over a kill in the middle of them, when one more
// comes after a restart, for which all the others are read back, and when it is replayed. A million of them takes
// RUNMETRICS_TEST_EXECUTIONS=1000000.
func testGiantRun(t *testing.T, s *system) {
	executions := sizeOf(t, "RUNMETRICS_TEST_EXECUTIONS", 50_000)
	l := load{Seed: 20261127, Runs: 1, Agents: executions * retryShare / (retryShare + 1)}
	n := l.perRun()
	s.onEachStore(t, func(t *testing.T, w *world) {
		limit := patience + time.Duration(n)*time.Millisecond
		check := func(p *program, when string) {
			t.Helper()
			wantConserved(t, p)
			peak := p.peakMemory(t)
			t.Logf("%s: peak %d MB", when, peak>>20)
			if most := giantMemory(executions); peak > most {
				t.Errorf("%s: a run of %d executions needed %d MB of memory, more than %d MB", when, executions, peak>>20, most>>20)
			}
		}
		publisher := w.publish(t, l, n-1, 0)
		p := w.run(t)
		p.reaches(t, uint64(n/2), limit)
		check(p, "half of them")
		p.kill(t)
		began := time.Now()
		p = w.run(t)
		publisher.want(t, exitOK, limit)
		p.reaches(t, uint64(n-1), limit)
		t.Logf("killed behind half of them: everything was committed %s later", time.Since(began).Round(time.Millisecond))
		check(p, "all of them, after a kill")
		p.terminate(t)

		p = w.run(t)
		began = time.Now()
		last := l.At(n - 1)
		publishEach(t, testJetStream(t, w.broker), one(eventMessage(&last, events.Encode(&last), "late")), nil)
		p.reaches(t, uint64(n), limit)
		t.Logf("one more after a restart was committed after %s", time.Since(began).Round(time.Millisecond))
		p.wantOracle(t, l, n)
		check(p, "read back")
		answer := p.get(t, "/api/metrics/campaign/"+last.CampaignID+"/runs/"+last.RunID)
		t.Logf("GET of the run says %d after %s, %d bytes", answer.status, answer.took.Round(time.Millisecond), len(answer.body))
		if answer.status != http.StatusOK {
			t.Errorf("the run is not shown: %s", answer.body)
		}
		check(p, "asked for")
		p.terminate(t)
		w.wantStanding(t, standingOf(l, n))

		w.measured(t, exitOK, n, giantMemory(executions), "replay")
		w.emptyRuns(t)
		w.measured(t, exitOK, n, giantMemory(executions), "replay", "--apply")
		w.measured(t, exitOK, n, giantMemory(executions), "rebuild")
	})
}

func one[T any](v T) iter.Seq[T] { return func(yield func(T) bool) { yield(v) } }

// publishWindow is how many messages are sent before their acknowledgements are waited for.
const publishWindow = 1_000

// publishEach stores messages in order and tells of each one's sequence, if stored is not nil. It returns how many.
func publishEach(t *testing.T, js jetstream.JetStream, messages iter.Seq[*nats.Msg], stored func(i int, sequence uint64)) (n int) {
	t.Helper()
	acks := make([]jetstream.PubAckFuture, 0, publishWindow)
	flush := func() {
		t.Helper()
		for _, ack := range acks {
			select {
			case ok := <-ack.Ok():
				if stored != nil {
					stored(n, ok.Sequence)
				}
			case err := <-ack.Err():
				t.Fatal(err)
			}
			n++
		}
		acks = acks[:0]
	}
	for m := range messages {
		ack, err := js.PublishMsgAsync(m)
		if err != nil {
			t.Fatal(err)
		}
		if acks = append(acks, ack); len(acks) == publishWindow {
			flush()
		}
	}
	flush()
	return n
}

// peakMemory is the most memory that the process has needed so far, in bytes; 0 where the system does not tell, and of one that
// is ending.
func (p *program) peakMemory(t testing.TB) int64 {
	t.Helper()
	return p.memory(t, "VmHWM")
}

// memory is how much memory the process has, by one of the lines of /proc/<pid>/status, in bytes; 0 where peakMemory is.
func (p *program) memory(t testing.TB, line string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if os.IsNotExist(err) || errors.Is(err, syscall.ESRCH) {
		return 0 // or it ended this moment
	}
	if err != nil {
		t.Fatal(err)
	}
	for said := range strings.Lines(string(status)) {
		if text, found := strings.CutPrefix(said, line+":"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	return 0
}
