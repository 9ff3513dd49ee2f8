package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// patience is how long the tests wait for what takes a moment: others may use the machine, too.
const patience = 90 * time.Second

// setting is a number that the environment may set otherwise for longer tests, or to repeat one.
func setting(t testing.TB, name string, preset uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return preset
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// until fails the test unless the condition becomes true in time.
func until(t testing.TB, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// program is the built program in a process of its own.
type program struct {
	command        *exec.Cmd
	stdout, stderr syncBuffer
	ended          chan struct{} // closed when it has ended
	api            string        // where the service answers, after up
	nats           string        // where the service's broker is, after up
}

// start starts the program with exactly this environment. It dies with the test.
func (s *system) start(t testing.TB, environ map[string]string, args ...string) *program {
	t.Helper()
	p := &program{command: exec.Command(s.binary, args...), ended: make(chan struct{})}
	p.command.Env = []string{"LOG_FORMAT=json"}
	for name, value := range environ {
		p.command.Env = append(p.command.Env, name+"="+value)
	}
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	tie(p.command)
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // a thread in use is not ended by the runtime, which would end the process tied to it
		err := p.command.Start()
		started <- err
		if err == nil {
			_ = p.command.Wait() // how it ended stands in ProcessState
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %v: %v", args, err)
	}
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			said := p.stderr.String()
			t.Logf("%v said: …%s", args, said[max(0, len(said)-3000):])
		}
	})
	return p
}

// serve starts a service and waits until it is running.
func (s *system) serve(t testing.TB, environ map[string]string, args ...string) *program {
	t.Helper()
	p := s.start(t, environ, args...)
	until(t, patience, "the service is running", func() bool {
		if p.over() {
			t.Fatalf("%v ended: %s", args, p.stderr.String())
		}
		for line := range strings.Lines(p.stderr.String()) {
			var at struct{ Msg, API, NATS string }
			if json.Unmarshal([]byte(line), &at) == nil && at.Msg == "running" {
				p.api, p.nats = at.API, at.NATS
			}
		}
		return p.api != ""
	})
	return p
}

// call runs the program to its end, which must be a good one.
func (s *system) call(t testing.TB, environ map[string]string, args ...string) *program {
	t.Helper()
	p := s.start(t, environ, args...)
	p.want(t, exitOK, patience)
	return p
}

// over tells whether the process has ended.
func (p *program) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// want waits for the end of the process and returns how long that took. Another exit code fails the test.
func (p *program) want(t testing.TB, code int, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	select {
	case <-p.ended:
	case <-time.After(limit):
		t.Fatalf("%v still runs after %s", p.command.Args, limit)
	}
	if got := p.command.ProcessState.ExitCode(); got != code {
		t.Fatalf("%v ended with %v, want exit code %d: %s", p.command.Args, p.command.ProcessState, code, p.stderr.String())
	}
	return time.Since(began)
}

// kill is kill -9, and returns when the process is gone.
func (p *program) kill(t testing.TB) {
	t.Helper()
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
}

// drainLimit is what the README promises for an end after SIGTERM.
const drainLimit = 10 * time.Second

// terminate is SIGTERM, which must end the process cleanly and in time. It returns how long that took.
func (p *program) terminate(t testing.TB) time.Duration {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	return p.want(t, exitOK, drainLimit)
}

// client asks a service. It keeps no connection, because services come and go.
var client = http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// ask asks the API for a path.
func (p *program) ask(path string) (answer, error) {
	began := time.Now()
	response, err := client.Get(p.api + path)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, body, time.Since(began)}, err
}

// get asks the API, which must answer something.
func (p *program) get(t testing.TB, path string) answer {
	t.Helper()
	a, err := p.ask(path)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return a
}

// read gets a path that must be there and reads its JSON into v.
func (p *program) read(t testing.TB, path string, v any) {
	t.Helper()
	a := p.get(t, path)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d: %s", path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("GET %s: %v: %s", path, err, a.body)
	}
}

// readiness is what /readyz says.
type readiness struct {
	State   string
	Reasons []string
	Streams []struct {
		Stream, State string
		Position      uint64
	}
}

func (p *program) ready(t testing.TB) readiness {
	t.Helper()
	var r readiness
	p.read(t, "/readyz", &r)
	return r
}

// position is how far the service has committed, as it says itself.
func (p *program) position(t testing.TB) uint64 {
	t.Helper()
	if r := p.ready(t); len(r.Streams) == 1 {
		return r.Streams[0].Position
	}
	return 0
}

// reaches waits until the service has committed the sequence. On the way, and then, everything must be accounted for.
func (p *program) reaches(t *testing.T, sequence uint64, limit time.Duration) {
	t.Helper()
	polls := 0
	until(t, limit, "committed through "+strconv.FormatUint(sequence, 10), func() bool {
		if polls++; polls%20 == 0 {
			wantConserved(t, p)
		}
		return p.position(t) >= sequence
	})
	wantConserved(t, p)
}

// list returns all records of a campaign, page by page.
func (p *program) list(t *testing.T, campaign string) []aggregate.Metrics {
	t.Helper()
	var all []aggregate.Metrics
	query := url.Values{"campaignId": {campaign}, "limit": {"500"}}
	for {
		var page struct {
			Metrics    []aggregate.Metrics
			NextCursor *string
		}
		p.read(t, "/api/metrics/campaign?"+query.Encode(), &page)
		all = append(all, page.Metrics...)
		if page.NextCursor == nil {
			return all
		}
		query.Set("cursor", *page.NextCursor)
	}
}
