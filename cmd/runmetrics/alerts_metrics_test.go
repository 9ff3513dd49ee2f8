package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// namedMetric is a metric that an expression of PromQL names, with what it asks of its labels.
type namedMetric struct {
	name   string
	labels []namedLabel
}

// namedLabel is `label="value"` or another comparison of a label.
type namedLabel struct{ name, op, value string }

var (
	// ownMetric is what /metrics may show. What rules record has a colon in it.
	ownMetric = regexp.MustCompile(`\b(?:runmetrics|http_server|go|process)_[a-zA-Z0-9_]+(?::[a-zA-Z0-9_:]*)?`)
	matcher   = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
)

// metricsNamedIn finds the metrics of runmetrics in an expression: a scanner does where the prefixes are known.
func metricsNamedIn(expr string) []namedMetric {
	var list []namedMetric
	for _, at := range ownMetric.FindAllStringIndex(expr, -1) {
		m := namedMetric{name: expr[at[0]:at[1]]}
		if at[0] > 0 && expr[at[0]-1] == '"' || strings.Contains(m.name, ":") {
			continue // a label's value, or recorded
		}
		if rest, selects := strings.CutPrefix(expr[at[1]:], "{"); selects {
			inside, _, _ := strings.Cut(rest, "}")
			for _, label := range matcher.FindAllStringSubmatch(inside, -1) {
				m.labels = append(m.labels, namedLabel{label[1], label[2], strings.ReplaceAll(label[3], `\\`, `\`)})
			}
		}
		list = append(list, m)
	}
	return list
}

func TestMetricsNamedInAnExpression(t *testing.T) {
	t.Parallel()
	got := metricsNamedIn(`sum by (job) (rate(runmetrics_a_total{x="1", y=~"b|\\d", job!="runmetrics_b"}[5m])) / go_goroutines
		> on (job) runmetrics:c:rate5m or process_d{} unless http_server_e_bucket{le="10"}`)
	want := []namedMetric{
		{"runmetrics_a_total", []namedLabel{{"x", "=", "1"}, {"y", "=~", `b|\d`}, {"job", "!=", "runmetrics_b"}}},
		{name: "go_goroutines"}, {name: "process_d"}, {"http_server_e_bucket", []namedLabel{{"le", "=", "10"}}},
	}
	if len(got) != len(want) {
		t.Fatalf("finds %+v", got)
	}
	for i := range want {
		if got[i].name != want[i].name || !slices.Equal(got[i].labels, want[i].labels) {
			t.Errorf("finds %+v, want %+v", got[i], want[i])
		}
	}
}

// shownMetrics are the series of /metrics: of each name, as Prometheus stores it, the labels of each series.
type shownMetrics map[string][]map[string]string

// readMetrics reads what /metrics says.
func readMetrics(t *testing.T, text string) shownMetrics {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	shown := make(shownMetrics)
	for name, family := range families {
		for _, m := range family.Metric {
			labels := make(map[string]string)
			for _, label := range m.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if family.GetType() != dto.MetricType_HISTOGRAM {
				shown[name] = append(shown[name], labels)
				continue
			}
			shown[name+"_count"] = append(shown[name+"_count"], labels)
			shown[name+"_sum"] = append(shown[name+"_sum"], labels)
			for _, b := range m.GetHistogram().GetBucket() {
				bound := model.SampleValue(b.GetUpperBound()).String()
				shown[name+"_bucket"] = append(shown[name+"_bucket"], with(labels, map[string]string{"le": bound}))
			}
		}
	}
	return shown
}

// lacks says what of a metric is not shown: itself, a label, or every value of a label that is asked for. Labels that
// Prometheus adds are not looked at.
func (s shownMetrics) lacks(m namedMetric) string {
	series, there := s[m.name]
	if !there {
		return m.name
	}
	for _, want := range m.labels {
		if want.name == "job" || want.name == "instance" || want.op == "!=" || want.op == "!~" {
			continue
		}
		values := []string{want.value}
		if want.op == "=~" {
			values = strings.Split(want.value, "|") // each of them
		}
		for _, value := range values {
			pattern, err := regexp.Compile("^(?:" + value + ")$")
			if want.op == "=" {
				pattern, err = regexp.Compile("^" + regexp.QuoteMeta(value) + "$")
			}
			if err != nil {
				return m.name + ": " + err.Error()
			}
			shows := func(labels map[string]string) bool { return pattern.MatchString(labels[want.name]) }
			if !slices.ContainsFunc(series, shows) {
				return m.name + "{" + want.name + want.op + value + "}"
			}
		}
	}
	return ""
}

// everythingOn is what /metrics shows of a service with a copy in Dataverse, API keys and a check, that was sent events,
// dead letters and requests.
func everythingOn(t *testing.T) shownMetrics {
	t.Helper()
	b, environ := testBroker(t)
	environ["LOG_FORMAT"] = "json"
	organization := testEmulator(t, false)
	environ = with(environ, testOrganization(t, organization))
	environ["API_RATE_LIMIT"] = "0" // it is asked until everything is shown
	line, token := newToken(t, "prometheus", "--scopes", "read")
	environ["API_KEYS_FILE"] = filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(environ["API_KEYS_FILE"], []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	call(t, environ, "", "setup").want(t, exitOK)
	api := startService(t, environ).up(t).API
	call(t, environ, "", "publish", "--generate", "100").want(t, exitOK)
	if _, err := testJetStream(t, b).Publish(t.Context(), "runs.c.r", []byte("{")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/api/metrics/campaign", "/nowhere"} {
		ask(t, api+path, token)
	}
	organization.Inject(emulator.Fault{Kind: "throttle", Path: "UpsertMultiple", Times: 1})
	call(t, environ, "", "rebuild").want(t, exitOK)
	var shown shownMetrics
	eventually(t, "everything is shown", func() bool {
		shown = readMetrics(t, ask(t, api+"/metrics", token).body)
		for _, name := range []string{"runmetrics_drift_runs", "runmetrics_commit_delay_seconds_count",
			"runmetrics_dataverse_delay_seconds_count"} {
			if shown[name] == nil {
				return false
			}
		}
		return true
	})
	return shown
}

// TestEveryMetricOfTheAlertsIsShown, with every value of a label that they ask for.
func TestEveryMetricOfTheAlertsIsShown(t *testing.T) {
	t.Parallel()
	shown := everythingOn(t)
	named := 0
	for _, r := range shippedRules(t) {
		for _, m := range metricsNamedIn(r.Expr) {
			named++
			for i := range m.labels {
				if m.labels[i] == (namedLabel{"le", "=~", "10|10.0"}) { // the second is how Prometheus 3 writes it
					m.labels[i] = namedLabel{"le", "=", "10"}
				}
			}
			if lacking := shown.lacks(m); lacking != "" {
				t.Errorf("%s%s: /metrics does not show %s", r.Alert, r.Record, lacking)
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d metrics were found in rules.yml", named)
	}
}
