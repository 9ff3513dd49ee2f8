package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const dashboardFile = "../../deploy/grafana/dashboards/runmetrics.json"

// shownDashboard is what the tests look at of the dashboard.
type shownDashboard struct {
	UID        string
	ID         *int
	Refresh    string
	Panels     []panel
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

// panel is one of the dashboard, or the title of a row.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               datasource
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Options                  struct{ Legend struct{ ShowLegend bool } }
	Targets                  []panelTarget
}

// panelTarget is a query of a panel.
type panelTarget struct {
	Expr, LegendFormat string
	Datasource         datasource
}

type datasource struct{ Type, UID string }

func readDashboard(t *testing.T) (shownDashboard, []byte) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d shownDashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d, text
}

func TestDashboardIsCompleteAndNothingLiesOnAnother(t *testing.T) {
	t.Parallel()
	d, text := readDashboard(t)
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil || !bytes.Equal(indented.Bytes(), text) {
		t.Errorf("is not indented by two spaces: %v", err)
	}
	if d.UID != "runmetrics" || d.ID != nil || d.Refresh == "" {
		t.Errorf("uid %q, id %v, refresh %q", d.UID, d.ID, d.Refresh)
	}
	ids, taken := make(map[int]string), make(map[[2]int]string)
	for _, p := range d.Panels {
		if other := ids[p.ID]; other != "" {
			t.Errorf("%s and %s have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		p.wantComplete(t)
	}
	if len(d.Panels) < 40 {
		t.Errorf("only %d panels", len(d.Panels))
	}
}

// rangeOf finds how far back an expression looks.
var rangeOf = regexp.MustCompile(`\[[a-z0-9$_:]*[a-z$][a-z0-9$_:]*\]`)

// wantComplete fails the test unless whoever sees the panel is told what it shows, in which unit, and may choose of what.
func (p *panel) wantComplete(t *testing.T) {
	t.Helper()
	chosen := datasource{"prometheus", "${datasource}"}
	switch {
	case p.Title == "":
		t.Errorf("panel %d has no title", p.ID)
	case p.Type == "row":
		return
	case len(p.Description) < 20 || !strings.HasSuffix(p.Description, "."):
		t.Errorf("%s: description %q", p.Title, p.Description)
	case p.FieldConfig.Defaults.Unit == "":
		t.Errorf("%s has no unit", p.Title)
	case p.Datasource != chosen || len(p.Targets) == 0:
		t.Errorf("%s asks %+v", p.Title, p.Datasource)
	case p.Type == "timeseries" && !p.Options.Legend.ShowLegend:
		t.Errorf("%s has no legend", p.Title)
	}
	for _, q := range p.Targets {
		if q.Datasource != chosen {
			t.Errorf("%s asks %+v", p.Title, q.Datasource)
		}
		if !strings.Contains(q.Expr, `job="$job"`) && !strings.Contains(q.Expr, `job=~"$job|"`) {
			t.Errorf("%s mixes deployments: %s", p.Title, q.Expr)
		}
		for _, span := range rangeOf.FindAllString(q.Expr, -1) {
			if span != "[$__rate_interval]" && span != "[$__range]" {
				t.Errorf("%s looks at %s, which may hold less than two scrapes", p.Title, span)
			}
		}
	}
}

// filled is an expression as Grafana sends it, with everything chosen.
func (q *panelTarget) filled() string {
	return strings.NewReplacer("$__rate_interval", "5s", "$__range", "1m", "$job", "runmetrics", "$instance", ".*", "$stream", ".*").
		Replace(q.Expr)
}

func TestEveryMetricOfTheDashboardIsShown(t *testing.T) {
	t.Parallel()
	d, _ := readDashboard(t)
	shown, named := everythingOn(t), 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			for _, m := range metricsNamedIn(q.filled()) {
				named++
				if lacking := shown.lacks(m); lacking != "" {
					t.Errorf("%s: /metrics does not show %s", p.Title, lacking)
				}
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, m := range metricsNamedIn(v.Definition) {
			if lacking := shown.lacks(m); lacking != "" {
				t.Errorf("variable %s: /metrics does not show %s", v.Name, lacking)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d metrics are named", named)
	}
}

// emptyWhenHealthy are panels that rightly show nothing where all is well, with the reason.
var emptyWhenHealthy = map[string]string{
	"Firing alerts":      "no alert fires",
	"By reason":          "there are no dead letters",
	"In this period":     "there are no dead letters",
	"Runs that differed": "nothing has been checked",
	"Last check":         "nothing has been checked",
}

// TestDashboardShowsALivingService asks a real Prometheus, which scrapes a service with sample agents and an emulated
// Dataverse, everything that the dashboard asks. That Grafana draws it is not tried.
func TestDashboardShowsALivingService(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	t.Parallel()
	d, _ := readDashboard(t)
	m := startMonitor(t, []string{"runmetrics"})
	service := &program{api: start(t, embedded(t), "dev").up(t).API}
	m.watch(t, "runmetrics", service)
	m.scraped(t, map[string]int{"runmetrics": 1})
	asked := 0
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			asked++
			if emptyWhenHealthy[p.Title] != "" {
				m.query(t, q.filled()) // which must be understood
				continue
			}
			m.wantData(t, service, &p, &q)
		}
	}
	t.Logf("%d expressions were asked, %d panels are empty where all is well", asked, len(emptyWhenHealthy))
}

var legendLabel = regexp.MustCompile(`{{(\w+)}}`)

// wantData waits until an expression has a value, while the service is asked for something, and something wrong. Each series
// has the labels that the legend names.
func (m *monitor) wantData(t *testing.T, service *program, p *panel, q *panelTarget) {
	t.Helper()
	var found []map[string]string
	until(t, patience, fmt.Sprintf("%s shows %s", p.Title, q.filled()), func() bool {
		service.get(t, "/api/metrics/campaign")
		service.get(t, "/nowhere")
		found = m.query(t, "("+q.filled()+") > -1") // no number is not greater than any
		return len(found) > 0
	})
	for _, label := range legendLabel.FindAllStringSubmatch(q.LegendFormat, -1) {
		lacks := func(labels map[string]string) bool { return labels[label[1]] == "" }
		if label[1] != "http_route" && slices.ContainsFunc(found, lacks) { // what no route answers has none
			t.Errorf("%s: the legend names %s, which is not in %v", p.Title, label[1], found)
		}
	}
}

// TestGrafanaFindsWhatItIsGiven compares what Grafana is told with what docker-compose.yml mounts and starts.
func TestGrafanaFindsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, v any) {
		t.Helper()
		text, err := os.ReadFile("../../deploy/grafana/provisioning/" + name)
		if err == nil {
			err = yaml.Unmarshal(text, v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var dashboards struct {
		Providers []struct{ Options struct{ Path string } }
	}
	read("dashboards/runmetrics.yaml", &dashboards)
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	read("datasources/prometheus.yaml", &sources)
	if len(dashboards.Providers) != 1 || len(sources.Datasources) != 1 || sources.Datasources[0].Type != "prometheus" {
		t.Fatalf("%+v, %+v", dashboards, sources)
	}
	path := dashboards.Providers[0].Options.Path
	for _, line := range []string{"./deploy/grafana/dashboards:" + path + ":ro",
		"DASHBOARD_PATH: " + path + "/" + filepath.Base(dashboardFile),
		"./deploy/grafana/provisioning:/etc/grafana/provisioning:ro"} {
		if !bytes.Contains(compose, []byte(line)) {
			t.Errorf("docker-compose.yml does not say %q", line)
		}
	}
	at, err := url.Parse(sources.Datasources[0].URL)
	if err != nil || !bytes.Contains(compose, []byte("\n  "+at.Hostname()+":\n")) ||
		!bytes.Contains(compose, []byte(":"+at.Port()+`"`)) {
		t.Errorf("docker-compose.yml starts nothing at %v", at)
	}
}

// TestGrafanaTakesTheDashboard decodes it into Grafana's own types.
func TestGrafanaTakesTheDashboard(t *testing.T) {
	if testing.Short() || os.Getenv("RUNMETRICS_TEST_ALL") != "1" {
		t.Skip("Grafana's types take half a minute to compile: RUNMETRICS_TEST_ALL=1 does")
	}
	t.Parallel()
	check := buildTool(t, "../../tools/deploycheck", "./dashboards")
	if said, err := exec.CommandContext(t.Context(), check, dashboardFile).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	broken := filepath.Join(t.TempDir(), "dashboard.json")
	_, text := readDashboard(t)
	for from, to := range map[string]string{`"legendFormat"`: `"legend"`, `"refresh"`: `"refreshes"`, `"line"`: `1`} {
		if err := os.WriteFile(broken, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.CommandContext(t.Context(), check, broken).CombinedOutput(); err == nil {
			t.Errorf("%s in place of %s is taken: %s", to, from, said)
		}
	}
}
