package dataverse

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// TestSimulation lets everything happen that may: outages of both sides, lost answers, storms of 429, tokens that end,
// rows that are refused, processes that are killed, stopped and woken, owners that do not know of each other. Whatever
// happened, in the end every row equals the store's record or is parked with the reason. RUNMETRICS_TEST_SEED repeats one.
func TestSimulation(t *testing.T) {
	rounds, seed := 12, rand.Uint64()
	if testing.Short() {
		rounds = 3
	}
	if s := os.Getenv("RUNMETRICS_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
		rounds = 1
	}
	for round := range rounds {
		seed := seed + uint64(round)
		t.Run(fmt.Sprint("seed-", seed), func(t *testing.T) {
			inWorld(t, emulator.Config{Limits: emulator.DefaultLimits()}, func(w *world) {
				s := &simulation{world: w, r: rand.New(rand.NewPCG(seed, 0)), next: map[string]int{}}
				s.run()
			})
		})
	}
}

type simulation struct {
	*world
	r       *rand.Rand
	next    map[string]int // the next event of each run
	owner   *process
	sleeper *process // stopped, and taken for dead
	wake    func()
}

func (s *simulation) run() {
	s.takeOver()
	s.key(s.owner, "apex_campaignid", "apex_runid", "apex_phase")
	for n := range 3 {
		s.insert(Row{"apex_campaignid": "campaign", "apex_runid": fmt.Sprint("taken-", n), "apex_phase": "1"})
	}
	for range 150 {
		s.step()
		time.Sleep(time.Duration(s.r.Int64N(int64(3 * time.Second))))
	}
	s.organization.ClearFaults()
	s.network.down.Store(false)
	s.awake()
	s.takeOver()
	s.settled()
	s.check()
}

// step lets one thing happen.
func (s *simulation) step() {
	switch n := s.r.IntN(100); {
	case n < 60:
		s.change()
	case n < 75:
		s.organization.Inject(s.fault())
	case n < 80:
		s.outage(time.Duration(s.r.Int64N(int64(2 * time.Minute))))
	case n < 84:
		s.owner.kill()
		s.takeOver()
	case n < 88:
		s.stop()
	case n < 91:
		s.awake()
	case n < 94: // another pin, and perhaps nobody tells the former owner
		if former := s.owner; s.r.IntN(2) == 0 {
			former.Own(false)
		}
		s.takeOver()
	case n < 97:
		s.owner.Own(true) // it got another pin itself
	default:
		time.Sleep(61 * time.Minute) // a token's life
	}
}

// change commits events of a few runs. One announcement in twenty is lost.
func (s *simulation) change() {
	var list []events.Event
	for range 1 + s.r.IntN(8) {
		run := fmt.Sprint("run-", s.r.IntN(40))
		switch s.r.IntN(15) {
		case 0:
			run = fmt.Sprint("taken-", s.r.IntN(3))
		case 1:
			run = fmt.Sprint("rich-", s.r.IntN(3))
		case 2:
			if s.next[run] > 0 {
				list = append(list, closing(run))
				continue
			}
		}
		e := execution(run, s.next[run])
		if s.next[run]++; run[:4] == "rich" && s.next[run] > 3 {
			e.Cost = events.USD(60_000 * events.NanosPerUSD)
		}
		list = append(list, e)
	}
	if s.r.IntN(20) == 0 {
		s.commitSilently(list...)
		return
	}
	s.commit(list...)
}

// fault is one that Dataverse, its gateway or the network may have.
func (s *simulation) fault() emulator.Fault {
	f := emulator.Fault{Times: 1 + s.r.IntN(4), Path: "UpsertMultiple"}
	switch s.r.IntN(10) {
	case 0, 1:
		f.Kind = "drop-before"
	case 2, 3:
		f.Kind = "drop-after"
	case 4:
		f.Kind, f.RetryAfter, f.Times = "throttle", time.Duration(1+s.r.IntN(30))*time.Second, 1+s.r.IntN(30)
	case 5:
		f.Kind, f.Status = "error", []int{500, 502, 503, 504}[s.r.IntN(4)]
	case 6:
		f.Kind, f.Status, f.RetryAfter = "error", 503, time.Duration(1+s.r.IntN(10))*time.Second
	case 7:
		f.Kind, f.Delay = "slow", time.Duration(s.r.Int64N(int64(testLinger/2)))
	case 8:
		f.Kind, f.Delay = "slow-after", time.Duration(s.r.Int64N(int64(testLinger/2)))
	case 9:
		f.Kind = "expired-token"
	}
	return f
}

// outage takes Dataverse away for a while.
func (s *simulation) outage(d time.Duration) {
	s.network.down.Store(true)
	for _, p := range s.processes {
		p.transport.CloseIdleConnections()
	}
	time.AfterFunc(d, func() { s.network.down.Store(false) })
}

// stop stops the owner, with whatever it has under way, and lets another take over.
func (s *simulation) stop() {
	if s.sleeper != nil {
		return
	}
	s.sleeper, s.wake = s.owner, s.owner.pause()
	s.takeOver()
}

// awake wakes the process that was stopped. It finds out that it is not the owner any more, or is killed first.
func (s *simulation) awake() {
	if s.sleeper == nil {
		return
	}
	sleeper := s.sleeper
	s.sleeper = nil
	if s.r.IntN(4) == 0 {
		sleeper.killed.Store(true)
	}
	s.wake()
	sleeper.Own(false)
}

// takeOver starts a process that gets the pin. Its store fails now and then.
func (s *simulation) takeOver() {
	seed := s.r.Uint64()
	s.owner = s.start(func(_ context.Context, m sinktest.Method, n int) sinktest.Fault {
		switch rand.New(rand.NewPCG(seed, uint64(n)<<8+uint64(len(m)))).IntN(40) {
		case 0:
			return sinktest.NotStored
		case 1:
			return sinktest.Stored
		}
		return sinktest.None
	})
	s.owner.Own(true)
}

// check compares every run.
func (s *simulation) check() {
	s.t.Helper()
	rows := s.rows()
	copies, err := s.store.Copies(context.Background(), sinks.CopyFilter{}, [16]byte{}, 1000)
	if err != nil || len(copies) != len(s.next) {
		s.t.Fatalf("%d of %d runs, %v", len(copies), len(s.next), err)
	}
	table := s.table()
	parked := 0
	for _, c := range copies {
		m := &c.Metrics
		_, misfit := table.Row(m, m.RunKey)
		taken := m.RunID[:4] == "take"
		switch {
		case misfit != nil:
			wantText(s.t, c.Parked, "apex_costusd")
		case taken:
			wantText(s.t, c.Parked, codeKeyTaken)
		case c.Parked != "":
			s.t.Errorf("%s is parked: %s", m.RunID, c.Parked)
		default:
			if differ := table.Same(m, rows[m.RunKey]); len(differ) > 0 {
				s.t.Errorf("%s, version %d, delivered %d: %+v", m.RunID, m.Version, c.Delivered, differ)
			}
			continue
		}
		parked++
	}
	if n := s.standing().Parked; n != int64(parked) {
		s.t.Errorf("%d are parked, want %d", n, parked)
	}
	stats := s.organization.Stats()
	s.t.Logf("%d runs, %d processes, %d requests, %d rows sent, %v throttled", len(copies), len(s.processes), stats.Requests, stats.Targets, stats.Throttled)
}
