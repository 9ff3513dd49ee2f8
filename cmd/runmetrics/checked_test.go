package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
)

// sampleChecks are one of everything and one of a part.
func sampleChecks() []consumer.Checked {
	return []consumer.Checked{
		{Command: "replay", At: time.Date(2026, 11, 26, 12, 0, 0, 500_000_000, time.UTC), Left: 3, Whole: true},
		{Command: "rebuild", Left: 1},
	}
}

// metricsOf is what a service shows on /metrics.
func metricsOf(t *testing.T, api string) string {
	t.Helper()
	p := program{api: api}
	return string(p.get(t, "/metrics").body)
}

// shows waits until /metrics has the line, up to its end or as far as it is given.
func shows(t *testing.T, api, line string) {
	t.Helper()
	eventually(t, "/metrics shows "+line, func() bool { return strings.Contains(metricsOf(t, api), "\n"+line) })
}

func TestServiceShowsWhatChecksFound(t *testing.T) {
	t.Parallel()
	b, environ := setUp(t)
	call(t, environ, "", "publish", "--generate", "80").want(t, exitOK)
	readOut(t, b, environ)
	api := startService(t, with(environ, map[string]string{"LOG_FORMAT": "json"})).up(t).API
	for _, name := range []string{"runmetrics_drift_runs{", "runmetrics_checked_time_seconds{"} {
		if strings.Contains(metricsOf(t, api), name) {
			t.Errorf("%s…} is shown of checks that nobody made", name)
		}
	}
	db := openWritable(t, environ)
	if _, err := db.ExecContext(t.Context(), `UPDATE campaign_metrics SET tokens_in = tokens_in + 1
		WHERE run_id = (SELECT min(run_id) FROM campaign_metrics)`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	call(t, environ, "", "rebuild", "--campaign", "load-1").want(t, exitLeftovers)
	shows(t, api, `runmetrics_drift_runs{command="rebuild"} 1`)
	if strings.Contains(metricsOf(t, api), "runmetrics_checked_time_seconds{") {
		t.Error("a campaign is taken for everything")
	}
	call(t, environ, "", "replay").want(t, exitLeftovers)
	shows(t, api, `runmetrics_drift_runs{command="replay"} 1`)
	shows(t, api, `runmetrics_checked_time_seconds{command="replay"} 1.`)
	call(t, environ, "", "replay", "--apply").want(t, exitOK)
	shows(t, api, `runmetrics_drift_runs{command="replay"} 0`)
	shows(t, api, `runmetrics_drift_runs{command="rebuild"} 1`) // that command has not seen that all is well
	call(t, environ, "", "rebuild").want(t, exitOK)
	shows(t, api, `runmetrics_drift_runs{command="rebuild"} 0`)
	t.Logf("five checks in %s", time.Since(began).Round(time.Millisecond))
}

// TestACheckThatIsInterruptedTellsNothing: what it has not looked at may differ, and what it has may be all that does.
func TestACheckThatIsInterruptedTellsNothing(t *testing.T) {
	t.Parallel()
	b, environ := setUp(t)
	call(t, environ, "", "publish", "--generate", "80").want(t, exitOK)
	readOut(t, b, environ)
	conn, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checks, err := consumer.FollowChecks(conn, "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	before := b.server.NumClients()
	p := start(t, environ, "rebuild", "--rate", "0.1")
	eventually(t, "the check is under way", func() bool { return b.server.NumClients() > before })
	if code := p.stop(t); code != exitLeftovers {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	call(t, environ, "", "replay").want(t, exitOK)
	eventually(t, "it is told of the other check", func() bool { return len(checks.Last()) > 0 })
	if got := checks.Last(); len(got) != 1 || got[0].Command != "replay" {
		t.Errorf("it is told of %+v", got)
	}
}

func TestServiceShowsWhatReconcileFound(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	w := disagreement(t)
	conn, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	checks, err := consumer.FollowChecks(conn, "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	environ := with(w.environ, map[string]string{"NATS_URL": b.URL()})
	call(t, environ, "", "dataverse", "reconcile").want(t, exitLeftovers)
	eventually(t, "it is told", func() bool { return len(checks.Last()) == 1 })
	if got := checks.Last()[0]; got.Command != "reconcile" || !got.Whole || got.Left != 7 {
		t.Errorf("reconcile tells %+v, want 7 differences", got)
	}
	call(t, environ, "", "dataverse", "reconcile", "--adopt", "--repair").want(t, exitLeftovers)
	eventually(t, "it is told of fewer", func() bool { return checks.Last()[0].Left < 7 })
}

// TestAChecksResultIsTheSameWhereNobodyHearsOfIt: without NATS, and without the right to tell.
func TestAChecksResultIsTheSameWhereNobodyHearsOfIt(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	call(t, g.environ, "", "setup").want(t, exitOK)
	g.grant(t, func(users string) string { return strings.ReplaceAll(users, `"runmetrics.main.checked"`, `"nothing"`) })
	for what, environ := range map[string]map[string]string{
		"cannot be reached":          with(g.environ, map[string]string{"NATS_URL": "nats://127.0.0.1:1"}),
		"on runmetrics.main.checked": g.environ,
	} {
		r := call(t, environ, "", "rebuild", "--output", "json")
		r.want(t, exitOK)
		if n := strings.Count(r.stderr, "no service is told what this check found"); n != 1 || !strings.Contains(r.stderr, what) {
			t.Errorf("it says %d times that nobody is told, and not %q: %s", n, what, r.stderr)
		}
	}
}

func TestServiceThatMayNotHearOfChecksIsNotBlocked(t *testing.T) {
	t.Parallel()
	d := withoutRight(t, withheld{subject: "runmetrics.main.checked"})
	eventually(t, "everything is read", func() bool { return d.healthy(t) })
	if !strings.Contains(d.service.stderr.String(), "runmetrics.main.checked") {
		t.Error("the log does not name the right")
	}
}
