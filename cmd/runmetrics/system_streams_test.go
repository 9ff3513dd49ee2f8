package main

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
)

// streamsLoad is what the tests with several streams publish: enough runs at once for all of them.
var streamsLoad = load{Seed: 20260305, Runs: 40, Agents: 50, Duplicates: 2}

// testStreams lets three replicas read four streams under load, and each of them is killed, frozen for longer than its
// pins live, and ended, again and again at moments of its own. RUNMETRICS_TEST_SEED repeats what was drawn, though not what
// the machine made of it; RUNMETRICS_TEST_MINUTES is how long it goes on.
func testStreams(t *testing.T, s *system) {
	w := s.onPostgres(t)
	w.share(t, 4)
	seed := setting(t, "RUNMETRICS_TEST_SEED", rand.Uint64())
	t.Logf("RUNMETRICS_TEST_SEED=%d", seed)
	trouble := 30 * time.Second
	if minutes := setting(t, "RUNMETRICS_TEST_MINUTES", 0); minutes > 0 {
		trouble = time.Duration(minutes) * time.Minute
	}
	const rate = 600
	n := rate * int((trouble+10*time.Second)/time.Second)
	publisher := w.publish(t, streamsLoad, n, rate)
	replicas := make([]*replica, 3)
	for i := range replicas {
		replicas[i] = &replica{world: w, program: w.run(t), turn: calamity(i), random: rand.New(rand.NewPCG(seed, uint64(i)))}
	}
	end := time.After(trouble)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for going := true; going; {
		select {
		case <-end:
			going = false
		case <-tick.C:
			for _, r := range replicas {
				r.suffer(t)
			}
		}
	}
	if publisher.over() {
		t.Fatal("the load was over before the trouble was")
	}
	var suffered [calamities]int
	for _, r := range replicas {
		r.recover(t)
		for kind, times := range r.suffered {
			suffered[kind] += times
		}
	}
	if slices.Contains(suffered[:], 0) {
		t.Errorf("not every calamity came: %v", suffered)
	}
	publisher.want(t, exitOK, patience)
	w.committed(t, int64(streamsLoad.Len(n)))
	for _, r := range replicas {
		wantConserved(t, r.program)
	}
	replicas[0].wantOracle(t, streamsLoad, n)
	for _, r := range replicas {
		r.terminate(t)
	}
	w.wantStanding(t, standingOf(streamsLoad, n))
	t.Logf("%d kills, %d freezes, %d ends: %v", suffered[kill], suffered[freeze], suffered[ending], standingOf(streamsLoad, n))
}

// committed waits until all streams together are committed through a number of messages.
func (w *world) committed(t *testing.T, messages int64) {
	t.Helper()
	db := openDatabase(t, w.environ)
	defer db.Close()
	until(t, patience, "everything is committed", func() bool {
		_, sum := w.stands(t, db)
		return sum.sequence == messages
	})
}

// calamity is what may happen to a replica.
type calamity int

const (
	freeze calamity = iota // SIGSTOP, and SIGCONT when another one has long taken over
	kill                   // kill -9
	ending                 // SIGTERM
	calamities
)

// replica is one that suffers.
type replica struct {
	*world
	*program
	random   *rand.Rand
	turn     calamity  // the next one; they take turns, only when and for how long is drawn
	next     time.Time // when something is next done to it
	frozen   bool
	leaving  bool // it was sent SIGTERM
	suffered [calamities]int
}

// suffer does to the replica what is due.
func (r *replica) suffer(t *testing.T) {
	t.Helper()
	if time.Now().Before(r.next) {
		return
	}
	switch {
	case r.frozen, r.program.over():
		r.recover(t)
		r.pause(500*time.Millisecond, 4*time.Second)
	case r.leaving: // it has its ten seconds
		r.pause(0, 100*time.Millisecond)
	default:
		r.strike(t)
		r.suffered[r.turn]++
		r.turn = (r.turn + 1) % calamities
	}
}

// strike lets the calamity happen whose turn it is.
func (r *replica) strike(t *testing.T) {
	t.Helper()
	switch r.turn {
	case freeze:
		r.signal(t, syscall.SIGSTOP)
		r.frozen = true
		r.pause(consumer.DefaultPinnedTTL+time.Second, consumer.DefaultPinnedTTL+4*time.Second)
	case kill:
		r.kill(t)
		r.pause(0, 3*time.Second)
	case ending:
		r.signal(t, syscall.SIGTERM)
		r.leaving = true
		r.pause(0, 3*time.Second)
	}
}

// recover makes the replica run again.
func (r *replica) recover(t *testing.T) {
	t.Helper()
	if r.frozen {
		r.signal(t, syscall.SIGCONT)
		r.frozen = false
		return
	}
	if r.leaving {
		r.program.want(t, exitOK, drainLimit)
		r.leaving = false
	}
	if r.program.over() {
		r.program = r.world.run(t)
	}
}

// pause draws when something is next done.
func (r *replica) pause(least, most time.Duration) {
	r.next = time.Now().Add(least + time.Duration(r.random.Int64N(int64(most-least))))
}

func (r *replica) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := r.command.Process.Signal(signal); err != nil {
		t.Fatalf("%v: %v", signal, err)
	}
}
