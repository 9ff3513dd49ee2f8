package query_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

// faulty breaks a store: its first statements fail, or hang until the caller gives up where err is nil.
type faulty struct {
	sinks.Reader
	err error
}

func (f faulty) fault(ctx context.Context) error {
	if f.err != nil {
		return fmt.Errorf("read: %w", f.err)
	}
	<-ctx.Done()
	return fmt.Errorf("read: %w", ctx.Err())
}

func (f faulty) List(ctx context.Context, _ sinks.Filter, _ *sinks.Cursor, _ int) ([]aggregate.Metrics, error) {
	return nil, f.fault(ctx)
}

func (f faulty) Survey(ctx context.Context, _ sinks.Filter, _ func(*sinks.Surveyed) error) error {
	return f.fault(ctx)
}

func (f faulty) Get(ctx context.Context, _ uuid.UUID) (aggregate.Metrics, bool, error) {
	return aggregate.Metrics{}, false, f.fault(ctx)
}

var reads = []string{campaign, campaign + "/c/runs/r", campaign + "/c/summary", campaign + "/summary"}

func TestReadsAnswer503WhileTheStoreIsAwayAndHealthDoesNotNotice(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]error{"away": sinks.ErrUnavailable, "blocked": sinks.ErrBlocked} {
		w := newWorld(t, func(c *query.Config) { c.Reader = faulty{c.Reader, fault} })
		for _, target := range reads {
			got := w.send(http.MethodGet, target, "")
			w.wantProblem(http.StatusServiceUnavailable, got)
			if got.Header().Get("Retry-After") == "" {
				t.Errorf("%s %s: no Retry-After", name, target)
			}
		}
		if n := strings.Count(w.log.String(), "request failed"); n != 3 { // operations
			t.Errorf("%s: logged %d times: %s", name, n, w.log.String())
		}
		w.get("/healthz").has(t, map[string]any{"status": "ok"})
		w.get("/readyz").has(t, map[string]any{"state": "active"})
	}
}

// TestOutagesAreLoggedOnceAMinute for each operation, with how many requests failed meanwhile.
func TestOutagesAreLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Reader = faulty{c.Reader, sinks.ErrUnavailable} })
	for range 3 {
		for range 10 {
			w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, campaign, ""))
		}
		w.mu.Lock()
		w.now = w.now.Add(time.Minute)
		w.mu.Unlock()
	}
	if log := w.log.String(); strings.Count(log, "request failed") != 3 || strings.Count(log, "unmentioned=9") != 2 {
		t.Errorf("log: %s", log)
	}
}

func TestReadsAnswer503OnAClosedStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, target := range reads {
		w.wantProblem(http.StatusServiceUnavailable, w.send(http.MethodGet, target, ""))
	}
}

func TestReadsAnswerWithinTwoSecondsOfAStoreThatHangs(t *testing.T) {
	w := newWorld(t, func(c *query.Config) { c.Reader = faulty{Reader: c.Reader} })
	for _, target := range reads {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
			r.Host = "localhost"
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, r)
			w.wantProblem(http.StatusServiceUnavailable, recorder)
			if took := time.Since(begun); took > 1900*time.Millisecond {
				t.Errorf("%s took %v", target, took)
			}
		})
	}
}

func TestUnknownFaultsAreLoggedAndKeptFromTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Reader = faulty{c.Reader, errors.New("password=hunter2")} })
	for _, target := range reads {
		p := w.wantProblem(http.StatusInternalServerError, w.send(http.MethodGet, target, ""))
		if strings.Contains(jsonOf(p), "hunter2") {
			t.Errorf("told the client: %v", p)
		}
	}
	if strings.Count(w.log.String(), "hunter2") != len(reads) {
		t.Errorf("log: %s", w.log.String())
	}
}

func TestClientThatLeavesIsNotLoggedAsAFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Reader = faulty{Reader: c.Reader} })
	gone, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(gone, http.MethodGet, campaign, nil)
	r.Host = "localhost"
	w.handler.ServeHTTP(httptest.NewRecorder(), r)
	if log := w.log.String(); log != "" {
		t.Errorf("logged: %s", log)
	}
}

func TestPanicIsA500ProblemAndLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.State = func() query.State { panic("state is broken") } })
	w.wantProblem(http.StatusInternalServerError, w.send(http.MethodGet, "/readyz", ""))
	if log := w.log.String(); strings.Count(log, "request panicked") != 1 || !strings.Contains(log, "state is broken") {
		t.Errorf("log: %s", log)
	}
}

func TestPanicBehindTheFirstByteCutsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	defer func() {
		if cause := recover(); cause != http.ErrAbortHandler {
			t.Errorf("recovered %v", cause)
		}
	}()
	r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	r.Host = "localhost"
	w.handler.ServeHTTP(brokenPipe{httptest.NewRecorder()}, r)
	t.Error("half an answer was taken for a whole one")
}

type brokenPipe struct{ http.ResponseWriter }

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, target := range []string{"/nothing", campaign + "/", campaign + "/c", campaign + "/c/runs/r/x",
		campaign + "//runs/r", "/docs", "/schemas/Metrics.json", "/openapi.yaml", "/openapi-3.0.json", "/api/../nothing"} {
		w.wantProblem(http.StatusNotFound, w.send(http.MethodGet, target, ""))
	}
	for method, target := range map[string]string{"DELETE": campaign, "PUT": campaign + "/c/runs/r", "POST": "/healthz", "OPTIONS": campaign} {
		got := w.send(method, target, "")
		w.wantProblem(http.StatusMethodNotAllowed, got)
		if got.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", method, target)
		}
	}
	if got := w.send(http.MethodHead, campaign, ""); got.Code != http.StatusOK {
		t.Errorf("HEAD: status %d", got.Code)
	}
}
