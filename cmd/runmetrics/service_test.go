package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
)

// embedded is the environment of a service that has everything in one directory, on free ports.
func embedded(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json"}
}

// addresses are where a service says that it can be reached.
type addresses struct {
	Msg  string `json:"msg"`
	API  string `json:"api"`
	NATS string `json:"nats"`
}

// up waits until the service says that it is running.
func (p *process) up(t *testing.T) addresses {
	t.Helper()
	var at addresses
	eventually(t, "the service is running", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			if json.Unmarshal([]byte(line), &at) == nil && at.Msg == "running" {
				return true
			}
		}
		if len(p.exited) > 0 {
			t.Fatalf("the service has ended: %s", p.stderr.String())
		}
		return false
	})
	return at
}

// record is what tests look at of a metrics record.
type record struct {
	RunID            string `json:"runId"`
	Status           string `json:"status"`
	AgentsTotal      int64  `json:"agentsTotal"`
	AgentsSuccessful int64  `json:"agentsSuccessful"`
	Executions       int64  `json:"executions"`
	TokensIn         int64  `json:"tokensIn"`
	CostUSD          any    `json:"costUSD"`
	Version          int64  `json:"version"`
}

// get reads JSON from the API into answer and returns the status.
func get(t *testing.T, address string, answer any) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return response.StatusCode
}

func list(t *testing.T, api, campaign string) []record {
	t.Helper()
	var answer struct{ Metrics []record }
	if status := get(t, api+"/api/metrics/campaign?limit=500&campaignId="+url.QueryEscape(campaign), &answer); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	return answer.Metrics
}

func executions(records []record) int64 {
	var n int64
	for _, r := range records {
		n += r.Executions
	}
	return n
}

func TestServiceCommitsWhatIsPublishedAndKeepsItOverARestart(t *testing.T) {
	t.Parallel()
	environ := embedded(t)
	l := load{Seed: 5, Runs: 4, Agents: 30, Duplicates: 10}
	const half, all = 150, 300
	var events []events.Event
	for e, again := range l.All(all) {
		if !again {
			events = append(events, e)
		}
	}
	for _, n := range []int{half, all} {
		p := startService(t, environ)
		at := p.up(t)
		call(t, map[string]string{"NATS_URL": at.NATS}, "", "publish", "--generate", fmt.Sprint(n), "--seed", "5",
			"--runs", "4", "--agents", "30", "--duplicates", "10").want(t, exitOK)
		want := foldAll(events[:n])
		var wanted int64
		for _, m := range want {
			wanted += *m.Executions
		}
		eventually(t, "everything is committed", func() bool { return executions(list(t, at.API, "load-5")) == wanted })
		if got := list(t, at.API, "load-5"); len(got) != len(want) {
			t.Errorf("%d runs, want %d", len(got), len(want))
		}
		if code := p.stop(t); code != exitOK {
			t.Fatalf("exit code %d: %s", code, p.stderr.String())
		}
	}
}

func startService(t *testing.T, environ map[string]string, args ...string) *process {
	t.Helper()
	return start(t, environ, append([]string{"run"}, args...)...)
}

// report posts a report, reads the answer and returns its status, 0 where there was none.
func report(t *testing.T, api, body string, answer any) int {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/api/metrics/campaign", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Close = true
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "once")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

func TestServiceAnswersAReportWithItsRecord(t *testing.T) {
	t.Parallel()
	p := startService(t, embedded(t))
	at := p.up(t)
	for range 2 { // a repetition is answered at once, though nothing new is committed
		var got record
		status := report(t, at.API, `{"campaignId":"c/1","runId":"r","phase":"1","agentsTotal":3,"agentsSuccessful":2,
			"assetsGenerated":8,"tokensIn":1000,"tokensOut":2000,"costUSD":0.002,"latencyP95Ms":9,"latencyAvgMs":4}`, &got)
		if status != http.StatusCreated || got.AgentsSuccessful != 2 || got.Version != 1 {
			t.Errorf("%d: %+v", status, got)
		}
	}
}

func TestServiceKeepsASecondOneOutOfItsDirectory(t *testing.T) {
	t.Parallel()
	environ := embedded(t)
	p := startService(t, environ)
	p.up(t)
	r := call(t, environ, "", "run")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "DATA_DIR") || !strings.Contains(r.stderr, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("says %s", r.stderr)
	}
}

func TestServiceNamesTheSettingOfATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	environ := with(embedded(t), map[string]string{"HTTP_ADDR": taken.Addr().String()})
	r := call(t, environ, "", "run")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, taken.Addr().String()) || !strings.Contains(r.stderr, "set HTTP_ADDR") {
		t.Errorf("says %s", r.stderr)
	}
}

// stateOf is what /readyz says.
type stateOf struct {
	State   string
	Reasons []string
	Streams []struct {
		Stream, State          string
		Position, LastSequence uint64
	}
}

func TestServiceStartsWithoutNATSAndGoesOnWhenItComes(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	address := strings.TrimPrefix(b.URL(), "nats://")
	options := &Config{DataDir: strings.TrimSuffix(b.server.StoreDir(), "/nats/jetstream"), NATSListen: address, Deployment: "test"}
	b.Stop()

	p := startService(t, with(environ, map[string]string{"LOG_FORMAT": "json"}))
	at := p.up(t)
	var state stateOf
	if status := get(t, at.API+"/readyz", &state); status != http.StatusOK || state.State != "degraded" || len(state.Reasons) == 0 {
		t.Errorf("%d %+v", status, state)
	}
	again, err := startBroker(options, SyncAlways, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	call(t, environ, "", "publish", "--generate", "50").want(t, exitOK)
	eventually(t, "the service reads", func() bool {
		get(t, at.API+"/readyz", &state)
		return state.State == "active" && len(state.Streams) == 1 && state.Streams[0].Position == 50
	})
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestServiceStartsWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	p := startService(t, with(embedded(t), map[string]string{"DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/db"}))
	at := p.up(t)
	var state stateOf
	eventually(t, "it says what is missing", func() bool {
		status := get(t, at.API+"/readyz", &state)
		return status == http.StatusOK && state.State == "degraded" && len(state.Reasons) > 0
	})
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(p.stderr.String()+fmt.Sprint(state), "hunter2") {
		t.Errorf("shows the password: %+v\n%s", state, p.stderr.String())
	}
}

func TestServiceAnswersRequestsThatWaitForACommitWhenItStops(t *testing.T) {
	t.Parallel()
	p := startService(t, with(embedded(t), map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/db"}))
	at := p.up(t)
	conn, err := nats.Connect(at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	published, err := conn.SubscribeSync("runs.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		answered <- report(t, at.API, `{"campaignId":"c","runId":"r","phase":"1","agentsTotal":1,"agentsSuccessful":1,
		"assetsGenerated":0,"tokensIn":0,"tokensOut":0,"costUSD":0,"latencyP95Ms":1,"latencyAvgMs":1}`, new(record))
	}()
	if _, err := published.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if status := <-answered; status != http.StatusAccepted || time.Since(began) > 4*time.Second {
		t.Errorf("status %d, stopped after %v", status, time.Since(began))
	}
}

func TestServiceRefusesTheStreamOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	p := startService(t, with(environ, map[string]string{"DATA_DIR": t.TempDir()}))
	eventually(t, "the service ends", func() bool { return len(p.exited) > 0 })
	if code := p.stop(t); code != exitFailure || !strings.Contains(p.stderr.String(), "setup --adopt") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestServiceWithEverythingEmbeddedOutlivesTheLossOfItsDatabase(t *testing.T) {
	t.Parallel()
	environ := embedded(t)
	p := startService(t, environ)
	at := p.up(t)
	call(t, map[string]string{"NATS_URL": at.NATS}, "", "publish", "--generate", "40").want(t, exitOK)
	eventually(t, "everything is committed", func() bool { return executions(list(t, at.API, "load-1")) == 30 })
	p.stop(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(environ["DATA_DIR"] + "/runmetrics.db" + suffix); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	p = startService(t, environ)
	at = p.up(t)
	eventually(t, "everything is committed again", func() bool { return executions(list(t, at.API, "load-1")) == 30 })
}

func TestDevShowsRunsThatMove(t *testing.T) {
	t.Parallel()
	environ := with(embedded(t), map[string]string{"NATS_URL": "nats://production:4222", "DATABASE_URL": "postgres://production/db"})
	p := start(t, environ, "dev")
	at := p.up(t)
	for _, part := range []string{at.API + "/readyz", at.NATS, environ["DATA_DIR"], "curl -s"} {
		if !strings.Contains(p.stdout.String(), part) {
			t.Errorf("does not print %s:\n%s", part, p.stdout.String())
		}
	}
	for _, c := range sampleCampaigns {
		var before int64
		eventually(t, c.id+" has executions", func() bool {
			before = executions(list(t, at.API, c.id))
			return before > 0
		})
		eventually(t, c.id+" moves", func() bool { return executions(list(t, at.API, c.id)) > before })
	}
	if code := p.stop(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}

func TestDevWithoutAgentsIsQuiet(t *testing.T) {
	t.Parallel()
	p := start(t, embedded(t), "dev", "--no-agents")
	at := p.up(t)
	call(t, map[string]string{"NATS_URL": at.NATS}, "", "publish", "--generate", "5").want(t, exitOK)
	var state stateOf
	eventually(t, "the events are read", func() bool {
		get(t, at.API+"/readyz", &state)
		return len(state.Streams) == 1 && state.Streams[0].Position >= 5
	})
	if state.Streams[0].Position != 5 {
		t.Errorf("somebody else publishes: %+v", state)
	}
}

func TestHealthcheckTellsTheLivingFromTheDead(t *testing.T) {
	t.Parallel()
	p := startService(t, embedded(t))
	address := strings.TrimPrefix(p.up(t).API, "http://")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{address, "0.0.0.0:" + port, ":" + port} {
		call(t, map[string]string{"HTTP_ADDR": listen}, "", "healthcheck").want(t, exitOK)
	}
	odd := map[string]string{"HTTP_ADDR": address, "NATS_CREDS": filepath.Join(t.TempDir(), "gone since"), "LOG_LEVEL": "?"}
	call(t, odd, "", "healthcheck").want(t, exitOK)
	p.stop(t)
	call(t, map[string]string{"HTTP_ADDR": address}, "", "healthcheck").want(t, exitFailure)
}
