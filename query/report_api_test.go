package query_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

const campaign = "/api/metrics/campaign"

const example = `{"campaignId": "api-test-001", "runId": "api-run-001", "phase": "2-3", "agentsTotal": 3, "agentsSuccessful": 3, "assetsGenerated": 8, "tokensIn": 1000, "tokensOut": 2000, "costUSD": 0.002, "latencyP95Ms": 45000, "latencyAvgMs": 38000}`

// serve runs the handler on a socket of this machine until the test ends.
func serve(t *testing.T, h http.Handler) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- query.Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), stop
}

func TestTheExampleOfTheContractWorksByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	url, _ := serve(t, w.handler)
	answer, err := http.Post(url+campaign, "application/json", strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("status %d: %s", answer.StatusCode, body)
	}
	answer, err = http.Get(url + campaign + "?limit=5")
	if err != nil {
		t.Fatal(err)
	}
	listed, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	for _, part := range []string{`"campaignId":"api-test-001"`, `"runId":"api-run-001"`, `"phase":"2-3"`,
		`"runKey":"f39f6b5c-ea9d-54ef-85e4-8874211c4577"`, `"status":"completed"`, `"source":"reported"`,
		`"agentsTotal":3`, `"agentsSuccessful":3`, `"agentsFailed":0`, `"agentsCancelled":null`, `"executions":null`,
		`"assetsGenerated":8`, `"tokensIn":1000`, `"tokensOut":2000`, `"costUSD":0.002`, `"costComplete":true`,
		`"latencyAvgMs":38000`, `"latencyP50Ms":null`, `"latencyP95Ms":45000`, `"successRate":100`,
		`"createdAt":"2026-02-14T12:00:00Z"`, `"updatedAt":"2026-02-14T12:00:00Z"`, `"version":1`} {
		for name, text := range map[string][]byte{"POST": body, "GET": listed} {
			if !bytes.Contains(text, []byte(part)) {
				t.Errorf("%s lacks %s: %s", name, part, text)
			}
		}
	}
	if !bytes.HasSuffix(bytes.TrimSpace(listed), []byte(`"nextCursor":null}`)) || bytes.Contains(listed, []byte("$schema")) {
		t.Errorf("listed: %s", listed)
	}
}

func TestReportRepeatedWithItsKeyIsCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range 2 {
		got := w.send(http.MethodPost, campaign, example, "Idempotency-Key", "key-1")
		w.want(http.StatusCreated, got).has(t, map[string]any{"version": 1})
		if at := got.Header().Get("Location"); at != campaign+"/api-test-001/runs/api-run-001" {
			t.Errorf("Location %q", at)
		}
	}
	if stored := w.storedIDs(events.Key{CampaignID: "api-test-001", RunID: "api-run-001", Phase: "2-3"}); len(stored) != 1 || stored[0] != "key-1" {
		t.Errorf("stored ids %q", stored)
	}
	w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, campaign, example, "Idempotency-Key", ""), "header.Idempotency-Key")
	// Without a key each report is one of its own.
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, example)).has(t, map[string]any{"version": 2})
}

func (w *world) storedIDs(k events.Key) []string {
	w.t.Helper()
	list, err := sinks.EventsOf(w.t.Context(), w.store, k.UUID())
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return ids
}

func TestReportWithoutKeyGetsAFreshUUID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, example))
	ids := w.storedIDs(events.Key{CampaignID: "api-test-001", RunID: "api-run-001", Phase: "2-3"})
	if len(ids) != 1 || uuid.Validate(ids[0]) != nil {
		t.Errorf("ids %q", ids)
	}
}

func TestReportShowsExecutionsWhereTheRunHasThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.apply(execution(events.Key{CampaignID: "api-test-001", RunID: "api-run-001", Phase: "2-3"}, "e1", "a", start, 70))
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, example)).has(t,
		map[string]any{"source": "events", "agentsTotal": 1, "latencyP95Ms": 70, "version": 2})
}

func TestReportIsAcceptedWhileTheCommitIsNotSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.lagging = true
	got := w.want(http.StatusAccepted, w.send(http.MethodPost, campaign, example))
	if want := `{"runKey":"f39f6b5c-ea9d-54ef-85e4-8874211c4577","sequence":1,"stream":"RUN_EVENTS"}`; jsonOf(got) != want {
		t.Errorf("got %s", jsonOf(got))
	}
}

func TestReportIsAcceptedWhereTheStoreGoesAwayAfterTheCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Reader = faulty{Reader: c.Reader, err: sinks.ErrUnavailable} })
	w.want(http.StatusAccepted, w.send(http.MethodPost, campaign, example))
}

func TestReportIs503WhileTheStreamIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.away = errors.New("no responders")
	got := w.send(http.MethodPost, campaign, example)
	w.wantProblem(http.StatusServiceUnavailable, got)
	if got.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if log := w.log.String(); strings.Count(log, "request failed") != 1 || !strings.Contains(log, "no responders") {
		t.Errorf("log: %s", log)
	}
}

func TestReportThatBreaksRulesNamesThemAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	body := `{"campaignId":"","runId":5,"phase":"1","agentsTotal":-1,"agentsSuccessful":null,"assetsGenerated":1e3,
		"tokensIn":"1","tokensOut":5.0,"costUSD":"x","latencyP95Ms":-1,"createdAt":"1999-12-31T00:00:00Z","other":[]}`
	p := w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, campaign, body, "Idempotency-Key", "\x01"),
		"header.Idempotency-Key", "body.campaignId", "body.runId", "body.createdAt", "body.agentsTotal",
		"body.agentsSuccessful", "body.tokensIn", "body.costUSD", "body.latencyP95Ms", "body.latencyAvgMs")
	for _, name := range []string{"campaignId", "agentsSuccessful is required", "createdAt must not lie before 2000-01-01"} {
		if !strings.Contains(p["detail"].(string), name) {
			t.Errorf("detail %q lacks %q", p["detail"], name)
		}
	}
	if w.position.Sequence != 0 {
		t.Error("something was published")
	}
}

func TestBodiesThatAreNoReportAreProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, body := range []string{"", "{", "[]", "null", `{"a":1}{}`, "{\"a\":\"\xff\"}"} {
		w.wantProblem(http.StatusBadRequest, w.send(http.MethodPost, campaign, body))
	}
	full := `{"note":"` + strings.Repeat("x", 64<<10-len(`{"note":"",`)-len(example[1:])) + `",` + example[1:]
	w.want(http.StatusCreated, w.send(http.MethodPost, campaign, full))
	w.wantProblem(http.StatusRequestEntityTooLarge, w.send(http.MethodPost, campaign, full+" "))
}

func TestOnlyJSONIsPosted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for kind, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "Application/JSON;charset": 201,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, "": 415, "application/jsonp": 415, "text/json": 415,
		"application/json, text/plain": 415,
	} {
		got := w.send(http.MethodPost, campaign, example, "Content-Type", kind)
		if got.Code != status {
			t.Errorf("%q: status %d, want %d", kind, got.Code, status)
		}
		if status == 415 {
			w.wantProblem(status, got)
		}
	}
}

func TestBodyThatEndsEarlyOrLateIsAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for err, status := range map[error]int{io.ErrUnexpectedEOF: http.StatusBadRequest, timeoutError{}: http.StatusRequestTimeout} {
		r := httptest.NewRequest(http.MethodPost, campaign, io.MultiReader(strings.NewReader(example[:9]), failing{err}))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		w.handler.ServeHTTP(recorder, r)
		w.wantProblem(status, recorder)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// timeoutError is what a connection answers past its read deadline.
type timeoutError struct{}

func (timeoutError) Error() string   { return "i/o timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestServeLetsRequestsFinishAndThenEnds(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(c *query.Config) {
		publish := c.Publish
		c.Publish = func(ctx context.Context, list []*events.Event) []query.Receipt {
			close(begun)
			<-release
			return publish(ctx, list)
		}
	})
	url, stop := serve(t, w.handler)
	status := make(chan int, 1)
	go func() {
		answer, err := http.Post(url+campaign, "application/json", strings.NewReader(example))
		if err != nil {
			status <- 0
			return
		}
		_ = answer.Body.Close()
		status <- answer.StatusCode
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for { // until the listener is closed: from then on it waits for the request alone
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		_ = c.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("ended with a request under way: %v", err)
	default:
	}
	close(release)
	if got := <-status; got != http.StatusCreated {
		t.Errorf("status %d", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := query.Serve(t.Context(), l, http.NotFoundHandler(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("served on a closed listener")
	}
}
