package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"maps"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/apexsalesai/runmetrics/consumer"
)

// atOnce is how many of the tests run at a time at least: most of the time they wait for processes to notice things.
const atOnce = 8

func TestMain(m *testing.M) {
	if runtime.GOMAXPROCS(0) < atOnce {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil { // the command line, read later, goes before it
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// result is what a call of the program left behind.
type result struct {
	code   int
	stdout string
	stderr string
}

// call runs the program to its end.
func call(t *testing.T, environ map[string]string, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr syncBuffer // what NATS still logs when the program has ended, it logs from elsewhere
	code := run(t.Context(), args, environ, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// want fails the test unless the program ended with the code.
func (r result) want(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.stdout, r.stderr)
	}
}

// eventually fails the test unless the condition becomes true in time.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// quiet is a log that nobody reads.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testBroker runs a NATS server for the test and returns the environment of programs that use it, with an empty DATA_DIR
// of their own.
func testBroker(t *testing.T) (*broker, map[string]string) {
	t.Helper()
	cfg := &Config{DataDir: t.TempDir(), NATSListen: "127.0.0.1:0", Deployment: "test"}
	b, err := startBroker(cfg, SyncEvery(time.Minute), quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	return b, map[string]string{"NATS_URL": b.URL(), "DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0",
		"HTTP_ADDR": "127.0.0.1:0"}
}

// testJetStream connects to the broker.
func testJetStream(t *testing.T, b *broker) jetstream.JetStream {
	t.Helper()
	return jetStreamAt(t, b.URL())
}

func jetStreamAt(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// testStream makes a stream of run events.
func testStream(t *testing.T, js jetstream.JetStream, maxBytes int64) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), consumer.StreamConfig("RUN_EVENTS", maxBytes))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func messages(t *testing.T, stream jetstream.Stream) uint64 {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

// with returns the environment with some variables set otherwise.
func with(environ map[string]string, more map[string]string) map[string]string {
	all := maps.Clone(environ)
	maps.Copy(all, more)
	return all
}

// syncBuffer is written by the program while a test reads it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// process is the program while it runs.
type process struct {
	stdout, stderr syncBuffer
	terminate      context.CancelFunc // what SIGTERM does
	exited         chan int
}

// start runs the program beside the test, which ends it.
func start(t *testing.T, environ map[string]string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{terminate: cancel, exited: make(chan int, 1)}
	go func() { p.exited <- run(ctx, args, environ, io.LimitReader(nil, 0), &p.stdout, &p.stderr) }()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the program and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	p.terminate()
	select {
	case code := <-p.exited:
		p.exited <- code // for the next who asks
		return code
	case <-time.After(20 * time.Second):
		t.Fatalf("does not stop; stderr:\n%s", p.stderr.String())
		return -1
	}
}
