package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// testReadme sends the request that the README shows, byte for byte but for the address.
func testReadme(t *testing.T, s *system) {
	t.Run("net-http", func(t *testing.T) { s.sendReadmeRequest(t, sendParsed) })
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("curl is not installed: the request was sent without it")
		return
	}
	t.Run("curl", func(t *testing.T) { s.sendReadmeRequest(t, sendByShell) })
}

// sendReadmeRequest sends the request to a service of its own, which must answer 201 and list the record from then on.
func (s *system) sendReadmeRequest(t *testing.T, send func(t *testing.T, line string) (int, []byte)) {
	t.Helper()
	p := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:0", "HTTP_ADDR": "127.0.0.1:0"}, "run")
	line := strings.Replace(readmeRequest(t), "http://localhost:8080", p.api, 1)
	status, body := send(t, line)
	if status != http.StatusCreated {
		t.Fatalf("%s\nanswers %d: %s", line, status, body)
	}
	var list struct{ Metrics []json.RawMessage }
	p.read(t, "/api/metrics/campaign?limit=5", &list)
	if len(list.Metrics) != 1 || !bytes.Equal(bytes.TrimSpace(list.Metrics[0]), bytes.TrimSpace(body)) {
		t.Fatalf("the list %s is not the record that was answered: %s", list.Metrics, body)
	}
	var r struct {
		CampaignID, RunID, Phase, Status, Source        string
		AgentsTotal, AgentsSuccessful, AssetsGenerated  int64
		TokensIn, TokensOut, LatencyP95Ms, LatencyAvgMs int64
		CostUSD, SuccessRate                            json.Number
	}
	if err := json.Unmarshal(list.Metrics[0], &r); err != nil {
		t.Fatal(err)
	}
	if rat(t, r.SuccessRate.String()).Cmp(rat(t, "100")) != 0 || r.CostUSD != "0.002" {
		t.Errorf("successRate %s, costUSD %s, want 100 and 0.002", r.SuccessRate, r.CostUSD)
	}
	r.SuccessRate, r.CostUSD = "", ""
	want := r
	want.CampaignID, want.RunID, want.Phase, want.Status, want.Source = "api-test-001", "api-run-001", "2-3", "completed", "reported"
	want.AgentsTotal, want.AgentsSuccessful, want.AssetsGenerated = 3, 3, 8
	want.TokensIn, want.TokensOut, want.LatencyP95Ms, want.LatencyAvgMs = 1000, 2000, 45000, 38000
	if r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	t.Logf("201, then %s", list.Metrics[0])
}

// readmeRequest is the line of the README that posts.
func readmeRequest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "curl -X POST http://localhost:8080/api/metrics/campaign ") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("the README shows no request that posts")
	return ""
}

// sendByShell sends the request as somebody does who copies the line, and asks curl for the status besides.
func sendByShell(t *testing.T, line string) (int, []byte) {
	t.Helper()
	out, err := exec.Command("sh", "-c", line+` -s -S -w '\n%{http_code}'`).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	end := max(0, bytes.LastIndexByte(out, '\n'))
	status, err := strconv.Atoi(string(out[end+1:]))
	if err != nil {
		t.Fatalf("curl says %s", out)
	}
	return status, out[:end]
}

// word is what a shell takes for one word, with its quotes.
var word = regexp.MustCompile(`'[^']*'|"[^"]*"|[^ '"]+`)

// sendParsed does what curl does with the options of the line.
func sendParsed(t *testing.T, line string) (int, []byte) {
	t.Helper()
	words := word.FindAllString(line, -1)
	for i := range words {
		words[i] = strings.Trim(words[i], `'"`)
	}
	if len(words) != 8 || words[1] != "-X" || words[4] != "-H" || words[6] != "-d" {
		t.Fatalf("the README's request looks otherwise now: %q", words)
	}
	request, err := http.NewRequestWithContext(t.Context(), words[2], words[3], strings.NewReader(words[7]))
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(words[5], ": ")
	request.Header.Set(name, value)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}
