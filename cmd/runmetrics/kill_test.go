package main

import (
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// separate is the program as a process of its own.
type separate struct {
	command *exec.Cmd
	stderr  syncBuffer
	exited  chan error
}

// spawn starts the program in a process that dies with the test.
func spawn(t *testing.T, environ map[string]string, args ...string) *separate {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &separate{command: exec.Command(binary, args...), exited: make(chan error, 1)}
	s.command.Env = []string{programVariable + "=yes"}
	for name, value := range environ {
		s.command.Env = append(s.command.Env, name+"="+value)
	}
	s.command.Stderr = &s.stderr
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.command.Wait() }()
	t.Cleanup(func() { s.signal(t, syscall.SIGKILL) })
	return s
}

// signal sends a signal and waits for the end of the process.
func (s *separate) signal(t *testing.T, signal os.Signal) error {
	t.Helper()
	_ = s.command.Process.Signal(signal) // it may have ended
	select {
	case err := <-s.exited:
		s.exited <- err // for the next who asks
		return err
	case <-time.After(15 * time.Second):
		t.Fatalf("%v does not end the process: %s", signal, s.stderr.String())
		return nil
	}
}

// position is how far the service has committed.
func (s *separate) position(t *testing.T, api string) uint64 {
	t.Helper()
	var state stateOf
	get(t, api+"/readyz", &state)
	if len(state.Streams) == 0 {
		return 0
	}
	return state.Streams[0].Position
}

func TestServiceThatIsKilledAgainAndAgainCountsEveryEventOnce(t *testing.T) {
	t.Parallel()
	const seed, generated, kills = 11, 12_000, 4
	l := load{Seed: seed, Runs: 6, Agents: 40, Duplicates: 10}
	b, environ := testBroker(t)
	call(t, environ, "", "setup", "--max-bytes", "100MB").want(t, exitOK)
	environ["LOG_FORMAT"] = "json"
	published := make(chan result, 1)
	go func() {
		published <- call(t, map[string]string{"NATS_URL": b.URL()}, "", "publish", "--generate", fmt.Sprint(generated),
			"--seed", fmt.Sprint(seed), "--runs", "6", "--agents", "40", "--duplicates", "10", "--rate", "6000")
	}()
	var reached uint64
	for range kills {
		p := spawn(t, environ, "run")
		at := upOf(t, &p.stderr, func() bool { return len(p.exited) > 0 })
		eventually(t, "the service commits", func() bool { return p.position(t, at.API) > reached+200 })
		reached = p.position(t, at.API)
		_ = p.signal(t, syscall.SIGKILL)
	}
	(<-published).want(t, exitOK)

	p := spawn(t, environ, "run")
	at := upOf(t, &p.stderr, func() bool { return len(p.exited) > 0 })
	eventually(t, "everything is committed", func() bool { return p.position(t, at.API) == uint64(l.Len(generated)) })
	var sent []events.Event
	for e, again := range l.All(generated) {
		if !again {
			sent = append(sent, e)
		}
	}
	compareWithOracle(t, at.API, l, foldAll(sent))
	if err := p.signal(t, syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v: %s", err, p.stderr.String())
	}
}

// compareWithOracle holds every record of the API against the fold of what was published.
func compareWithOracle(t *testing.T, api string, l load, want map[events.Key]aggregate.Metrics) {
	t.Helper()
	var answer struct{ Metrics []aggregate.Metrics }
	get(t, fmt.Sprintf("%s/api/metrics/campaign?limit=500&campaignId=load-%d", api, l.Seed), &answer)
	if len(answer.Metrics) != len(want) {
		t.Errorf("%d runs, want %d", len(answer.Metrics), len(want))
	}
	for _, got := range answer.Metrics {
		got.Version, got.UpdatedAt = 0, time.Time{} // how often and when it was committed is the service's affair
		if !reflect.DeepEqual(got, want[got.Key()]) {
			t.Errorf("run %s:\n got %+v\nwant %+v", got.RunID, got, want[got.Key()])
		}
	}
}

func TestSignalsEndTheProcessCleanly(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := spawn(t, embedded(t), "run")
		upOf(t, &p.stderr, func() bool { return len(p.exited) > 0 })
		if err := p.signal(t, signal); err != nil || strings.Contains(p.stderr.String(), `"level":"ERROR"`) {
			t.Errorf("%v: %v: %s", signal, err, p.stderr.String())
		}
	}
}
