package consumer_test

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
)

// logLines collects what a log says of dead letters.
type logLines struct {
	testWriter
	mu    sync.Mutex
	lines []string
}

func (l *logLines) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "dead_letters=") {
		l.mu.Lock()
		l.lines = append(l.lines, string(p))
		l.mu.Unlock()
	}
	return l.testWriter.Write(p)
}

// last returns the newest line and checks how many there are.
func (l *logLines) last(t *testing.T, n int) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) != n {
		t.Fatalf("%d lines of dead letters, want %d", len(l.lines), n)
	}
	return l.lines[n-1]
}

// poll waits until the condition holds.
func poll(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func TestTheLogIsToldOfDeadLettersAtOnceAndThenOnceAMinute(t *testing.T) {
	b, store := startBroker(t), openSQLite(t)
	var later atomic.Int64
	log := &logLines{testWriter: testWriter{t}}
	r := b.startReader(t, store, func(c *consumer.Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	bury := func(n int, text string) {
		t.Helper()
		for range n {
			last := b.publish(t, &nats.Msg{Subject: "runs.c.r", Data: []byte(text)})
			poll(t, "the reader counts the dead letter", func() bool { return r.Status().Position.Sequence == last })
		}
	}
	want := func(line string, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "level=WARN", "stream="+streamName, "subject=runs.c.r") {
			if !strings.Contains(line, part) {
				t.Errorf("the log does not say %s: %s", part, line)
			}
		}
	}
	bury(1, "{")
	want(log.last(t, 1), "dead_letters=1 ", "first_sequence=1 ", "reason=malformed")
	bury(3, `{"version":2}`)
	bury(2, "{")
	later.Store(int64(time.Minute))
	bury(1, "{")
	want(log.last(t, 2), "dead_letters=6 ", "first_sequence=2 ", "reason=unsupported_version", "field=version")
	bury(4, "{")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	want(log.last(t, 3), "dead_letters=4 ", "first_sequence=8 ", "reason=malformed")
}
