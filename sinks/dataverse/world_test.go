package dataverse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// world is a store, an organisation and the processes that dispatch between them, in a bubble with a fake clock: hours
// pass as soon as nobody has anything to do.
type world struct {
	t            *testing.T
	organization *emulator.Emulator
	store        sinks.Store
	path         string // of the store
	writer       *sinktest.Writer
	network      *network

	mu        sync.Mutex
	processes []*process
}

const (
	testTable = DefaultTable
	testSet   = "apex_campaignmetrics"
	// testLinger is how long lost requests are feared in these tests. The emulator's slow faults are shorter.
	testLinger = 4 * time.Minute
)

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, c emulator.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.TokenLife = time.Hour
		organization, err := emulator.New(c)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, organization: organization, network: newNetwork(organization), path: t.TempDir() + "/runmetrics.db"}
		w.store, err = sqlite.Open(t.Context(), sqlite.Config{Path: w.path, Marks: true})
		if err != nil {
			t.Fatal(err)
		}
		w.writer = sinktest.NewWriter(t, w.store, "RUN_EVENTS")
		t.Cleanup(func() {
			for _, p := range w.processes {
				p.stop()
			}
			w.network.close()
			if err := errors.Join(organization.Close(), w.store.Close()); err != nil {
				t.Error(err)
			}
		})
		test(w)
	})
}

// network connects clients to the organisation through pipes, which a bubble can see through.
type network struct {
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	down   atomic.Bool // nobody listens
	// without makes the organization one whose table has no column for the cost. The emulator removes none.
	without atomic.Bool
}

func newNetwork(h http.Handler) *network {
	n := &network{conns: make(chan net.Conn), closed: make(chan struct{})}
	n.server = &http.Server{Handler: n.removeColumn(h), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go func() { _ = n.server.Serve(n) }()
	return n
}

// removeColumn answers as an organization does that lacks a column.
func (n *network) removeColumn(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !n.without.Load():
			h.ServeHTTP(w, r)
		case strings.HasSuffix(r.URL.Path, "UpsertMultiple"):
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":{"code":%q,"message":"Does not support untyped value"}}`, codePayload)
		default:
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			w.WriteHeader(answer.Code)
			_, _ = w.Write(bytes.ReplaceAll(answer.Body.Bytes(), []byte(`"apex_costusd"`), []byte(`"apex_removed"`)))
		}
	})
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error   { return nil }
func (n *network) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (n *network) close() {
	close(n.closed)
	_ = n.server.Close()
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if n.down.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	client, server := net.Pipe()
	select {
	case n.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

// process is one running program: a dispatcher with its own connections, which can be killed and paused.
type process struct {
	*Dispatcher
	outbox    *sinktest.Faulty
	transport *http.Transport
	cancel    context.CancelFunc
	ended     chan struct{}
	log       *logBuffer

	killed atomic.Bool
	mu     sync.Mutex
	paused chan struct{} // closed: it runs
	stopAt string        // the end of a path: a request there stops it
	next   chan struct{} // paused, from then on
}

// start starts a process. The plan breaks its calls of the outbox.
func (w *world) start(plan sinktest.Plan, changes ...func(*DispatcherConfig)) *process {
	w.t.Helper()
	running := make(chan struct{})
	close(running)
	p := &process{ended: make(chan struct{}), paused: running, log: &logBuffer{}}
	p.transport = &http.Transport{DialContext: w.network.dial, MaxConnsPerHost: 51}
	p.outbox = sinktest.NewFaulty(w.store, func(ctx context.Context, m sinktest.Method, n int) sinktest.Fault {
		p.wait()
		if p.killed.Load() {
			return sinktest.NotStored
		}
		if plan == nil {
			return sinktest.None
		}
		return plan(ctx, m, n)
	})
	log := slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := New(Config{URL: "http://127.0.0.1:1", Authority: "http://127.0.0.1:1", TenantID: "tenant",
		ClientID: "emulator", ClientSecret: func() string { return "emulator" }, Transport: p, Log: log})
	if err != nil {
		w.t.Fatal(err)
	}
	c := DispatcherConfig{Client: client, Outbox: p.outbox, Table: testTable, Interval: time.Second, Linger: testLinger, Log: log,
		Tell: w.wake}
	for _, change := range changes {
		change(&c)
	}
	if p.Dispatcher, err = NewDispatcher(c); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	go func() {
		defer close(p.ended)
		_ = p.Run(ctx)
	}()
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	return p
}

// RoundTrip sends a request, unless the process is dead. A request of a paused one is in the kernel: it is sent when the
// process wakes, whoever has stopped waiting for it.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	if p.stopAt != "" && strings.HasSuffix(r.URL.Path, p.stopAt) {
		p.paused, p.stopAt = p.next, ""
	}
	paused := p.paused
	p.mu.Unlock()
	select {
	case <-paused:
	default:
		<-paused
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	if p.killed.Load() {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the process is dead")}
	}
	return p.transport.RoundTrip(r)
}

// wait waits while the process is paused.
func (p *process) wait() {
	p.mu.Lock()
	paused := p.paused
	p.mu.Unlock()
	<-paused
}

// pause is SIGSTOP; the func that it returns is SIGCONT.
func (p *process) pause() (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	paused := make(chan struct{})
	p.paused = paused
	return func() { close(paused) }
}

// pauseIn stops the process when it next sends a request with that end of its path, in the middle of it.
func (p *process) pauseIn(path string) (resume func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopAt, p.next = path, make(chan struct{})
	next := p.next
	return func() { close(next) }
}

// kill is kill -9: nothing that the process does takes place any more. Requests that were sent may.
func (p *process) kill() {
	p.killed.Store(true)
	p.stop()
}

// stop is SIGTERM, and waits for the end.
func (p *process) stop() {
	p.cancel()
	<-p.ended
	p.transport.CloseIdleConnections()
}

// logBuffer keeps what a process logs.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var _ io.Writer = (*logBuffer)(nil)

// commit writes events now and tells the processes, as the announcement of a commit does.
func (w *world) commit(list ...events.Event) {
	w.t.Helper()
	w.commitSilently(list...)
	w.wake()
}

// wake tells all processes that something is due. Those that are stopped hear it when they wake up.
func (w *world) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.processes {
		p.Wake(trace.SpanContext{})
	}
}

func (w *world) commitSilently(list ...events.Event) {
	w.t.Helper()
	w.writer.At = time.Now()
	if err := w.writer.Write(context.Background(), list...); err != nil {
		w.t.Fatal(err)
	}
}

// forget makes the writer read its runs from the store again.
func (w *world) forget() {
	w.t.Helper()
	if err := w.writer.Reload(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func runKey(run string) events.Key { return events.Key{CampaignID: "campaign", RunID: run, Phase: "1"} }

// execution is the n-th execution of a run, of an agent of its own.
func execution(run string, n int) events.Event {
	return events.Event{Key: runKey(run), ID: fmt.Sprint(n), Type: events.AgentFinished, OccurredAt: time.Now().UTC(),
		AgentID: fmt.Sprint("agent-", n), Attempt: 1, Status: events.Succeeded, LatencyMs: int64(1000 + n), TokensIn: 10,
		TokensOut: 20, AssetsGenerated: 1, Cost: events.USD(59_133_500)}
}

// closing ends a run.
func closing(run string) events.Event {
	return events.Event{Key: runKey(run), ID: "end", Type: events.RunFinished, OccurredAt: time.Now().UTC(),
		Outcome: events.OutcomeCompleted}
}

// eventually waits until the condition holds, on the fake clock.
func (w *world) eventually(limit time.Duration, what string, condition func() bool) {
	w.t.Helper()
	// Looking costs real time, waiting does not: looks become rarer.
	look := 5 * time.Millisecond
	for deadline := time.Now().Add(limit); ; time.Sleep(look) {
		look += look / 10
		synctest.Wait()
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			for i, p := range w.processes {
				said := p.log.String()
				w.t.Logf("process %d: %+v\n…%s", i, p.Status(), said[max(0, len(said)-3000):])
			}
			w.t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// rows are the organisation's, by row id.
func (w *world) rows() map[uuid.UUID]Row {
	w.t.Helper()
	rows := make(map[uuid.UUID]Row)
	for _, row := range w.organization.Rows(testSet) {
		rows[uuid.MustParse(row["apex_campaignmetricid"].(string))] = row
	}
	return rows
}

// record is a run as the store has it.
func (w *world) record(run string) aggregate.Metrics {
	w.t.Helper()
	m, found, err := w.store.Get(context.Background(), runKey(run).UUID())
	if err != nil || !found {
		w.t.Fatalf("run %s: found %t, %v", run, found, err)
	}
	return m
}

// copied tells whether the row of a run is there and equal to its record.
func (w *world) copied(run string) bool { return w.equal(w.rows(), run) }

func (w *world) equal(rows map[uuid.UUID]Row, run string) bool {
	row, found := rows[runKey(run).UUID()]
	m := w.record(run)
	return found && len(w.table().Same(&m, row)) == 0
}

// wantCopied fails the test unless run-0 and so on, so many runs, are up to date.
func (w *world) wantCopied(runs int) {
	w.t.Helper()
	rows := w.rows()
	for n := range runs {
		if run := fmt.Sprint("run-", n); !w.equal(rows, run) {
			w.t.Errorf("%s is not up to date", run)
		}
	}
}

// table is the definition that the emulator starts with.
func (w *world) table() *Table {
	t := &Table{LogicalName: testTable, EntitySet: testSet, PrimaryID: "apex_campaignmetricid", PrimaryName: "apex_name",
		Columns: map[string]Column{}}
	for _, c := range Wanted(testTable).Columns {
		t.Columns[c.Name] = c
	}
	return t
}

// standing is what the outbox says.
func (w *world) standing() sinks.Standing {
	w.t.Helper()
	s, err := w.store.Standing(context.Background(), time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// settled waits until nothing waits any more.
func (w *world) settled() {
	w.t.Helper()
	w.eventually(time.Hour, "nothing waits", func() bool { return w.standing().Waiting == 0 })
}
