package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

const stream = "RUN_EVENTS"

var start = time.Date(2026, 2, 14, 12, 0, 0, 0, time.UTC)

// world is a real store behind a real handler. Publishing folds and commits at once, as a very fast consumer would.
type world struct {
	t       *testing.T
	store   *sqlite.Store
	handler http.Handler
	log     lockedLog

	mu       sync.Mutex
	now      time.Time
	position sinks.Position
	away     error             // what publishing answers where there is no room, nil if it works
	room     uint64            // how many messages the stream takes before that
	seen     map[string]uint64 // sequences of messages by their ids
	lagging  bool              // commits are never seen
	state    query.State
}

// newWorld opens a store and wires the handler; change sees the configuration before it is used.
func newWorld(t *testing.T, change func(*query.Config)) *world {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "metrics.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w := &world{t: t, store: store, now: start, position: sinks.Position{Stream: stream, Created: start},
		seen: map[string]uint64{}, state: query.State{State: query.StateActive}}
	c := query.Config{
		Reader: store, Letters: store.Letters, Publish: w.publish, Committed: w.committed,
		State: func() query.State { w.mu.Lock(); defer w.mu.Unlock(); return w.state },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = w.Write([]byte("messages_total 7\n"))
		}),
		Loopback: true, Now: w.clock, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Version: "1.2.3",
	}
	if change != nil {
		change(&c)
	}
	if w.handler, err = query.New(c); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) publish(ctx context.Context, list []*events.Event) []query.Receipt {
	w.mu.Lock()
	defer w.mu.Unlock()
	receipts := make([]query.Receipt, len(list))
	var taken []events.Event
	for i, e := range list {
		at, had := w.seen[events.MessageID(e)]
		next := w.position.Sequence + uint64(len(taken)) + 1
		switch _, limited := ctx.Deadline(); {
		case !limited:
			receipts[i].Err = errors.New("published without a deadline")
		case w.away != nil && next > w.room:
			receipts[i].Err = w.away
		case had:
			receipts[i] = query.Receipt{Stream: stream, Sequence: at, Duplicate: true}
		default:
			receipts[i] = query.Receipt{Stream: stream, Sequence: next}
			w.seen[events.MessageID(e)] = next
			taken = append(taken, *e)
		}
	}
	if len(taken) == 0 {
		return receipts
	}
	// The stream has them, whether or not the client stays to hear of it.
	if err := w.commit(context.WithoutCancel(ctx), taken...); err != nil {
		w.t.Error(err)
	}
	return receipts
}

func (w *world) committed(ctx context.Context, r query.Receipt) error {
	if deadline, limited := ctx.Deadline(); !limited || time.Until(deadline) > 5*time.Second {
		return errors.New("waits for the commit for more than 5 s")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lagging || r.Sequence > w.position.Sequence {
		return context.DeadlineExceeded
	}
	return nil
}

// commit folds events into their runs and stores them in one batch, as the consumer does.
func (w *world) commit(ctx context.Context, list ...events.Event) error {
	changes := map[uuid.UUID]*sinks.RunChange{}
	runs := map[uuid.UUID]*aggregate.Run{}
	batch := sinks.Batch{Next: w.position, At: w.now}
	for i := range list {
		e := &list[i]
		id := e.UUID()
		if runs[id] == nil {
			loaded, err := w.store.Load(ctx, w.position, []events.Key{e.Key})
			if err != nil {
				return err
			}
			run := loaded[id].Run
			if run == nil {
				run = aggregate.NewRun(e.Key)
			}
			runs[id], changes[id] = run, &sinks.RunChange{Metrics: aggregate.Metrics{Version: loaded[id].Version + 1}}
		}
		batch.Next.Sequence++
		if runs[id].Apply(e) != aggregate.Applied {
			batch.Next.Duplicates++
			continue
		}
		batch.Next.Applied++
		changes[id].Events = append(changes[id].Events, e)
	}
	for id, change := range changes {
		if len(change.Events) == 0 {
			continue
		}
		version := change.Metrics.Version
		change.Metrics, change.Latencies = runs[id].Metrics(), runs[id].TakeLatencyChanges()
		change.Metrics.Version, change.Metrics.UpdatedAt = version, w.now
		batch.Runs = append(batch.Runs, *change)
	}
	return w.commitBatch(ctx, batch)
}

func (w *world) commitBatch(ctx context.Context, batch sinks.Batch) error {
	batch.Next.Epoch = 1
	batch.Next.MessageTime = w.now
	if err := w.store.Commit(ctx, w.position, &batch); err != nil {
		return err
	}
	w.position = batch.Next
	return nil
}

func (w *world) apply(list ...events.Event) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.commit(w.t.Context(), list...); err != nil {
		w.t.Fatal(err)
	}
}

// buryLetter stores a dead letter that names the run.
func (w *world) buryLetter(campaignID, runID string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := sinks.Batch{Next: w.position, At: w.now}
	batch.Next.Sequence++
	batch.Next.DeadLetters++
	batch.DeadLetters = []sinks.DeadLetter{{Sequence: batch.Next.Sequence, Subject: events.Subject(campaignID, runID),
		CampaignID: campaignID, RunID: runID, Reason: events.Invalid, Field: "phase", Detail: "phase is required",
		Time: w.now, Payload: []byte(`{"secret":"hunter2"}`)}}
	if err := w.commitBatch(w.t.Context(), batch); err != nil {
		w.t.Fatal(err)
	}
}

// send sends a request as a local client does; headers come in pairs.
func (w *world) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	return recorder
}

// get expects 200 and returns the answer.
func (w *world) get(target string) object {
	w.t.Helper()
	return w.want(http.StatusOK, w.send(http.MethodGet, target, ""))
}

// object is decoded JSON with numbers as they are written.
type object map[string]any

func (w *world) want(status int, got *httptest.ResponseRecorder) object {
	w.t.Helper()
	if got.Code != status {
		w.t.Fatalf("status %d, want %d: %s", got.Code, status, got.Body)
	}
	decoder := json.NewDecoder(got.Body)
	decoder.UseNumber()
	var o object
	if err := decoder.Decode(&o); err != nil {
		w.t.Fatalf("answer is no JSON object: %v", err)
	}
	return o
}

// wantProblem expects an RFC 9457 problem that names exactly these fields.
func (w *world) wantProblem(status int, got *httptest.ResponseRecorder, locations ...string) object {
	w.t.Helper()
	if kind := got.Header().Get("Content-Type"); kind != "application/problem+json" {
		w.t.Errorf("Content-Type %q: %s", kind, got.Body)
	}
	p := w.want(status, got)
	if p["status"] != json.Number(jsonOf(status)) || p["title"] != http.StatusText(status) || p["detail"] == "" {
		w.t.Errorf("problem %v", p)
	}
	var named []string
	for _, e := range p.list("errors") {
		named = append(named, e["location"].(string))
	}
	if strings.Join(named, " ") != strings.Join(locations, " ") {
		w.t.Errorf("names %q, want %q", named, locations)
	}
	return p
}

func (o object) list(name string) []object {
	values, _ := o[name].([]any)
	list := make([]object, len(values))
	for i, v := range values {
		list[i] = v.(map[string]any)
	}
	return list
}

func (o object) object(name string) object { return o[name].(map[string]any) }

// has compares some members by their JSON.
func (o object) has(t *testing.T, want map[string]any) {
	t.Helper()
	for name, v := range want {
		got, present := o[name]
		if !present || jsonOf(got) != jsonOf(v) {
			t.Errorf("%s is %s, want %s", name, jsonOf(got), jsonOf(v))
		}
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lockedLog keeps what was logged.
type lockedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// execution makes an agent.finished event.
func execution(k events.Key, id, agentID string, at time.Time, latencyMs int64) events.Event {
	return events.Event{Key: k, ID: id, Type: events.AgentFinished, AgentID: agentID, Attempt: 1, Status: events.Succeeded,
		OccurredAt: at, LatencyMs: latencyMs, Cost: events.USD(1)}
}
