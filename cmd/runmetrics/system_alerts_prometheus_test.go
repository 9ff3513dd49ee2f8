package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// quickening is by how much the test divides the times of rules.yml.
const quickening = 60

var (
	duration   = regexp.MustCompile(`(\[|for: |_interval: )([0-9]+)([smh])`)
	inSeconds  = regexp.MustCompile(`([0-9]+(?: \* 60)*) \* 60`)
	lateBucket = `le=~"10|10.0"`
)

// quickened are rules whose every range and waiting time is a sixtieth, at least a second. A comparison with seconds, which
// rules.yml writes as products of 60, loses a factor. Only the bound of what is late cannot be divided so, as it is that of
// a bucket: a second takes the place of ten.
func quickened(rules string) string {
	rules = duration.ReplaceAllStringFunc(rules, func(found string) string {
		parts := duration.FindStringSubmatch(found)
		n, _ := strconv.Atoi(parts[2]) // digits
		unit := map[string]int{"s": 1, "m": 60, "h": 3600}[parts[3]]
		return fmt.Sprintf("%s%ds", parts[1], max(1, n*unit/quickening))
	})
	rules = inSeconds.ReplaceAllString(rules, "$1")
	return strings.ReplaceAll(rules, lateBucket, `le=~"1|1.0"`)
}

func TestRulesAreQuickenedAsSaid(t *testing.T) {
	t.Parallel()
	got := quickened(`rate(a{le=~"10|10.0"}[5m]) > 15 * 60 and b[6h] < 24 * 60 * 60 for: 10m for: 30s c < 60 * 60`)
	if want := `rate(a{le=~"1|1.0"}[5s]) > 15 and b[360s] < 24 * 60 for: 10s for: 1s c < 60`; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// monitor is Prometheus with the shipped rules, quickened, which scrapes services. Each world is a job of its own.
type monitor struct {
	api string
	dir string
}

// startMonitor starts Prometheus on a free port. Its targets come with watch.
func startMonitor(t *testing.T, jobs []string) *monitor {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join(prometheusDir, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{dir: t.TempDir()}
	config := "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n" +
		"rule_files: [rules.yml]\nscrape_configs:\n"
	for _, job := range jobs {
		config += fmt.Sprintf("  - {job_name: %s, file_sd_configs: [{files: [targets/%s.json], refresh_interval: 1s}]}\n", job, job)
	}
	if err := os.Mkdir(filepath.Join(m.dir, "targets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"rules.yml": quickened(string(rules)), "prometheus.yml": config} {
		if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	m.api = "http://" + port.Addr().String()
	p := (&system{binary: fromPrometheus(t, "prometheus")}).start(t, nil, "--config.file="+filepath.Join(m.dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(m.dir, "data"), "--web.listen-address="+port.Addr().String(), "--log.level=warn")
	until(t, patience, "Prometheus is ready", func() bool {
		if p.over() {
			t.Fatalf("Prometheus has ended: %s", p.stderr.String())
		}
		response, err := client.Get(m.api + "/-/ready")
		if err == nil {
			response.Body.Close()
		}
		return err == nil && response.StatusCode == http.StatusOK
	})
	return m
}

// watch gives a job these targets, in place of those it had.
func (m *monitor) watch(t *testing.T, job string, services ...*program) {
	t.Helper()
	targets := []string{}
	for _, p := range services {
		targets = append(targets, strings.TrimPrefix(p.api, "http://"))
	}
	text, err := json.Marshal([]any{map[string]any{"targets": targets}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(m.dir, "targets", job+".json")
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// alert is one that Prometheus shows as pending or firing.
type alert struct {
	Labels, Annotations map[string]string
	State               string
}

// firing are the alerts of each job that fire now, by what tells them apart.
func (m *monitor) firing(t *testing.T) map[string]map[string]alert {
	t.Helper()
	var answer struct{ Data struct{ Alerts []alert } }
	m.ask(t, "/api/v1/alerts", &answer)
	jobs := make(map[string]map[string]alert)
	for _, a := range answer.Data.Alerts {
		job := a.Labels["job"]
		if jobs[job] == nil {
			jobs[job] = make(map[string]alert)
		}
		if a.State == "firing" {
			jobs[job][alertID(a.Labels["alertname"], a.Labels)] = a
		}
	}
	return jobs
}

// fired are the alerts that fired within the last minutes, with their jobs.
func (m *monitor) fired(t *testing.T) []string {
	t.Helper()
	var list []string
	const recently = `count by (alertname, severity, part, job) (count_over_time(ALERTS{alertstate="firing"}[5m]))`
	for _, labels := range m.query(t, recently) {
		list = append(list, labels["job"]+": "+alertID(labels["alertname"], labels))
	}
	return list
}

// query has the labels of each series of an expression's answer.
func (m *monitor) query(t *testing.T, expr string) []map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	m.ask(t, "/api/v1/query?"+url.Values{"query": {expr}}.Encode(), &answer)
	list := make([]map[string]string, len(answer.Data.Result))
	for i, result := range answer.Data.Result {
		list[i] = result.Metric
	}
	return list
}

func (m *monitor) ask(t *testing.T, path string, v any) {
	t.Helper()
	(&program{api: m.api}).read(t, path, v)
}

// scraped waits until every job has that many targets that answer.
func (m *monitor) scraped(t *testing.T, want map[string]int) {
	t.Helper()
	until(t, patience, "Prometheus scrapes every service", func() bool {
		up := make(map[string]int)
		for _, labels := range m.query(t, "up == 1") {
			up[labels["job"]]++
		}
		for job, n := range want {
			if up[job] != n {
				return false
			}
		}
		return true
	})
}

// since is for how long something lasts.
func since(began time.Time) time.Duration { return time.Since(began).Round(100 * time.Millisecond) }
