package main

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
)

// natsFault is something that happens to NATS, or on the way to it, while events flow.
type natsFault struct {
	name string
	// prepare makes the world and says what happens in it.
	prepare func(t *testing.T, s *system) *faulted
	state   string // what /readyz must show meanwhile; empty where the service need not notice
	reason  string // a part of the reason that it must give
}

// faulted is a world with a fault: a service in it, and agents that publish.
type faulted struct {
	*world
	agents *world
	// cause is the fault. It returns when its cause is over; seen is closed when /readyz has shown it. It runs beside the
	// test, so it must not fail it.
	cause func(seen <-chan struct{}) error
	said  *brokerSays // nil where the broker has no users

	fault     natsFault
	service   *program
	publisher *program

	seen     chan struct{}
	over     chan error
	ended    time.Time // when the cause was over
	stood    uint64    // where the service was then
	normal   time.Duration
	reasons  []string // everything that /readyz said, each once
	finished bool
}

var natsFaults = []natsFault{
	{name: "restart", prepare: restartBroker(0)},
	{name: "away for 15 s", prepare: restartBroker(15 * time.Second), state: "degraded", reason: "NATS is away"},
	// A process that is stopped stands in for a disk that is slow: the broker takes what comes and answers late.
	{name: "stalls of 1 to 4 s", prepare: stallBroker(1*time.Second, 4*time.Second, 2*time.Second, 3*time.Second)},
	{name: "hangs for 20 s", prepare: stallBroker(20 * time.Second), state: "degraded", reason: "NATS"},
	{name: "connection cut every 300 ms for 8 s", prepare: cutConnections(300*time.Millisecond, 8*time.Second)},
	{name: "half open: nothing comes", prepare: swallow(func(l *link) { l.fromServer.Store(true) }), state: "degraded", reason: "NATS"},
	{name: "half open: nothing arrives", prepare: swallow(func(l *link) { l.fromClient.Store(true) }), state: "degraded", reason: "NATS"},
	{name: "consumer deleted", prepare: deleteConsumer, state: "blocked", reason: "`runmetrics setup` makes it"},
}

const (
	// faultRate is how many events a second are published while the faults last; the load ends after them.
	faultRate, faultEvents = 400, 400 * 36
	// faultPatience is how long after the end of its cause a fault may show.
	faultPatience = 45 * time.Second
)

// testNATSFaults lets all of it happen at once, each in a world of its own, because most of it is waiting.
func testNATSFaults(t *testing.T, s *system) {
	var all []*faulted
	for _, fault := range natsFaults {
		f := fault.prepare(t, s)
		f.fault, f.seen, f.over = fault, make(chan struct{}), make(chan error, 1)
		f.service = f.run(t)
		all = append(all, f)
	}
	for _, f := range all {
		f.publisher = f.agents.publish(t, systemLoad, faultEvents, faultRate)
	}
	for _, f := range all {
		f.service.reaches(t, 1, patience)
		go func() { f.over <- f.cause(f.seen) }()
	}
	until(t, 2*patience, "all services are as before", func() bool {
		done := true
		for _, f := range all {
			f.look(t)
			done = done && f.finished
		}
		return done
	})
	for _, f := range all {
		f.conclude(t)
	}
}

// look asks the service how it is, and takes note of what it says.
func (f *faulted) look(t *testing.T) {
	t.Helper()
	if f.finished {
		return
	}
	if f.ended.IsZero() {
		select {
		case err := <-f.over:
			if err != nil {
				t.Fatalf("%s: %v", f.fault.name, err)
			}
			f.ended, f.stood = time.Now(), f.service.position(t)
		default:
		}
	}
	r := f.service.ready(t)
	for _, reason := range r.Reasons {
		if said := r.State + ": " + reason; !slices.Contains(f.reasons, said) {
			f.reasons = append(f.reasons, said)
		}
		if r.State == f.fault.state && strings.Contains(reason, f.fault.reason) && !f.hasSeen() {
			close(f.seen)
		}
	}
	noticed := f.fault.state == "" || f.hasSeen()
	switch {
	case f.ended.IsZero():
	case noticed && r.State == "active" && len(r.Reasons) == 0 && r.Streams[0].Position > f.stood:
		f.normal, f.finished = time.Since(f.ended), true
	case time.Since(f.ended) > faultPatience:
		t.Fatalf("%s: %s after it was over: %+v; said before: %q", f.fault.name, faultPatience, r, f.reasons)
	}
}

func (f *faulted) hasSeen() bool {
	select {
	case <-f.seen:
		return true
	default:
		return false
	}
}

// conclude waits for the rest of the load and compares everything.
func (f *faulted) conclude(t *testing.T) {
	t.Helper()
	f.publisher.want(t, exitOK, patience)
	total := uint64(systemLoad.Len(faultEvents))
	f.service.reaches(t, total, patience)
	f.service.wantOracle(t, systemLoad, faultEvents)
	f.service.terminate(t)
	f.wantStanding(t, standingOf(systemLoad, faultEvents))
	if f.said != nil {
		f.said.wantNoViolation(t)
	}
	t.Logf("%s: committed again %s after it was over; /readyz said %q", f.fault.name, f.normal.Round(time.Millisecond), f.reasons)
}

// guardedWorld has a broker with users, and agents that may publish and nothing else. The service reaches the broker by
// way of through.
func guardedWorld(t *testing.T, s *system, g *guarded, through string) *faulted {
	t.Helper()
	s.call(t, g.environ, "setup")
	return &faulted{
		world:  &world{system: s, environ: with(g.environ, map[string]string{"NATS_URL": urlOf("processor", through)})},
		agents: &world{system: s, environ: g.as("publisher")},
		said:   g.said,
	}
}

func restartBroker(after time.Duration) func(*testing.T, *system) *faulted {
	return func(t *testing.T, s *system) *faulted {
		g := startGuarded(t)
		f := guardedWorld(t, s, g, g.address)
		f.cause = func(<-chan struct{}) error {
			g.stop()
			<-time.After(after)
			return g.start()
		}
		return f
	}
}

// stallBroker stops the broker's process for these times, with as long between them. A service that embeds a broker, of
// another deployment, is that process.
func stallBroker(stalls ...time.Duration) func(*testing.T, *system) *faulted {
	return func(t *testing.T, s *system) *faulted {
		t.Helper()
		broker := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0",
			"NATS_SYNC": "2m", "DEPLOYMENT": "broker"}, "run")
		environ := map[string]string{"NATS_URL": broker.nats, "DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0"}
		s.call(t, environ, "setup")
		w := &world{system: s, environ: environ}
		return &faulted{world: w, agents: w, cause: func(<-chan struct{}) error {
			for _, stall := range stalls {
				if err := broker.command.Process.Signal(syscall.SIGSTOP); err != nil {
					return err
				}
				<-time.After(stall)
				if err := broker.command.Process.Signal(syscall.SIGCONT); err != nil {
					return err
				}
				if len(stalls) > 1 {
					<-time.After(stall)
				}
			}
			return nil
		}}
	}
}

func cutConnections(every, during time.Duration) func(*testing.T, *system) *faulted {
	return func(t *testing.T, s *system) *faulted {
		g := startGuarded(t)
		p := startProxy(t, g.address)
		f := guardedWorld(t, s, g, p.Addr().String())
		f.cause = func(<-chan struct{}) error {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for over := time.After(during); ; {
				select {
				case <-tick.C:
					p.cut()
				case <-over:
					return nil
				}
			}
		}
		return f
	}
}

// swallow makes the connections that are there lose everything in one direction. New ones are well: what is measured
// begins with the loss.
func swallow(how func(*link)) func(*testing.T, *system) *faulted {
	return func(t *testing.T, s *system) *faulted {
		g := startGuarded(t)
		p := startProxy(t, g.address)
		f := guardedWorld(t, s, g, p.Addr().String())
		f.cause = func(<-chan struct{}) error {
			p.each(how)
			return nil
		}
		return f
	}
}

// deleteConsumer deletes the consumer under a reader that may not make it again. Once it says so, setup makes it.
func deleteConsumer(t *testing.T, s *system) *faulted {
	g := startGuarded(t)
	g.grant(t, func(users string) string {
		return strings.Replace(users, `"$JS.API.CONSUMER.CREATE.`, `"$JS.API.CONSUMER.DELETE.RUN_EVENTS.*", "$JS.API.CONSUMER.CREATE.`, 1)
	})
	f := guardedWorld(t, s, g, g.address)
	f.said = nil // the reader tries to make it
	js := g.jetStream(t, "operator", "_INBOX_main")
	f.cause = func(seen <-chan struct{}) error {
		if err := js.DeleteConsumer(t.Context(), "RUN_EVENTS", consumer.ConsumerName("main")); err != nil {
			return err
		}
		select {
		case <-seen:
		case <-time.After(faultPatience):
			return errors.New("nobody noticed")
		}
		setup := exec.Command(s.binary, "setup")
		for name, value := range g.environ {
			setup.Env = append(setup.Env, name+"="+value)
		}
		return setup.Run()
	}
	return f
}
