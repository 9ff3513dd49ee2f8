package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

// wrongHour are events of the runs of a tale that ought not to have been published: new ones, repetitions of good ones,
// and others under the ids of good ones.
func wrongHour(random *rand.Rand, good []events.Event, n int) []events.Event {
	list := make([]events.Event, n)
	for i := range list {
		list[i] = taleEvent(random, good[random.IntN(len(good))].Key)
		switch random.IntN(3) {
		case 0:
			list[i] = good[random.IntN(len(good))]
		case 1:
			list[i].ID = good[random.IntN(len(good))].ID
		}
		if list[i].Type == events.ExecutionsVoided { // these stay
			list[i] = good[0]
		}
	}
	return append(list, taleEvent(rand.New(rand.NewPCG(1, 1)), events.Key{CampaignID: "wrong", RunID: "r", Phase: "1"}))
}

// recordsOf are the records of a store without version and time of commit, as JSON.
func recordsOf(t *testing.T, environ map[string]string) map[events.Key]aggregate.Metrics {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: environ["DATA_DIR"] + "/runmetrics.db", Host: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	records := make(map[events.Key]aggregate.Metrics)
	err = eachPage(t.Context(), store, (&selection{}).records(), func(page []aggregate.Metrics) error {
		for _, m := range page {
			m.Version, m.UpdatedAt = 0, loadStart
			records[m.Key()] = m
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// callVoid runs the command and reads its report.
func callVoid(t *testing.T, environ map[string]string, code int, args ...string) voidReport {
	t.Helper()
	r := call(t, environ, "", append([]string{"void", "--reason", "wrong prompt", "--output", "json"}, args...)...)
	r.want(t, code)
	var report voidReport
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return report
}

func TestVoidTakesBackWhatWasPublishedInARange(t *testing.T) {
	t.Parallel()
	b, environ := setUp(t)
	random := seededRandom(t)
	good := tale(random, 150)
	wrong := wrongHour(random, good, 80)
	commitTale(t, b, environ, append(slices.Clone(good), wrong...))
	before := tablesOf(t, environ)
	first := fmt.Sprint(len(good) + 1)

	dry := callVoid(t, environ, exitOK, "--from-seq", first, "--limit", "100")
	if dry.Published != 0 || dry.Events == 0 || dry.Repeated == 0 || int64(len(dry.Changes)) != dry.Runs {
		t.Errorf("dry run: %+v", dry)
	}
	if after := tablesOf(t, environ); !slices.Equal(after["campaign_metrics"], before["campaign_metrics"]) ||
		messagesOf(t, b) != len(good)+len(wrong) {
		t.Error("the dry run changed something")
	}
	applied := callVoid(t, environ, exitOK, "--from-seq", first, "--to-seq", fmt.Sprint(len(good)+len(wrong)), "--apply")
	if applied.Events != dry.Events || applied.Runs != dry.Runs || applied.Published != dry.Runs {
		t.Errorf("applied %+v, dry run %+v", applied.counts(), dry.counts())
	}
	readOut(t, b, environ)
	after := recordsOf(t, environ)
	for key, want := range foldAll(good) {
		got := after[key]
		want.UpdatedAt = loadStart
		if asText(t, got) != asText(t, want) {
			t.Errorf("run %q\n got %s\nwant %s", key, asText(t, got), asText(t, want))
		}
	}
	wantAfter(t, after, dry.Changes)
	db := openDatabase(t, environ)
	defer db.Close()
	wantOutcome(t, db, "void", "done")

	again := callVoid(t, environ, exitOK, "--from-seq", first, "--to-seq", fmt.Sprint(len(good)+len(wrong)), "--apply")
	if again.Events != 0 || again.Published != 0 || again.Voided != dry.Events+dry.Voided {
		t.Errorf("the second time: %+v", again)
	}
}

// wantAfter fails the test unless records have become what was foretold.
func wantAfter(t *testing.T, records map[events.Key]aggregate.Metrics, changes []voidChange) {
	t.Helper()
	for _, c := range changes {
		m, found := records[events.Key{CampaignID: c.CampaignID, RunID: c.RunID, Phase: c.Phase}]
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(asText(t, m)), &fields); err != nil || !found {
			t.Fatalf("run %q: found %t, error %v", c.RunID, found, err)
		}
		for _, f := range c.Fields {
			// That of a run without any event that counts is when the void says that it happened.
			if got := string(fields[f.Field]); got != f.Recomputed && f.Field != "createdAt" {
				t.Errorf("run %q: %s became %s, foretold was %s", c.RunID, f.Field, got, f.Recomputed)
			}
		}
	}
}

func messagesOf(t *testing.T, b *broker) int {
	t.Helper()
	stream, err := testJetStream(t, b).Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	return int(messages(t, stream))
}

func TestVoidOfStoredRunsAndOfSingleEvents(t *testing.T) {
	t.Parallel()
	b, environ := systemToPrune(t)
	run := prunedLoad.At(0).Key
	first, second := prunedLoad.At(1), prunedLoad.At(2)
	single := callVoid(t, environ, exitOK, "--campaign", run.CampaignID, "--run", run.RunID, "--phase", run.Phase,
		"--id", first.ID, "--id", second.ID, "--id", first.ID, "--apply")
	if single.Events != 2 || single.Runs != 1 || single.Published != 1 || len(single.Changes[0].Fields) == 0 {
		t.Errorf("single events: %+v", single)
	}
	readOut(t, b, environ)
	if got := *recordsOf(t, environ)[run].Executions; got != int64(prunedLoad.Agents+prunedLoad.retries()-2) {
		t.Errorf("%d executions are left", got)
	}
	call(t, environ, "", "prune", "--before", "2026-02-01", "--run", "run-000001", "--apply").want(t, exitOK)

	all := callVoid(t, environ, exitLeftovers, "--campaign", run.CampaignID, "--phase", run.Phase, "--apply", "--limit", "3")
	if all.Runs != prunedRuns || all.Sealed != 1 || all.Voided != 2 || len(all.Changes) != 3 ||
		all.Events != int64((prunedRuns-1)*prunedLoad.perRun()+5-2) {
		t.Errorf("all runs: %+v", all)
	}
	readOut(t, b, environ)
	for _, row := range tablesOf(t, environ)["agent_runs"] {
		t.Errorf("left %s", row)
	}
	text := call(t, environ, "", "void", "--reason", "x", "--campaign", run.CampaignID)
	text.want(t, exitOK)
	if !strings.HasPrefix(text.stdout, "0 events of 0 runs to be voided, ") || !strings.Contains(text.stdout, "1 runs are left: their executions were pruned") {
		t.Errorf("says %s", text.stdout)
	}
}

func TestVoidSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	environ := map[string]string{"DATA_DIR": t.TempDir(), "NATS_LISTEN": "127.0.0.1:1"}
	for _, c := range []struct{ args, want string }{
		{"--campaign c", "--reason is required"},
		{"--undo", "publish the events again under new ids"},
		{"--reason x", "say what to void"},
		{"--reason " + strings.Repeat("x", 257) + " --campaign c", "reason must"},
		{"--reason x --id e --campaign c --run r", "give --campaign, --run and --phase"},
		{"--reason x --id e --campaign c --run r --phase 1 --from-seq 2", "no range"},
		{"--reason x --stream RUN_EVENTS --campaign c", "--stream goes with a range"},
		{"--reason x --from-seq 3 --to-seq 2", "--to-seq must not be less"},
		{"--reason x --stream OTHER --from-seq 3", "is not one of STREAMS"},
	} {
		r := call(t, environ, "", append([]string{"void"}, strings.Fields(c.args)...)...)
		r.want(t, exitUsage)
		if !strings.Contains(r.stderr, c.want) {
			t.Errorf("%q says %s", c.args, r.stderr)
		}
	}
}

func TestVoidsOfManyIDsFitIntoMessages(t *testing.T) {
	t.Parallel()
	var ids []string
	for i := range 3000 {
		ids = append(ids, fmt.Sprintf("%04d", i)+strings.Repeat([]string{"x", `"`, "🚀"}[i/1000], 62))
	}
	key := events.Key{CampaignID: "c", RunID: strings.Repeat("é", 64), Phase: "1"}
	var named []string
	list := voids(key, strings.Repeat("\n", 256), ids)
	for i := range list {
		e, rejected := events.Decode(events.Message{Data: events.Encode(&list[i])})
		if rejected != nil {
			t.Fatalf("void %d of %d: %v", i, len(list), rejected)
		}
		named = append(named, e.Voids...)
	}
	if !slices.Equal(named, ids) || len(list) > 12 {
		t.Errorf("%d voids name %d ids of %d", len(list), len(named), len(ids))
	}
}

func TestAVoidThatTheStreamRefusesIsAFailure(t *testing.T) {
	t.Parallel()
	b, environ := systemToPrune(t)
	js := testJetStream(t, b)
	stream, err := js.Stream(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	full := stream.CachedInfo().Config
	full.MaxMsgs = int64(messages(t, stream))
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	r := call(t, environ, "", "void", "--reason", "x", "--campaign", "load-3", "--apply")
	r.want(t, exitFailure)
	if !strings.Contains(r.stderr, "the stream does not take it") {
		t.Errorf("says %s%s", r.stdout, r.stderr)
	}
	db := openDatabase(t, environ)
	defer db.Close()
	wantOutcome(t, db, "void", "failed")
}
