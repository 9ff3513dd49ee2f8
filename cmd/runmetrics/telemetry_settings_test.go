package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestVariablesOfOpenTelemetryAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	environ := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":        "http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_HEADERS":         "hunter2",
		"OTEL_EXPORTER_OTLP_LOGS_HEADERS":    "api-key=%hunter2",
		"OTEL_BSP_MAX_QUEUE_SIZE":            "100",
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE":     "200",
		"OTEL_EXPORTER_OTLP_CERTIFICATE":     writeFile(t, "x"),
		"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT":   "collector:4318",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://user:hunter2@collector:4318/v1/traces",
	}
	want := slices.Collect(maps.Keys(environ))
	want = slices.DeleteFunc(want, func(name string) bool {
		return name == "OTEL_EXPORTER_OTLP_ENDPOINT" || name == "OTEL_BSP_MAX_QUEUE_SIZE"
	})
	for _, rule := range otelRules {
		for _, name := range rule.names {
			if environ[name] == "" {
				environ[name] = "bad=%zz"
				want = append(want, name)
			}
		}
	}
	slices.Sort(want)
	if got := faultsOf(t, environ, ""); !slices.Equal(got, want) {
		t.Errorf("faults of\n%q, want\n%q", got, want)
	}
	_, err := loadConfig(environ, "")
	for _, part := range []string{`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "bad=%zz" is not cumulative, delta or lowmemory`,
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE: 200 is more than OTEL_BSP_MAX_QUEUE_SIZE, which is 100",
		"OTEL_EXPORTER_OTLP_CERTIFICATE: is of no use with an http:// address"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("does not say %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is shown: %v", err)
	}
}

func TestFilesForTheCollectorAreTried(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writeCertificate(t, t.TempDir(), 1)
	secure := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:4318", "OTEL_EXPORTER_OTLP_CERTIFICATE": certFile,
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": certFile, "OTEL_EXPORTER_OTLP_CLIENT_KEY": keyFile}
	if got := faultsOf(t, secure, ""); got != nil {
		t.Errorf("faults of %q", got)
	}
	for name, change := range map[string]map[string]string{
		"OTEL_EXPORTER_OTLP_CERTIFICATE":        {"OTEL_EXPORTER_OTLP_CERTIFICATE": keyFile},
		"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE":   {"OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/nowhere"},
		"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": {"OTEL_EXPORTER_OTLP_CLIENT_KEY": certFile},
		"OTEL_EXPORTER_OTLP_CLIENT_KEY":         {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": ""},
	} {
		if got := faultsOf(t, with(secure, change), ""); !slices.Equal(got, []string{name}) {
			t.Errorf("with %v: faults of %q", change, got)
		}
	}
}

func TestSignalsGoWhereTheyAreSentAndNowhereUnasked(t *testing.T) {
	t.Parallel()
	const base = "http://127.0.0.1:4318"
	for _, test := range []struct {
		name    string
		environ map[string]string
		want    [3]string // metrics, traces, logs
	}{
		{"unset", nil, [3]string{}},
		{"one collector", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": base + "/otlp/"},
			[3]string{base + "/otlp/v1/metrics", base + "/otlp/v1/traces", base + "/otlp/v1/logs"}},
		{"one signal elsewhere", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": base, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "https://logs/in"},
			[3]string{base + "/v1/metrics", base + "/v1/traces", "https://logs/in"}},
		{"one signal alone", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": base + "/m"}, [3]string{base + "/m", "", ""}},
		{"signals left out", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": base, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
			[3]string{"", base + "/v1/traces", ""}},
		{"nothing", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": base, "OTEL_SDK_DISABLED": "true"}, [3]string{}},
	} {
		cfg, err := loadConfig(test.environ, "")
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := [3]string{cfg.otlpURL(signalMetrics), cfg.otlpURL(signalTraces), cfg.otlpURL(signalLogs)}; got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
