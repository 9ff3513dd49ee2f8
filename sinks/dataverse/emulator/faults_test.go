package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// faulty is a server that stores by counting, behind faults.
type faulty struct {
	*httptest.Server
	faults   *faults
	counters *counters
	stored   atomic.Int64
	store    chan string // gets the body of each request that takes place
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{counters: newCounters(time.Now), store: make(chan string, 100)}
	f.faults = newFaults(time.Now, f.counters)
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Context().Err() != nil {
			t.Errorf("read the request: %v, its context: %v", err, r.Context().Err())
		}
		f.stored.Add(1)
		f.store <- string(body)
		w.Header().Set("OData-EntityId", "x")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "made")
	})
	mux := http.NewServeMux()
	mux.Handle("/emulator/", newControl(f.faults, f.counters, func() *apiError {
		f.stored.Store(0)
		return nil
	}))
	mux.Handle("/", f.counters.wrap(f.faults.wrap(service)))
	f.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.faults.close()
		f.Close()
	})
	return f
}

// post sends a request, and returns its answer with the body read; an error if the connection was cut.
func (f *faulty) post(path string) (*http.Response, string, error) {
	answer, err := f.Client().Post(f.URL+path, "application/json", strings.NewReader("row"))
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

func TestADroppedConnectionLeavesOpenWhetherTheRequestTookPlace(t *testing.T) {
	t.Parallel()
	for kind, stored := range map[string]int64{"drop-before": 0, "drop-after": 1} {
		f := newFaulty(t)
		f.faults.inject(Fault{Kind: kind, Times: 1})
		if _, _, err := f.post("/api/data/v9.2/rows"); !errors.Is(err, io.EOF) {
			t.Errorf("%s: the client saw %v", kind, err)
		}
		if f.stored.Load() != stored {
			t.Errorf("%s: stored %d times", kind, f.stored.Load())
		}
		answer, body, err := f.post("/api/data/v9.2/rows")
		if err != nil || answer.StatusCode != http.StatusCreated || body != "made" {
			t.Errorf("%s: once it is over: %v %v %s", kind, err, answer, body)
		}
	}
}

func TestThrottlingAsksToWaitAndCountsThoseWhoDoNot(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.faults.inject(Fault{Kind: "throttle", Times: 1, RetryAfter: 1500 * time.Millisecond})
	answer, body, err := f.post("/api/data/v9.2/rows")
	if err != nil || answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") != "2" ||
		!strings.Contains(body, `"0x80072322"`) {
		t.Fatalf("got %v %v %s", err, answer, body)
	}
	if answer, _, err := f.post("/api/data/v9.2/rows"); err != nil || answer.StatusCode != http.StatusCreated {
		t.Errorf("the second request: %v %v", err, answer)
	}
	if s := f.counters.snapshot(); s.Throttled["fault"] != 1 || s.WhileThrottled != 1 || s.Requests != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestGatewaysAnswerErrorsInHTMLAndDataverseInJSON(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	for status, kind := range map[int]string{
		500: "application/json", 413: "application/json", 502: "text/html", 503: "text/html", 504: "text/html",
	} {
		f.faults.inject(Fault{Kind: "error", Times: 1, Status: status, RetryAfter: 7 * time.Second})
		answer, body, err := f.post("/api/data/v9.2/rows")
		if err != nil || answer.StatusCode != status || !strings.HasPrefix(answer.Header.Get("Content-Type"), kind) ||
			answer.Header.Get("Retry-After") != "7" || body == "" {
			t.Errorf("%d: %v %v %s", status, err, answer, body)
		}
	}
	if f.stored.Load() != 0 {
		t.Errorf("stored %d times", f.stored.Load())
	}
}

func TestASlowRequestTakesPlaceThoughItsClientHasGone(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.faults.inject(Fault{Kind: "slow", Times: 1, Delay: 200 * time.Millisecond})
	client := *f.Client()
	client.Timeout = 20 * time.Millisecond
	if _, err := client.Post(f.URL+"/api/data/v9.2/rows", "application/json", strings.NewReader("late")); err == nil {
		t.Fatal("the client got an answer")
	}
	if body := <-f.store; body != "late" {
		t.Errorf("stored %q", body)
	}
}

func TestALateAnswerIsOfARequestThatTookPlace(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.faults.inject(Fault{Kind: "slow-after", Times: 1, Delay: time.Hour})
	answered := make(chan error)
	go func() {
		_, _, err := f.post("/api/data/v9.2/rows")
		answered <- err
	}()
	<-f.store
	f.faults.close() // ends the delay
	if err := <-answered; err == nil {
		t.Error("the client got an answer from a closed emulator")
	}
	f = newFaulty(t)
	f.faults.inject(Fault{Kind: "slow-after", Times: 1, Delay: time.Millisecond})
	answer, body, err := f.post("/api/data/v9.2/rows")
	if err != nil || answer.StatusCode != http.StatusCreated || answer.Header.Get("OData-EntityId") != "x" ||
		body != "made" {
		t.Errorf("got %v %v %s", err, answer, body)
	}
}

func TestASlowRequestDoesNotTakePlaceOnceTheEmulatorIsClosed(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.faults.inject(Fault{Kind: "slow", Delay: time.Hour})
	f.faults.close()
	if _, _, err := f.post("/api/data/v9.2/rows"); err == nil || f.stored.Load() != 0 {
		t.Errorf("error %v, stored %d times", err, f.stored.Load())
	}
}

func TestFaultsOfTokens(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.faults.inject(Fault{Kind: "expired-token", Times: 1})
	f.faults.inject(Fault{Kind: "wrong-secret", Times: 1})
	answer, body, err := f.post("/api/data/v9.2/rows")
	if err != nil || answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("expired-token: %v %v %s", err, answer, body)
	}
	answer, body, err = f.post("/tenant/oauth2/v2.0/token")
	if err != nil || answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "AADSTS7000215") {
		t.Errorf("wrong-secret: %v %v %s", err, answer, body)
	}
}

func TestAFaultIsMetByTheRequestsItIsFor(t *testing.T) {
	t.Parallel()
	failed := func(f *faults, path string) bool {
		w := httptest.NewRecorder()
		service := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		f.wrap(service).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code != http.StatusOK
	}
	f := newFaults(time.Now, newCounters(time.Now))
	f.inject(Fault{Kind: "error", Status: 500, Path: "UpsertMultiple", Times: 2})
	f.inject(Fault{Kind: "error", Status: 503, Path: "/token"})
	for _, c := range []struct {
		path string
		want bool
	}{
		{"/api/data/v9.2/rows", false},
		{"/api/data/v9.2/rows/Microsoft.Dynamics.CRM.UpsertMultiple", true},
		{"/api/data/v9.2/rows/Microsoft.Dynamics.CRM.UpsertMultiple", true},
		{"/api/data/v9.2/rows/Microsoft.Dynamics.CRM.UpsertMultiple", false},
		{"/t/oauth2/v2.0/token", true},
		{"/t/oauth2/v2.0/token", true},
	} {
		if got := failed(f, c.path); got != c.want {
			t.Errorf("%s failed: %v", c.path, got)
		}
	}
	f.clear()
	f.inject(Fault{Kind: "error", Status: 500, Chance: 0.3})
	for dice, want := range map[float64]bool{0: true, 0.29: true, 0.3: false, 0.99: false} {
		f.random = func() float64 { return dice }
		if got := failed(f, "/api/data/v9.2/rows"); got != want {
			t.Errorf("with the dice at %v it failed: %v", dice, got)
		}
	}
	if failed(f, "/t/oauth2/v2.0/token") {
		t.Error("a fault without a path met a request for a token")
	}
}

func TestFaultsAreInjectedAndStatsReadOverHTTP(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	control := func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequest(method, f.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := f.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, strings.TrimSpace(string(text))
	}
	for body, problem := range map[string]string{
		`{"kind":"explode"}`:                               "kind",
		`{"kind":"error","status":200}`:                    "status",
		`{"kind":"slow","delay":"soon"}`:                   "delay",
		`{"kind":"slow","delay":"-1s"}`:                    "negative",
		`{"kind":"slow","chance":2}`:                       "chance",
		`{"kind":"throttle","after":"5"}`:                  "after",
		`{`:                                                "read fault",
		`{"kind":"` + strings.Repeat("x", maxFault) + `"}`: "too large",
	} {
		status, text := control(http.MethodPost, "/emulator/faults", body)
		if status != http.StatusBadRequest || !strings.Contains(text, problem) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	const fault = `{"kind":"throttle","path":"rows","times":3,"retryAfter":"1m30s","chance":1}`
	if status, text := control(http.MethodPost, "/emulator/faults", fault); status != http.StatusCreated || text != fault {
		t.Errorf("inject: %d %s", status, text)
	}
	if answer, _, err := f.post("/api/data/v9.2/rows"); err != nil || answer.Header.Get("Retry-After") != "90" {
		t.Errorf("a request met %v %v", err, answer)
	}
	if _, text := control(http.MethodGet, "/emulator/faults", ""); text != "["+strings.Replace(fault, "3", "2", 1)+"]" {
		t.Errorf("the faults are %s", text)
	}
	var stats Stats
	if _, text := control(http.MethodGet, "/emulator/stats", ""); json.Unmarshal([]byte(text), &stats) != nil ||
		stats.Requests != 1 || stats.Throttled["fault"] != 1 {
		t.Errorf("the stats are %s", text)
	}
	if status, _ := control(http.MethodDelete, "/emulator/faults", ""); status != http.StatusNoContent {
		t.Errorf("clear: %d", status)
	}
	if answer, _, err := f.post("/api/data/v9.2/rows"); err != nil || answer.StatusCode != http.StatusCreated {
		t.Errorf("after they were cleared a request met %v %v", err, answer)
	}
	if status, _ := control(http.MethodDelete, "/emulator/rows", ""); status != http.StatusNoContent || f.stored.Load() != 0 {
		t.Errorf("delete the rows: %d, %d left", status, f.stored.Load())
	}
}
