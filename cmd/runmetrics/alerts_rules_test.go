package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// prometheusDir is what Prometheus is configured by.
const prometheusDir = "../../deploy/prometheus"

// rule is one of rules.yml.
type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// id tells an alert from the others, in the words of rules.yml.
func (r *rule) id() string { return alertID(r.Alert, r.Labels) }

func alertID(name string, labels map[string]string) string {
	return strings.TrimSpace(name + " " + labels["severity"] + " " + labels["part"])
}

// shippedRules reads rules.yml.
func shippedRules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(prometheusDir, "rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || file.Groups[0].Name != "runmetrics" {
		t.Fatalf("rules.yml has not the one group runmetrics, but %+v", file.Groups)
	}
	return file.Groups[0].Rules
}

// shippedAlerts are the rules that alert, and their names, each once.
func shippedAlerts(t *testing.T) (alerts []rule, names []string) {
	t.Helper()
	for _, r := range shippedRules(t) {
		if r.Alert != "" {
			alerts = append(alerts, r)
			names = append(names, r.Alert)
		}
	}
	slices.Sort(names)
	return alerts, slices.Compact(names)
}

// fromPrometheus finds a program of Prometheus, or ends the test.
func fromPrometheus(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program+" is not installed; Debian has it in the package prometheus")
	}
	return path
}

func TestPrometheusTakesItsConfigurationAndItsRules(t *testing.T) {
	t.Parallel()
	promtool := fromPrometheus(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "prometheus.yml"},
		{"check", "rules", "--lint=all", "--lint-fatal", "rules.yml"},
	} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = prometheusDir
		if said, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v: %s", strings.Join(args, " "), err, said)
		}
	}
}

// TestAlertsAreRightAboutHistories: rules_test.yml has them.
func TestAlertsAreRightAboutHistories(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what takes ten seconds of work")
	}
	command := exec.CommandContext(t.Context(), fromPrometheus(t, "promtool"), "test", "rules", "rules_test.yml")
	command.Dir = prometheusDir
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// TestHistoriesHaveEveryAlert: each fires in one of them at least, and where it fires it is clear before or after.
func TestHistoriesHaveEveryAlert(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(prometheusDir, "rules_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			Name   string
			Checks []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	label := regexp.MustCompile(`(\w+)="([^"]*)"`)
	firing := make(map[string]bool)
	for _, history := range file.Tests {
		always := make(map[string]int)
		for _, check := range history.Checks {
			for _, sample := range check.Samples {
				labels := make(map[string]string)
				for _, pair := range label.FindAllStringSubmatch(sample.Labels, -1) {
					labels[pair[1]] = pair[2]
				}
				always[alertID(labels["alertname"], labels)]++
			}
		}
		for alert, times := range always {
			firing[alert] = true
			if times == len(history.Checks) {
				t.Errorf("%s: %s fires at all times: nobody sees when it does not", history.Name, alert)
			}
		}
	}
	alerts, _ := shippedAlerts(t)
	for i := range alerts {
		if !firing[alerts[i].id()] {
			t.Errorf("%s fires in no history", alerts[i].id())
		}
		delete(firing, alerts[i].id())
	}
	for alert := range maps.Keys(firing) {
		t.Errorf("%s fires in histories, and is not in rules.yml", alert)
	}
}

func TestEveryAlertSaysWhatItIsAndWhereItsPageIs(t *testing.T) {
	t.Parallel()
	alerts, _ := shippedAlerts(t)
	seen := make(map[string]bool)
	for _, a := range alerts {
		if seen[a.id()] {
			t.Errorf("%s is there twice", a.id())
		}
		seen[a.id()] = true
		if severity := a.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s has the severity %q", a.Alert, severity)
		}
		const pages = "https://github.com/apexsalesai/runmetrics/blob/main/docs/alerts/"
		if want := pages + a.Alert + ".md"; a.Annotations["runbook_url"] != want {
			t.Errorf("%s has its page at %s, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if a.Annotations["description"] == "" || !strings.Contains(a.Annotations["summary"], "$labels.job") {
			t.Errorf("%s: summary and description must be there, and name the job: %q", a.Alert, a.Annotations)
		}
	}
}
