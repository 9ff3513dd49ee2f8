package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
)

// load is generated events. It is a pure function of its fields: the same load has the same events, ids and times
// included, whenever and wherever it is made. So publishing it again changes nothing, and a test can work out what must
// be stored.
//
// A run has one run.started, one execution of each agent, retries of those that failed at first, and one run.finished.
type load struct {
	Seed   uint64
	Runs   int // runs whose events alternate; the next ones begin when all of these are over
	Agents int // of each run
	// Duplicates is how many percent of the events are sent a second time, a while later.
	Duplicates int
}

const (
	// retryShare is one agent in so many that fails at its first attempt and is tried again.
	retryShare = 8
	// repeatDelay is how many events lie between an event and its repetition.
	repeatDelay = 500
	// eventSpacing is the time between two events of a load, as they say themselves.
	eventSpacing = 20 * time.Millisecond
)

// loadStart is when the first event of a load says that it happened. The clock must not be asked: it would make other
// events of the same ids.
var loadStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// perRun is how many events a run has.
func (l load) perRun() int { return 1 + l.Agents + l.retries() + 1 }

func (l load) retries() int { return (l.Agents + retryShare/2) / retryShare }

// At returns event number i, from 0 on.
func (l load) At(i int) events.Event {
	block, within := i/(l.Runs*l.perRun()), i%(l.Runs*l.perRun())
	run, place := block*l.Runs+within%l.Runs, within/l.Runs
	random := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	e := events.Event{
		Key:        events.Key{CampaignID: fmt.Sprintf("load-%d", l.Seed), RunID: fmt.Sprintf("run-%06d", run), Phase: "load"},
		ID:         randomUUID(random).String(),
		OccurredAt: loadStart.Add(time.Duration(i) * eventSpacing),
	}
	switch {
	case place == 0:
		e.Type, e.AgentsExpected = events.RunStarted, int64(l.Agents)
	case place == l.perRun()-1:
		e.Type, e.Outcome = events.RunFinished, events.OutcomeCompleted
	case place <= l.Agents:
		agent := place - 1
		l.execute(&e, random, agent, 1, l.retried(run, agent))
	default:
		l.execute(&e, random, l.retriedAgent(run, place-l.Agents-1), 2, random.IntN(5) == 0)
	}
	return e
}

// retriedAgent is the agent of a run's retry number n. The retried agents stand at equal distances, shifted by run.
func (l load) retriedAgent(run, n int) int { return (n*l.Agents/l.retries() + run) % l.Agents }

// retried is the inverse: whether any retry of the run is the agent's.
func (l load) retried(run, agent int) bool {
	retries := l.retries()
	if retries == 0 {
		return false
	}
	unshifted := ((agent-run)%l.Agents + l.Agents) % l.Agents
	n := (unshifted*retries + l.Agents - 1) / l.Agents
	return n < retries && l.retriedAgent(run, n) == agent
}

// execute makes e an execution of an agent.
func (l load) execute(e *events.Event, random *rand.Rand, agent int, attempt int64, fails bool) {
	role := roles[agent%len(roles)]
	e.Type = events.AgentFinished
	e.AgentID, e.AgentName, e.Attempt = fmt.Sprintf("agent-%05d", agent), role.Name, attempt
	work := role.work(random)
	work.fill(e)
	switch {
	case fails:
		work.fail(e, random)
	case random.IntN(200) == 0:
		e.Status, e.AssetsGenerated = events.Cancelled, 0
	}
}

// All gives the first n events in order, and between them, marked as repeated, those that are sent again.
func (l load) All(n int) iter.Seq2[events.Event, bool] {
	return func(yield func(events.Event, bool) bool) {
		for i := range n + repeatDelay {
			if i < n && !yield(l.At(i), false) {
				return
			}
			if earlier := i - repeatDelay; earlier >= 0 && earlier < n && l.repeats(earlier) && !yield(l.At(earlier), true) {
				return
			}
		}
	}
}

// repeats tells whether event number i is sent a second time.
func (l load) repeats(i int) bool {
	return rand.New(rand.NewPCG(^l.Seed, uint64(i))).IntN(100) < l.Duplicates
}

// Len is how many events All gives.
func (l load) Len(n int) int {
	total := n
	for i := range n {
		if l.Duplicates > 0 && l.repeats(i) {
			total++
		}
	}
	return total
}

func randomUUID(random *rand.Rand) uuid.UUID {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], random.Uint64())
	binary.BigEndian.PutUint64(b[8:], random.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4, RFC 9562
	return b
}

// role is a kind of agent: what it is called, how long it takes and what it uses.
type role struct {
	Name   string
	Model  string
	Median time.Duration // of its latency, which is log-normal: most are near it, a few take many times as long
	Tokens int64         // read, typically
	Assets int64         // made at most
}

var roles = []role{
	{"Researcher", "atlas-large", 4200 * time.Millisecond, 9000, 0},
	{"Copywriter", "atlas-large", 2600 * time.Millisecond, 3200, 3},
	{"Designer", "canvas-2", 6800 * time.Millisecond, 1400, 4},
	{"Fact checker", "atlas-mini", 1100 * time.Millisecond, 2600, 0},
	{"Translator", "atlas-mini", 900 * time.Millisecond, 1900, 1},
	{"Reviewer", "atlas-large", 1800 * time.Millisecond, 4100, 1},
}

// tokenPrices are nano-dollars for a token read and a token written.
var tokenPrices = map[string][2]events.Nanos{
	"atlas-large": {2_500, 10_000},
	"atlas-mini":  {150, 600},
	"canvas-2":    {1_250, 40_000},
}

// failures are what runtimes write when an agent fails.
var failures = []string{
	"model provider answered 429: rate limit reached",
	"tool call timed out after 30 s",
	"output did not match the expected schema",
	"content filter refused the answer",
}

// effort is what one execution took.
type effort struct {
	role    role
	latency time.Duration
	in, out int64
	assets  int64
	priced  bool // the runtime told what it cost
}

func (r role) work(random *rand.Rand) effort {
	spread := func(sigma float64) float64 { return math.Exp(sigma * random.NormFloat64()) }
	w := effort{role: r, latency: time.Duration(float64(r.Median) * spread(0.6))}
	w.in = int64(float64(r.Tokens) * spread(0.4))
	w.out = int64(float64(r.Tokens) * 0.3 * spread(0.5))
	if r.Assets > 0 {
		w.assets = 1 + random.Int64N(r.Assets)
	}
	w.priced = random.IntN(500) > 0
	return w
}

// fill makes e a successful execution.
func (w effort) fill(e *events.Event) {
	e.Model, e.Status = w.role.Model, events.Succeeded
	e.LatencyMs = w.latency.Milliseconds()
	e.TokensIn, e.TokensOut, e.AssetsGenerated = w.in, w.out, w.assets
	e.Cost = w.cost()
}

func (w effort) cost() events.Cost {
	if !w.priced {
		return events.Cost{}
	}
	price := tokenPrices[w.role.Model]
	return events.USD(events.Nanos(w.in)*price[0] + events.Nanos(w.out)*price[1])
}

// fail makes the execution one that failed after it had spent its money.
func (w effort) fail(e *events.Event, random *rand.Rand) {
	e.Status, e.AssetsGenerated = events.Failed, 0
	e.Error = failures[random.IntN(len(failures))]
}

// result is how the execution ended, for a runtime that measures the latency.
func (w effort) result(succeeded bool, random *rand.Rand) publish.Result {
	r := publish.Result{Status: events.Succeeded, TokensIn: w.in, TokensOut: w.out, AssetsGenerated: w.assets, Cost: w.cost()}
	if !succeeded {
		r.Status, r.AssetsGenerated, r.Error = events.Failed, 0, failures[random.IntN(len(failures))]
	}
	return r
}
