package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// disagreement is a copy with one run of each kind of difference, named after it, one that waits and two that are equal.
func disagreement(t *testing.T) *copied {
	t.Helper()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "equal", "equal too", "missing", "older", "different", "other id")
	w.send()

	big := execution(testKey("parked"), 1)
	big.TokensIn = 1_000_000_000
	for n := range 3 {
		big.ID, big.AgentID = big.ID+"+", big.AgentID+"+"
		if n == 2 {
			big.TokensIn = 147_483_648 // in all 1 more than an Integer holds
		}
		if err := w.writer.Write(t.Context(), big); err != nil {
			t.Fatal(err)
		}
	}
	w.send()

	w.remove("missing")
	w.change("different", columnTotal, int64(5))
	w.remove("other id")
	w.create(testKey("other id"))
	w.create(events.Key{CampaignID: nasty, RunID: "unknown", Phase: "p"})
	without := sinktest.NewWriter(t, w.open(with(w.environ, map[string]string{"USE_DATAVERSE": "false"})), "RUN_EVENTS")
	w.write(without, 2, "older")
	if err := w.writer.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.commit(2, "waiting")
	return w
}

func TestReconcileNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	w := disagreement(t)
	before := w.organization.Stats().Targets
	report := w.reconcile(exitLeftovers)
	want := counts{Rows: 6, OtherID: 1, Unknown: 1, Runs: 8, Equal: 2, Waiting: 1, Missing: 2, Older: 1, Different: 1, Parked: 1}
	if report.Counts != want {
		t.Errorf("counts %+v\n  want %+v", report.Counts, want)
	}
	for _, d := range report.Differences {
		// The run of the row with another id has no row of its own, either.
		if kind(d.RunID) != d.Kind && !(d.RunID == "other id" && d.Kind == kindMissing) {
			t.Errorf("run %q is %s", d.RunID, d.Kind)
		}
		switch d.Kind {
		case kindDifferent:
			if len(d.Columns) != 1 || d.Columns[0] != (mismatch{columnTotal, "1", "5"}) {
				t.Errorf("different in %+v", d.Columns)
			}
		case kindParked:
			wantParts(t, d.Reason, columnTokensIn, "2147483648", "2147483647")
		}
	}
	if len(report.Differences) != 7 {
		t.Errorf("lists %d differences", len(report.Differences))
	}
	if w.organization.Stats().Targets != before {
		t.Error("it wrote rows without having been told to")
	}

	text := call(t, w.environ, "", "dataverse", "reconcile", "--limit", "6")
	text.want(t, exitLeftovers)
	wantParts(t, text.stdout, "different  spring · different · p: apex_agentstotal 1, there 5\n",
		"parked     spring · parked · p: ", "and 1 more", "--adopt", "--repair",
		"8 runs in the store: 2 equal, 1 waiting, 2 missing, 1 older, 1 different, 1 parked")
	if strings.ContainsAny(text.stdout, "\x1b\u009b\u202e\r") {
		t.Errorf("lets text steer the terminal: %q", text.stdout)
	}
}

func TestRepairSendsWhatDiffers(t *testing.T) {
	t.Parallel()
	w := disagreement(t)
	got := w.reconcile(exitLeftovers, "--repair").Counts
	// What the run of the row with another id lacks is sent, so there are two rows of it now.
	if want := (counts{Rows: 6, OtherID: 1, Unknown: 1, Runs: 8, Equal: 7, Parked: 1, Repaired: 4}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
	again := call(t, w.environ, "", "dataverse", "reconcile", "--repair", "--limit", "0")
	again.want(t, exitLeftovers)
	if strings.Contains(again.stderr, columnTokensIn) {
		t.Errorf("logs each parked row, wanted or not: %s", again.stderr)
	}
	got = w.reconcile(exitLeftovers, "--repair", "--adopt").Counts
	if want := (counts{Rows: 9, Unknown: 1, Runs: 8, Equal: 7, Parked: 1, Adopted: 1, Removed: 1}); got != want {
		t.Errorf("counts %+v\n  want %+v", got, want)
	}
}

func TestReconcileOfAnEqualCopyEndsWithZero(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, "a", "b", "c")
	report := w.reconcile(exitOK)
	if want := (counts{Runs: 3, Waiting: 3}); report.Counts != want {
		t.Errorf("what waits is no difference, but: %+v", report.Counts)
	}
	report = w.reconcile(exitOK, "--repair")
	if want := (counts{Runs: 3, Equal: 3}); report.Counts != want {
		t.Errorf("%+v", report.Counts)
	}
	w.wantOneRowARun()
	text := call(t, w.environ, "", "dataverse", "reconcile")
	text.want(t, exitOK)
	wantParts(t, text.stdout, "3 rows in Dataverse: 0 have another id", "3 runs in the store: 3 equal, 0 waiting")
	if strings.Contains(text.stdout, "→") {
		t.Errorf("there is nothing to do:\n%s", text.stdout)
	}
}

func TestReconcileKeepsToItsRange(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	for n := range 6 {
		w.commit(10*n, numbered(6)[n])
	}
	for _, campaign := range []string{"o'clock & more", "O'Clock & more"} {
		if err := w.writer.Write(t.Context(), execution(events.Key{CampaignID: campaign, RunID: "r", Phase: "p"}, 5)); err != nil {
			t.Fatal(err)
		}
	}
	w.send()
	for _, c := range []struct {
		args []string
		want int64
	}{
		{[]string{"--campaign", "spring"}, 6},
		{[]string{"--campaign", "o'clock & more"}, 1},
		{[]string{"--campaign", "nobody's"}, 0},
		{[]string{"--since", "2026-03-01T12:20:00Z"}, 4},
		{[]string{"--until", "2026-03-01T13:20:00.5+01:00"}, 5},
		{[]string{"--since", "2026-03-01T12:10:00Z", "--until", "2026-03-01T12:40:00Z", "--campaign", "spring"}, 3},
		{[]string{"--since", "2026-03-02"}, 0},
	} {
		if got := w.reconcile(exitOK, c.args...).Counts; got.Rows != c.want || got.Runs != c.want || got.Equal != c.want {
			t.Errorf("%q: %+v, want %d runs and rows", c.args, got, c.want)
		}
	}
}

// The service commits and sends between the reading of the runs and that of their rows: once, or every time.
func TestWhatIsSentMeanwhileIsNoDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		times int
		want  counts
	}{
		{1, counts{Rows: 3, Runs: 3, Equal: 3}},
		{1000, counts{Rows: 3, Runs: 3, Equal: 2, Waiting: 1}},
	} {
		trap := new(trap)
		w := newCopied(t, testEmulator(t, false), trap.watch)
		w.commit(1, "a", "b", "live")
		w.send()
		n := 1
		trap.set("Dynamics.CRM.In", 0, c.times, func() {
			n++
			w.commit(n, "live")
			w.send()
		})
		if got := w.reconcile(exitOK).Counts; got != c.want {
			t.Errorf("counts %+v\n  want %+v", got, c.want)
		}
		trap.set("", 0, 0, nil)
		w.wantOneRowARun()
	}
}

func TestReconcileWaitsOutFaults(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, numbered(20)...)
	w.send()
	w.remove("run-0007")
	for _, f := range []emulator.Fault{{Kind: "throttle", Path: w.set(), Times: 1, RetryAfter: 1}, {Kind: "error", Path: w.set(),
		Times: 1, Status: http.StatusBadGateway}, {Kind: "drop-after", Path: w.set(), Times: 1}} {
		w.organization.Inject(f)
	}
	if got := w.reconcile(exitOK, "--repair").Counts; got.Repaired != 1 || got.Equal != 20 {
		t.Errorf("%+v", got)
	}
}

func TestRepairDoesNotWaitForAPerson(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	w.commit(1, numbered(30)...)
	w.organization.Inject(emulator.Fault{Kind: "error", Path: "UpsertMultiple", Status: http.StatusForbidden})
	r := call(t, w.environ, "", "dataverse", "reconcile", "--repair")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "security role", "resume with: runmetrics dataverse reconcile --repair --resume ")
	w.organization.ClearFaults()

	r = call(t, with(w.environ, map[string]string{"DATAVERSE_DAILY_BUDGET": "20"}), "", "dataverse", "reconcile", "--repair")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "DATAVERSE_DAILY_BUDGET is used up", "--resume ")
	w.reconcile(exitOK, "--repair")
	w.wantOneRowARun()
}

func TestReconcileNeedsAStoreAndATable(t *testing.T) {
	t.Parallel()
	environ := testOrganization(t, testEmulator(t, true))
	environ["DATA_DIR"] = t.TempDir()
	r := call(t, environ, "", "dataverse", "reconcile")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, "DATA_DIR", "DATABASE_URL")
	if files, err := os.ReadDir(environ["DATA_DIR"]); err != nil || len(files) > 0 {
		t.Errorf("left %v, %v", files, err)
	}

	w := newCopied(t, testEmulator(t, true), nil)
	r = call(t, w.environ, "", "dataverse", "reconcile")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, dataverse.DefaultTable, "runmetrics setup")

	byHand(t, w.client, func(d *dataverse.Definition) { drop(d, columnCost) })
	r = call(t, w.environ, "", "dataverse", "reconcile")
	r.want(t, exitFailure)
	wantParts(t, r.stderr, columnCost, "is missing", "runmetrics setup")
}

func TestReconcileRefusesFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	w := newCopied(t, testEmulator(t, false), nil)
	elsewhere := place{Of: "https://elsewhere " + dataverse.DefaultTable, Pass: passRuns}
	for _, c := range []struct{ args, says string }{
		{"--limit -1", "--limit"},
		{"--since yesterday", "2026-03-01"},
		{"--since 2026-03-02 --until 2026-03-01", "--until must be later"},
		{"--resume " + elsewhere.token() + " --campaign spring", "leave out --campaign"},
		{"--resume " + elsewhere.token(), "is of https://elsewhere"},
		{"--resume " + elsewhere.token()[3:], "not what reconcile printed"},
		{"--resume e30", "not what reconcile printed"},
		{"--output xml", "text or json"},
		{"everything", "everything"},
	} {
		r := call(t, w.environ, "", append([]string{"dataverse", "reconcile"}, strings.Fields(c.args)...)...)
		r.want(t, exitUsage)
		wantParts(t, r.stderr, c.says)
	}
}
