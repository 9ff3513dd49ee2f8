package main

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// copying is a service that copies into an organization, and the environment of commands beside it.
func copying(t *testing.T, organization http.Handler, more map[string]string) (api string, environ map[string]string) {
	t.Helper()
	_, environ = testBroker(t)
	environ = with(environ, testOrganization(t, organization))
	call(t, environ, "", "setup").want(t, exitOK)
	return startService(t, with(with(environ, map[string]string{"LOG_FORMAT": "json"}), more)).up(t).API, environ
}

// impatient is the command with less time than people get.
func impatient(t *testing.T, ctx context.Context, environ map[string]string, patience time.Duration) error {
	t.Helper()
	var stdout, stderr syncBuffer
	s := &sample{app: &app{environ: environ, stdout: &stdout, stderr: &stderr}, patience: patience}
	err := s.run(ctx, nil)
	if err == nil {
		t.Fatalf("no step fails:\n%s", stdout.String())
	}
	return err
}

var sampleRun = regexp.MustCompile(`run +(\d{8}-\d{6}-[0-9a-f]{8})\n`)

func TestSampleGoesAllTheWayAndIsRemoved(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, true)
	api, environ := copying(t, organization, nil)

	r := call(t, environ, "", "dataverse", "test")
	r.want(t, exitOK)
	wantParts(t, r.stdout, "connect ", "publish ", "store ", "dataverse ", "remove ", "runmetrics-test", "2/2 successful", "100 %",
		"0.01468 USD", "p95 1850 ms, average 1525 ms", "2400 in, 680 out")
	if rows := organization.Rows("apex_campaignmetrics"); len(rows) != 0 {
		t.Errorf("left %v", rows)
	}
	stored := list(t, api, sampleCampaign)
	if len(stored) != 1 || stored[0].AgentsTotal != 0 || stored[0].Executions != 0 || stored[0].Status != "completed" {
		t.Errorf("the database has %+v", stored)
	}

	call(t, environ, "", "dataverse", "reconcile").want(t, exitOK) // nobody misses the row

	kept := call(t, environ, "", "dataverse", "test", "--keep")
	kept.want(t, exitOK)
	run := sampleRun.FindStringSubmatch(kept.stdout)
	rows := organization.Rows("apex_campaignmetrics")
	if run == nil || len(rows) != 1 || rows[0][columnRun] != run[1] ||
		rows[0]["apex_campaignmetricid"] != (events.Key{CampaignID: sampleCampaign, RunID: run[1], Phase: "sample"}).UUID().String() {
		t.Errorf("%q kept %v", run, rows)
	}
	if strings.Contains(kept.stdout, "remove") {
		t.Errorf("says %s", kept.stdout)
	}
}

func TestSampleNamesTheStepThatFailed(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	organization := testEmulator(t, true)
	environ = with(environ, testOrganization(t, organization))

	r := call(t, environ, "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step connect failed: there is no store at "+environ["DATA_DIR"])
	call(t, with(environ, map[string]string{"USE_DATAVERSE": ""}), "", "setup").want(t, exitOK)
	r = call(t, environ, "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step connect failed: ", "no such table", "runmetrics setup")
	call(t, environ, "", "setup").want(t, exitOK)
	r = call(t, with(environ, map[string]string{"DATAVERSE_CLIENT_SECRET": "wrong"}), "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step connect failed: ", "AADSTS7000215", "DATAVERSE_CLIENT_SECRET")
	stream, err := testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, stream); n != 0 {
		t.Errorf("published %d events before it knew that they could arrive", n)
	}

	// Nobody reads the stream.
	failure := impatient(t, t.Context(), environ, 5*time.Second)
	wantParts(t, failure.Error(), "step store failed: ", "`runmetrics run`", "DEPLOYMENT=main", "is voided in the stream")
	last, err := stream.GetLastMsgForSubject(t.Context(), "runs.>")
	if err != nil {
		t.Fatal(err)
	}
	void, rejected := events.Decode(events.Message{Data: last.Data, Time: last.Time})
	if rejected != nil || void.Type != events.ExecutionsVoided || len(void.Voids) != 3 || last.Sequence != 5 {
		t.Errorf("the last event, %d, is %+v, %v", last.Sequence, void, rejected)
	}

	b.Stop()
	r = call(t, environ, "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step connect failed: connect to NATS")
}

func TestSampleFindsAServiceThatDoesNotCopy(t *testing.T) {
	t.Parallel()
	_, environ := copying(t, testEmulator(t, false), map[string]string{"USE_DATAVERSE": "false"})
	r := call(t, environ, "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step dataverse failed: ", "does not copy", "USE_DATAVERSE=true")
}

func TestSampleSaysWhyDataverseRefusesIt(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, true)
	handler := testOrganization(t, organization)
	byHand(t, testClient(t, handler), func(d *dataverse.Definition) { column(t, d, columnPhase).MaxLength = 4 })
	_, environ := copying(t, organization, nil)
	r := call(t, environ, "", "dataverse", "test")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "step dataverse failed: the row is refused: apex_phase", "at most 4 characters", "is voided")
}

func TestSampleThatIsInterruptedIsVoided(t *testing.T) {
	t.Parallel()
	b, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, false)))
	call(t, environ, "", "setup").want(t, exitOK)
	stream, err := testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	conn, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	seen := 0
	_, err = conn.Subscribe("runs.>", func(*nats.Msg) {
		if seen++; seen == 4 {
			interrupt()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	failure := impatient(t, ctx, environ, time.Minute)
	wantParts(t, failure.Error(), "failed: interrupted", "is voided in the stream")
	if n := messages(t, stream); n != 5 {
		t.Errorf("the stream has %d events, want 4 and the void", n)
	}
}

func TestSampleWaitsForARowAsLongAsItMay(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, false)
	_, environ := copying(t, organization, nil)
	organization.Inject(emulator.Fault{Kind: "error", Status: 503, Path: "apex_campaignmetrics(", Times: 2})
	call(t, environ, "", "dataverse", "test").want(t, exitOK)

	organization.Inject(emulator.Fault{Kind: "error", Status: 503, Path: "apex_campaignmetrics("})
	failure := impatient(t, t.Context(), environ, 10*time.Second)
	wantParts(t, failure.Error(), "step dataverse failed: the row cannot be read back as it was sent")
	if _, err := uuid.Parse(failure.Error()[len(failure.Error())-37 : len(failure.Error())-1]); err != nil {
		t.Errorf("does not name the row: %v", failure)
	}
}
