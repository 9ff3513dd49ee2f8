package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// diagnosis is what doctor prints for programs.
type diagnosis struct {
	Checks, Findings []checked
	Failed, Warnings int
}

// examine calls doctor.
func examine(t *testing.T, environ map[string]string, code int, args ...string) diagnosis {
	t.Helper()
	r := call(t, environ, "", append([]string{"doctor", "--output", "json"}, args...)...)
	r.want(t, code)
	if strings.Contains(r.stdout+r.stderr, organizationSecret) {
		t.Errorf("shows the secret: %s%s", r.stdout, r.stderr)
	}
	var d diagnosis
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return d
}

// wantCheck fails the test unless a check of the subject has the verdict, and its finding and fix have the parts.
func (d diagnosis) wantCheck(t *testing.T, verdict, area, subject string, parts ...string) {
	t.Helper()
	for _, c := range d.checks(area, subject) {
		text := c.Finding + " → " + c.Fix
		fits := c.Verdict == verdict
		for _, part := range parts {
			fits = fits && strings.Contains(text, part)
		}
		if fits {
			return
		}
	}
	t.Errorf("no %s of %s %s with %q among\n%+v", verdict, area, subject, parts, d.checks(area, subject))
}

// checks are those of a subject; without one all of the area.
func (d diagnosis) checks(area, subject string) []checked {
	var list []checked
	for _, c := range d.Checks {
		if c.Area == area && (subject == "" || c.Subject == subject) {
			list = append(list, c)
		}
	}
	return list
}

func TestDoctorFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, true)
	api, environ := copying(t, organization, nil)
	call(t, environ, "", "publish", "--generate", "20").want(t, exitOK)
	eventually(t, "everything is copied", func() bool {
		return len(list(t, api, "load-1")) == 10 && len(organization.Rows("apex_campaignmetrics")) == 10
	})

	d := examine(t, environ, exitOK, "--write")
	if d.Failed != 0 || d.Warnings != 0 {
		t.Errorf("finds %+v", d)
	}
	d.wantCheck(t, verdictOK, "database", "sqlite", environ["DATA_DIR"])
	d.wantCheck(t, verdictOK, "database", "stream RUN_EVENTS", "read through 20 of 20")
	d.wantCheck(t, verdictOK, "nats", "stream RUN_EVENTS", "20 messages", "720 hours")
	d.wantCheck(t, verdictOK, "nats", "consumer runmetrics-main", "somebody reads")
	d.wantCheck(t, verdictOK, "dataverse", "token", "contoso")
	d.wantCheck(t, verdictOK, "dataverse", "application user")
	d.wantCheck(t, verdictOK, "dataverse", "table", "apex_campaignmetrics")
	d.wantCheck(t, verdictOK, "dataverse", "outbox", "0 runs wait")
	d.wantCheck(t, verdictOK, "dataverse", "right to read", "10 were")
	d.wantCheck(t, verdictOK, "dataverse", "right to write")
	d.wantCheck(t, verdictOK, "dataverse", "right to delete")
	if rows := organization.Rows("apex_campaignmetrics"); len(rows) != 10 {
		t.Errorf("left %d rows", len(rows))
	}

	before := organization.Stats().Targets
	d = examine(t, environ, exitOK)
	d.wantCheck(t, verdictOK, "dataverse", "right to write", "not tried", "--write")
	if after := organization.Stats().Targets; after != before {
		t.Errorf("wrote %d rows unasked", after-before)
	}
}

func TestDoctorGoesOnWhereThingsAreMissing(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"NATS_URL": "nats://127.0.0.1:1", "DATA_DIR": t.TempDir(), "USE_DATAVERSE": "true",
		"DATAVERSE_URL": "http://127.0.0.1:1", "DATAVERSE_CLIENT_ID": "c"}
	d := examine(t, environ, exitFailure)
	d.wantCheck(t, verdictWarn, "database", "sqlite", "there is no "+environ["DATA_DIR"], "runmetrics setup")
	d.wantCheck(t, verdictFail, "nats", "server", "127.0.0.1:1", "NATS_URL")
	d.wantCheck(t, verdictFail, "dataverse", "DATAVERSE_TENANT_ID", "is missing")
	d.wantCheck(t, verdictFail, "dataverse", "DATAVERSE_CLIENT_SECRET", "is missing")
	if len(d.checks("dataverse", "DATAVERSE_CLIENT_ID")) > 0 {
		t.Error("misses what is there")
	}

	environ = with(environ, map[string]string{"DATABASE_URL": "postgres://user:hunter2@127.0.0.1:1/db", "DATAVERSE_TENANT_ID": "t",
		"DATAVERSE_CLIENT_SECRET": organizationSecret, "NATS_URL": "", "NATS_LISTEN": "127.0.0.1:1"})
	d = examine(t, environ, exitFailure)
	d.wantCheck(t, verdictFail, "database", "postgres", "DATABASE_URL")
	d.wantCheck(t, verdictWarn, "nats", "server", "runmetrics run has the server in it")
	d.wantCheck(t, verdictFail, "dataverse", "address", "127.0.0.1:1", "correct DATAVERSE_URL")
	if strings.Contains(fmt.Sprint(d), "hunter2") {
		t.Errorf("shows the password: %+v", d)
	}

	d = examine(t, map[string]string{"HTTP_ADDR": "nowhere", "NATS_CERT": "/c"}, exitFailure)
	d.wantCheck(t, verdictFail, "configuration", "HTTP_ADDR", "127.0.0.1:8080")
	d.wantCheck(t, verdictFail, "configuration", "NATS_CERT", "NATS_KEY")

	_, environ = testBroker(t)
	d = examine(t, environ, exitFailure)
	d.wantCheck(t, verdictFail, "nats", "stream RUN_EVENTS", "is missing", "runmetrics setup")
	d.wantCheck(t, verdictOK, "dataverse", "copy", "not used")
}

func TestDoctorFindsAConsumerOfAnotherDatabaseAndNoReader(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	call(t, environ, "", "setup").want(t, exitOK)
	d := examine(t, environ, exitOK)
	d.wantCheck(t, verdictWarn, "nats", "consumer runmetrics-main", "nobody reads", "DEPLOYMENT=main")

	moved := with(environ, map[string]string{"DATA_DIR": t.TempDir()})
	call(t, moved, "", "setup").want(t, exitFailure)
	d = examine(t, moved, exitFailure)
	d.wantCheck(t, verdictFail, "nats", "consumer runmetrics-main", environ["DATA_DIR"], moved["DATA_DIR"], "--adopt")
	d = examine(t, with(environ, map[string]string{"DEPLOYMENT": "other"}), exitFailure)
	d.wantCheck(t, verdictFail, "nats", "consumer runmetrics-other", "is missing", "runmetrics setup")
}

func TestDoctorNamesEachFaultOfATableMadeByHand(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, true)))
	client := testClient(t, environ)
	d := examine(t, environ, exitFailure)
	d.wantCheck(t, verdictFail, "dataverse", "table", "there is no apex_campaignmetric", "runmetrics setup", "DATAVERSE_TABLE")

	byHand(t, client, func(d *dataverse.Definition) {
		d.PrimaryName.Name, d.PrimaryName.SchemaName, d.PrimaryName.MaxLength = "apex_title", "apex_Title", 100
		column(t, d, columnCost).Precision = 2
		column(t, d, columnCost).Max = "1000"
		column(t, d, columnRun).MaxLength = 40
	})
	putRows(t, client, "by hand", 7)
	call(t, environ, "", "setup").want(t, exitOK)
	d = examine(t, environ, exitOK)
	d.wantCheck(t, verdictWarn, "dataverse", "column", "apex_costusd keeps 2 digits", "set the column's decimal places to 5")
	d.wantCheck(t, verdictWarn, "dataverse", "column", "apex_costusd takes at most 1000")
	d.wantCheck(t, verdictWarn, "dataverse", "column", "apex_runid holds 40 characters")
	d.wantCheck(t, verdictOK, "dataverse", "title", "apex_title holds 100 characters")
	d.wantCheck(t, verdictWarn, "dataverse", "rows", "7 of the 7 rows", "reconcile --adopt")
	d.wantCheck(t, verdictWarn, "nats", "consumer runmetrics-main", "nobody reads")
	if d.Warnings != 5 {
		t.Errorf("%d warnings: %+v", d.Warnings, d)
	}
}

func TestDoctorNamesRowsThatDataverseRefused(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, true)
	byHand(t, testClient(t, testOrganization(t, organization)), func(d *dataverse.Definition) {
		column(t, d, columnPhase).MaxLength = 3
	})
	api, environ := copying(t, organization, nil)
	call(t, environ, strings.ReplaceAll(eventLine("one"), `"c.1"`, `"c\u202e1"`), "publish", "-").want(t, exitOK)
	phase := strings.ReplaceAll(eventLine("two"), `"phase":"1"`, `"phase":"launch"`)
	call(t, environ, strings.ReplaceAll(phase, `"c.1"`, `"c\u202e1"`), "publish", "-").want(t, exitOK)
	eventually(t, "the service knows", func() bool {
		var state struct{ Dataverse struct{ Parked int } }
		get(t, api+"/readyz", &state)
		return state.Dataverse.Parked == 1
	})
	d := examine(t, environ, exitOK)
	d.wantCheck(t, verdictWarn, "dataverse", "column", "apex_phase holds 3 characters, not 16", "to 16")
	d.wantCheck(t, verdictWarn, "dataverse", "refused rows", "1 runs", "reconcile --repair")
	d.wantCheck(t, verdictWarn, "dataverse", "refused row", "c\u202e1 / r / launch: ", "apex_phase", "at most 3 characters")

	text := call(t, environ, "", "doctor")
	text.want(t, exitOK)
	wantParts(t, text.stdout, "warn  dataverse     refused row", "c\ufffd1 / r / launch",
		" → set the column's maximum character count to 16", "0 failed, 3 warnings")
	if strings.Contains(text.stdout, "\u202e") {
		t.Errorf("lets text steer the terminal: %q", text.stdout)
	}
}

// forbidding is an organization that refuses one kind of request, as it does who lacks a right.
func forbidding(organization http.Handler, code string, refused func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" || !refused(r) {
			organization.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"error":{"code":%q,"message":"no"}}`, code)
	})
}

func TestDoctorTellsTheFaultsOfAnApplicationUserApart(t *testing.T) {
	t.Parallel()
	organization := testEmulator(t, false)
	environ := testOrganization(t, organization)
	d := examine(t, with(environ, map[string]string{"DATAVERSE_CLIENT_SECRET": "wrong"}), exitFailure)
	d.wantCheck(t, verdictOK, "dataverse", "address", "answers")
	d.wantCheck(t, verdictFail, "dataverse", "token", "AADSTS7000215", "DATAVERSE_CLIENT_SECRET must be")
	d = examine(t, with(environ, map[string]string{"DATAVERSE_AUTHORITY": "http://127.0.0.1:1"}), exitFailure)
	d.wantCheck(t, verdictFail, "dataverse", "token", "127.0.0.1:1", "let this machine reach DATAVERSE_AUTHORITY")

	ends := func(suffix string) func(*http.Request) bool {
		return func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, suffix) }
	}
	const noUser, noPrivilege = "0x80072560", "0x80040220"
	for _, c := range []struct {
		code, subject, fix string
		refused            func(*http.Request) bool
	}{
		{noUser, "application user", "application user is missing", ends("/WhoAmI")},
		{noPrivilege, "right to read", "security role", ends("/apex_campaignmetrics")},
		{noPrivilege, "right to create", "security role", ends(".UpsertMultiple")},
	} {
		d := examine(t, testOrganization(t, forbidding(organization, c.code, c.refused)), exitFailure, "--write")
		d.wantCheck(t, verdictFail, "dataverse", c.subject, "403", c.code, c.fix)
	}
	noDelete := func(r *http.Request) bool { return r.Method == http.MethodDelete }
	d = examine(t, testOrganization(t, forbidding(organization, noPrivilege, noDelete)), exitOK, "--write")
	d.wantCheck(t, verdictWarn, "dataverse", "right to delete", "of campaign runmetrics-doctor could not be deleted", "by hand")
	if rows := organization.Rows("apex_campaignmetrics"); len(rows) != 1 {
		t.Errorf("%d rows are left", len(rows))
	}
	organization.Inject(emulator.Fault{Kind: "throttle", Times: 1})
	d = examine(t, testOrganization(t, organization), exitOK)
	d.wantCheck(t, verdictWarn, "dataverse", "address", "429", "again in some minutes")
	website := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com/", http.StatusFound)
	})
	d = examine(t, testOrganization(t, website), exitFailure)
	d.wantCheck(t, verdictWarn, "dataverse", "address", "302", "such as https://contoso.crm.dynamics.com")
}

func TestNothingShowsTheClientSecret(t *testing.T) {
	t.Parallel()
	_, environ := testBroker(t)
	environ = with(environ, testOrganization(t, testEmulator(t, true)))
	environ["LOG_LEVEL"], environ["LOG_FORMAT"] = "debug", "json"
	for _, secret := range []string{organizationSecret, "wrong " + organizationSecret + "/&"} {
		environ["DATAVERSE_CLIENT_SECRET"] = secret
		for _, args := range [][]string{{"setup", "--dry-run"}, {"setup"}, {"doctor", "--write"}, {"doctor", "--output", "json"},
			{"dataverse", "recent"}, {"dataverse", "reconcile"}} {
			r := call(t, environ, "", args...)
			if strings.Contains(r.stdout+r.stderr, organizationSecret) {
				t.Errorf("%v shows the secret:\n%s%s", args, r.stdout, r.stderr)
			}
		}
	}

	p := startService(t, environ) // with the wrong one
	api := p.up(t).API
	var state map[string]any
	eventually(t, "the service knows that it is refused", func() bool {
		get(t, api+"/readyz", &state)
		return strings.Contains(fmt.Sprint(state), "AADSTS7000215")
	})
	if p.stop(t); strings.Contains(fmt.Sprint(state)+p.stdout.String()+p.stderr.String(), organizationSecret) {
		t.Errorf("the service shows the secret:\n%v\n%s", state, p.stderr.String())
	}
}
