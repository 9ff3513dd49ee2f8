package main

import (
	"strings"
	"testing"
	"time"
)

func TestDoctorListsWhatIsNotWellOnceMoreCausesFirst(t *testing.T) {
	t.Parallel()
	// What is wrong last is a failure, what is wrong first a warning.
	_, environ := setUpBroker(t)
	environ = with(environ, map[string]string{"HTTP_ADDR": "0.0.0.0:0",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
	r := call(t, environ, "", "doctor")
	r.want(t, exitFailure)
	_, summary, found := strings.Cut(r.stdout, " checks: 1 failed, 4 warnings\n")
	if !found {
		t.Fatalf("says\n%s", r.stdout)
	}
	var order []string
	for line := range strings.Lines(summary) {
		if number, rest, numbered := strings.Cut(line, ". "); numbered && len(number) == 1 {
			what, _, _ := strings.Cut(rest, ":")
			order = append(order, number+" "+what)
		}
	}
	want := "1 fail http, exposure|2 warn nats, consumer runmetrics-main|3 warn telemetry, metrics|4 warn " +
		"telemetry, traces|5 warn telemetry, logs"
	if got := strings.Join(order, "|"); got != want {
		t.Errorf("lists %s\nwant  %s\n%s", got, want, summary)
	}
	wantParts(t, summary, "Begin with the first", "   → set HTTP_ADDR=127.0.0.1:8080")
	wantParts(t, r.stdout, "ok    nats          server", "warn  nats          consumer runmetrics-main nobody reads")
}

func TestDoctorEndsWhenInterrupted(t *testing.T) {
	t.Parallel()
	silent := greeter(t, "")
	p := start(t, map[string]string{"DATA_DIR": t.TempDir(), "DATABASE_URL": "postgres://" + silent + "/x",
		"NATS_URL": "nats://" + silent}, "doctor")
	eventually(t, "doctor has begun", func() bool { return strings.Contains(p.stdout.String(), "TMPDIR") })
	began := time.Now()
	if code := p.stop(t); code != exitFailure || !strings.Contains(p.stderr.String(),
		"interrupted: not everything was checked") {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("ended %s after it was interrupted", took)
	}
}
