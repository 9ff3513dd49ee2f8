package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/consumer"
)

// withheld is a right of the processor that is taken away before its service starts.
type withheld struct {
	subject string
	before  string // "read": everything was read once; "pinned": somebody took the pin
	post    bool   // needed by a POST only
}

// withholdings leave out what one stream without a copy in Dataverse does not need: runmetrics.main.readers and .due.
var withholdings = []withheld{
	{subject: "$JS.API.STREAM.INFO.RUN_EVENTS"},
	{subject: "$JS.API.DIRECT.GET.RUN_EVENTS", before: "read"},
	{subject: "$JS.API.CONSUMER.INFO.RUN_EVENTS.runmetrics-main"},
	{subject: "$JS.API.CONSUMER.MSG.NEXT.RUN_EVENTS.runmetrics-main"},
	{subject: "$JS.API.CONSUMER.RESET.RUN_EVENTS.runmetrics-main"},
	{subject: "$JS.API.CONSUMER.UNPIN.RUN_EVENTS.runmetrics-main", before: "pinned"},
	{subject: "$JS.API.CONSUMER.INFO.RUN_EVENTS.runmetrics_messages-main"},
	{subject: "$JS.API.CONSUMER.MSG.NEXT.RUN_EVENTS.runmetrics_messages-main"},
	{subject: "$JS.API.CONSUMER.RESET.RUN_EVENTS.runmetrics_messages-main"},
	{subject: "_INBOX_main.>"},
	{subject: "runmetrics.main.changed"},
	{subject: "runs.*.*", post: true},
}

// deprived is a service that lacks a right.
type deprived struct {
	withheld
	*guarded
	service *process
	api     string
}

// withoutRight starts a service whose stream holds 20 events.
func withoutRight(t *testing.T, right withheld) *deprived {
	t.Helper()
	d := &deprived{withheld: right, guarded: startGuarded(t)}
	call(t, d.environ, "", "setup").want(t, exitOK)
	call(t, d.as("publisher"), "", "publish", "--generate", "20").want(t, exitOK)
	if d.before == "read" {
		p := startService(t, d.as("processor"))
		d.api = p.up(t).API
		eventually(t, "everything is read", func() bool { return d.healthy(t) })
		p.stop(t)
	}
	d.grant(t, func(users string) string {
		before, after, _ := strings.Cut(users, "user: processor")
		processor, operator, _ := strings.Cut(after, "user: operator")
		processor = strings.ReplaceAll(processor, `"`+d.subject+`"`, `"nothing"`)
		return before + "user: processor" + processor + "user: operator" + operator
	})
	if d.before == "pinned" {
		d.takePin(t)
	}
	d.service = startService(t, d.as("processor"))
	d.api = d.service.up(t).API
	return d
}

// healthy tells whether everything is read and nothing is to be said.
func (d *deprived) healthy(t *testing.T) bool {
	t.Helper()
	var state stateOf
	get(t, d.api+"/readyz", &state)
	return state.State == "active" && len(state.Reasons) == 0 && len(state.Streams) == 1 && state.Streams[0].Position >= 20
}

// blocked tells whether the service is blocked and says which right to grant.
func (d *deprived) blocked(t *testing.T) bool {
	t.Helper()
	var state stateOf
	get(t, d.api+"/readyz", &state)
	return state.State == "blocked" && slices.ContainsFunc(state.Reasons, func(reason string) bool {
		return strings.HasPrefix(reason, "NATS does not let this user ") && strings.Contains(reason, "grant it ") &&
			strings.HasSuffix(reason, " on "+d.subject)
	})
}

func TestServiceNamesTheRightThatIsMissingAndGoesOnWhenItIsGranted(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	var all []*deprived
	for _, right := range withholdings {
		all = append(all, withoutRight(t, right))
	}
	for _, d := range all {
		if d.post {
			eventually(t, "everything is read", func() bool { return d.healthy(t) })
			if status := report(t, d.api, aReport, new(any)); status != http.StatusServiceUnavailable {
				t.Errorf("POST that may not be published says %d", status)
			}
		}
		until(t, patience, "blocked for want of "+d.subject, func() bool { return d.blocked(t) })
		d.grant(t, nil)
	}
	granted := time.Now()
	for _, d := range all {
		until(t, patience, "well again with "+d.subject, func() bool { return d.healthy(t) })
		t.Logf("%s: well again %s after all rights were granted", d.subject, time.Since(granted).Round(time.Second))
	}
}

const aReport = `{"campaignId":"c","runId":"r","phase":"1","agentsTotal":1,"agentsSuccessful":1,"assetsGenerated":0,"tokensIn":0,` +
	`"tokensOut":0,"costUSD":0,"latencyP95Ms":1,"latencyAvgMs":1}`

// TestServiceWaitsForSetupWhereConsumersAreOfAnOlderVersion: there was one consumer, which kept track of what was under way.
func TestServiceWaitsForSetupWhereConsumersAreOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short leaves out what takes tens of seconds")
	}
	d := &deprived{guarded: startGuarded(t)}
	call(t, d.environ, "", "setup").want(t, exitOK)
	call(t, d.as("publisher"), "", "publish", "--generate", "20").want(t, exitOK)
	js := d.jetStream(t, "operator", "_INBOX_main")
	if err := js.DeleteConsumer(t.Context(), "RUN_EVENTS", consumer.MessagesName("main")); err != nil {
		t.Fatal(err)
	}
	pin, err := js.Consumer(t.Context(), "RUN_EVENTS", consumer.ConsumerName("main"))
	if err != nil {
		t.Fatal(err)
	}
	older := pin.CachedInfo().Config
	older.AckWait, older.MaxAckPending = time.Hour, 32_768
	if _, err := js.UpdateConsumer(t.Context(), "RUN_EVENTS", older); err != nil {
		t.Fatal(err)
	}
	d.service = startService(t, d.as("processor"))
	d.api = d.service.up(t).API
	until(t, patience, "it says what to run", func() bool {
		var state stateOf
		get(t, d.api+"/readyz", &state)
		return state.State == "blocked" && slices.ContainsFunc(state.Reasons, func(reason string) bool {
			return strings.Contains(reason, "of an older version") && strings.Contains(reason, "`runmetrics setup`")
		})
	})
	r := call(t, d.environ, "", "setup")
	r.want(t, exitOK)
	if said := verdicts(r.stdout); said[testConsumer] != "changed" || said[testMessages] != "created" {
		t.Errorf("setup says %s", r.stdout)
	}
	until(t, patience, "everything is read", func() bool { return d.healthy(t) })
}

func TestSetupAndDoctorNameTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	r := call(t, g.as("processor"), "", "setup")
	r.want(t, exitFailure)
	if !strings.Contains(r.stdout, "grant it publish on $JS.API.STREAM.CREATE.RUN_EVENTS") {
		t.Errorf("setup without the right says %s", r.stdout)
	}
	call(t, g.environ, "", "setup").want(t, exitOK)
	for _, user := range []string{"operator", "processor"} {
		d := examine(t, g.as(user), exitOK)
		d.wantCheck(t, verdictOK, "nats", "rights", "RUN_EVENTS")
	}
	d := examine(t, with(g.as("publisher"), map[string]string{"DEPLOYMENT": "publish"}), exitFailure)
	d.wantCheck(t, verdictFail, "nats", "stream RUN_EVENTS", "grant it publish on $JS.API.STREAM.INFO.RUN_EVENTS")
	const reset = `"$JS.API.CONSUMER.RESET.RUN_EVENTS.runmetrics-main"`
	g.grant(t, func(users string) string { return strings.ReplaceAll(users, reset, `"nothing"`) })
	d = examine(t, g.as("processor"), exitFailure)
	d.wantCheck(t, verdictFail, "nats", "rights", "grant it publish on "+strings.Trim(reset, `"`))
	if n := len(d.checks("nats", "rights")); n != 1 {
		t.Errorf("%d rights are missing, want 1: %+v", n, d)
	}
}

func TestPublishNamesTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	call(t, g.environ, "", "setup").want(t, exitOK)
	g.grant(t, func(users string) string { return strings.ReplaceAll(users, `"runs.*.*"`, `"nothing"`) })
	r := call(t, g.as("publisher"), "", "publish", "--generate", "3")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "grant it publish on runs.*.*") {
		t.Errorf("says %s", r.stderr)
	}
}
