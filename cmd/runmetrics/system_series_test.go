package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
)

// testSeries drives a service with everything on by what agents and callers choose freely: names, paths, hosts, methods. No
// metric gets another series by it, and docs/telemetry.md describes each metric.
func testSeries(t *testing.T, s *system) {
	line, token := newToken(t, "everyone", "--scopes", "read,write")
	p := s.serve(t, map[string]string{"DATA_DIR": t.TempDir(), "HTTP_ADDR": "127.0.0.1:0", "NATS_LISTEN": "127.0.0.1:0", "NATS_SYNC": "2m",
		"API_KEYS_FILE": writeFile(t, line), "API_RATE_LIMIT": "0", "DATAVERSE_MIN_INTERVAL": "0s"}, "dev", "--no-agents")
	d := &driver{T: t, program: p, token: token}
	conn, err := nats.Connect(p.nats)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d.conn = conn
	for _, command := range consumer.CheckCommands {
		if err := consumer.AnnounceChecked(conn, "main", consumer.Checked{Command: command, At: time.Now(), Left: 1, Whole: true}); err != nil {
			t.Fatal(err)
		}
	}

	const first, many = 3, 60
	d.drive(0, first)
	d.settle(first)
	before := d.series()
	d.drive(first, many)
	d.settle(many)
	after := d.series()
	for name, n := range after {
		if n != before[name] {
			t.Errorf("%s has %d series, and had %d before agents and callers chose other names", name, n, before[name])
		}
	}
	t.Logf("%d metrics with %d series", len(after), sum(after))
	d.wantDocumented()
}

func sum(counts map[string]int) (n int) {
	for _, count := range counts {
		n += count
	}
	return n
}

// driver does what agents and callers do.
type driver struct {
	*testing.T
	*program
	conn  *nats.Conn
	token string
}

// drive has the events and requests of the numbers from until to. All names in them are new.
func (d *driver) drive(from, to int) {
	for i := from; i < to; i++ {
		event := func(id, status, more string) string {
			return fmt.Sprintf(`{"id":"%s-%d","campaignId":"campaign %d","runId":"run-%d","phase":"p%d","occurredAt":"2026-02-14T11:00:00Z","agentId":"agent-%d",`+
				`"agentName":"Agent %d","model":"model-%d","status":%q,"latencyMs":5,"costUSD":"0.01","tokensIn":5%s}`, id, i, i, i, i, i, i, i, status, more)
		}
		subject := fmt.Sprintf("runs.campaign%%20%d.run-%d", i, i)
		d.publish(subject, event("done", "succeeded", ""))
		d.publish(subject, event("done", "succeeded", ""))
		d.publish(subject, event("failed", "failed", fmt.Sprintf(`,"error":"error %d"`, i)))
		d.publish(subject, event("cancelled", "cancelled", ""))
		d.publish(subject, fmt.Sprintf(`{"unreadable %d`, i))
		d.publish(subject, event("typed", "succeeded", fmt.Sprintf(`,"type":"type-%d"`, i)))
		d.publish(fmt.Sprintf("runs.other-%d.run", i), event("elsewhere", "succeeded", ""))

		for _, path := range []string{fmt.Sprintf("/api/metrics/campaign?campaignId=campaign-%d&limit=%d", i, i%50+1),
			fmt.Sprintf("/api/metrics/campaign/campaign-%d/runs/run-%d", i, i), fmt.Sprintf("/api/unknown-%d", i), fmt.Sprintf("/%d/../etc/passwd", i),
			fmt.Sprintf("/panel/unknown-%d.js", i), fmt.Sprintf("/%%ff%d", i)} {
			d.request(http.MethodGet, path, "", d.token)
			d.request(fmt.Sprintf("BREW%d", i), path, "", d.token)
			d.request(http.MethodGet, path, fmt.Sprintf("evil-%d.example:%d", i, i+1), d.token)
		}
		d.request(http.MethodGet, "/api/metrics/campaign", "", fmt.Sprintf("key-%d.secret-%d", i, i))
	}
}

func (d *driver) publish(subject, event string) {
	d.Helper()
	if _, err := d.conn.Request(subject, []byte(event), patience); err != nil {
		d.Fatal(err)
	}
}

// request sends one whose answer is of no interest.
func (d *driver) request(method, path, host, token string) string {
	d.Helper()
	request, err := http.NewRequestWithContext(d.Context(), method, d.api+path, nil)
	if err != nil {
		d.Fatal(err)
	}
	request.Host = cmp.Or(host, request.Host)
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		d.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		d.Fatal(err)
	}
	return string(body)
}

// settle waits until all that was driven is committed and copied, and until all requests were answered.
func (d *driver) settle(to int) {
	d.Helper()
	for _, line := range []string{fmt.Sprintf(`runmetrics_events_applied_total{stream="RUN_EVENTS"} %d`, 3*to),
		fmt.Sprintf(`runmetrics_events_dead_lettered_total{stream="RUN_EVENTS"} %d`, 3*to), `runmetrics_dataverse_behind_seconds 0`} {
		until(d.T, patience, line, func() bool { return strings.Contains(d.metrics(), "\n"+line+"\n") })
	}
	until(d.T, patience, "all runs are copied", func() bool {
		return strings.Contains(d.metrics(), "\nrunmetrics_dataverse_request_duration_seconds_count{outcome=\"taken\"}")
	})
}

func (d *driver) metrics() string { return d.request(http.MethodGet, "/metrics", "", d.token) }

// series counts those of each metric.
func (d *driver) series() map[string]int {
	counts := make(map[string]int)
	for name, series := range readMetrics(d.T, d.metrics()) {
		counts[name] = len(series)
	}
	return counts
}

// describedMetric is a row of the table in docs/telemetry.md: name, kind, labels, meaning.
var describedMetric = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| (.*?) \\| .+ \\|$")

// wantDocumented compares what /metrics shows with docs/telemetry.md, both ways. Metrics of Go and of the process are named
// there by their beginnings.
func (d *driver) wantDocumented() {
	d.Helper()
	text, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		d.Fatal(err)
	}
	described := map[string]string{}
	for _, row := range describedMetric.FindAllStringSubmatch(string(text), -1) {
		labels := strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, –", r) })
		slices.Sort(labels)
		described[row[1]] = row[2] + " by " + strings.Join(labels, " ")
	}
	shown := map[string]string{}
	says := d.metrics()
	series := readMetrics(d.T, says)
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(says, -1) {
		name, kind := line[1], line[2]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		example := series[name]
		if kind == "histogram" {
			example = series[name+"_count"]
		}
		shown[name] = kind + " by " + strings.Join(slices.Sorted(maps.Keys(example[0])), " ")
	}
	for name, what := range shown {
		if described[name] != what {
			d.Errorf("%s is a %s, which docs/telemetry.md describes as %q", name, what, described[name])
		}
	}
	for name, what := range described {
		if shown[name] == "" {
			d.Errorf("docs/telemetry.md describes %s, a %s, which is not shown", name, what)
		}
	}
	d.wantAsked(shown)
}

// askedMetric is a metric by its OpenTelemetry name, as queries of Application Insights have it.
var askedMetric = regexp.MustCompile("(?:name == |name in \\(|, )\"(runmetrics\\.[a-z_.]+)\"|`(runmetrics\\.[a-z_.]+)`")

// wantAsked wants each metric that docs/application-insights.md asks for among those that are shown.
func (d *driver) wantAsked(shown map[string]string) {
	d.Helper()
	text, err := os.ReadFile("../../docs/application-insights.md")
	if err != nil {
		d.Fatal(err)
	}
	asked := askedMetric.FindAllStringSubmatch(string(text), -1)
	if len(asked) < 10 {
		d.Fatalf("docs/application-insights.md asks for %q alone", asked)
	}
	for _, names := range asked {
		name := strings.ReplaceAll(names[1]+names[2], ".", "_")
		if shown[name]+shown[name+"_total"]+shown[name+"_seconds"] == "" {
			d.Errorf("docs/application-insights.md asks for %s, which there is not", names[1]+names[2])
		}
	}
}
