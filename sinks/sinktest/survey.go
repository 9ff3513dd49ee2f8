package sinktest

import (
	"runtime"
	"slices"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) surveyTests() []test {
	return []test{
		{"SurveyHasTheLatenciesOfEveryRecord", s.survey},
		{"ACommitThatChangesNoLatencyIsKnownToChangeNone", s.surveyUnchanged},
		{"SurveyOfASealedRunKeepsItsLatencies", s.surveySealed},
		{"SurveySaysWhereLatenciesAreNotKnown", s.surveyBlind},
		{"LatenciesThatAreNotOfTheirEventsAreSeen", s.skewed},
	}
}

// survey returns what a store says of the records that match, newest first.
func survey(t testing.TB, store sinks.Reader, f sinks.Filter) []sinks.Surveyed {
	t.Helper()
	var list []sinks.Surveyed
	err := store.Survey(t.Context(), f, func(r *sinks.Surveyed) error {
		kept := *r
		kept.Latencies = slices.Clone(r.Latencies)
		kept.FinishedAt = cloned(r.FinishedAt)
		list = append(list, kept)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b sinks.Surveyed) int { return newestFirst(a.Metrics, b.Metrics) })
	return list
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// recordsOf are the records of a survey.
func recordsOf(list []sinks.Surveyed) []aggregate.Metrics {
	var records []aggregate.Metrics
	for i := range list {
		records = append(records, list[i].Metrics)
	}
	return records
}

// agrees tells whether surveyed latencies are those that the record is over.
func agrees(t testing.TB, r *sinks.Surveyed) bool {
	t.Helper()
	var pool aggregate.Pool
	if err := sinks.DecodeLatencies(r.Latencies, pool.Change); err != nil {
		t.Fatal(err)
	}
	stats, whole := pool.Stats()
	if r.Source == aggregate.FromReport {
		return whole && stats.Count == 0
	}
	equal := func(a, b *int64) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }
	return whole && equal(stats.AvgMs, r.LatencyAvgMs) && equal(stats.P50Ms, r.LatencyP50Ms) &&
		equal(stats.P95Ms, r.LatencyP95Ms) && equal(stats.P99Ms, r.LatencyP99Ms) && equal(stats.MaxMs, r.LatencyMaxMs)
}

// Retries, voids that come before and after what they name, runs that are read back and folded again: whatever the
// commits were, what they changed adds up.
func (s suite) survey(t *testing.T) {
	store, _ := s.open(t, Options{})
	w, h := NewWriter(t, store, stream), newHistory(t, 12)
	for range 40 {
		if err := w.Write(t.Context(), h.take(1+h.IntN(12))...); err != nil {
			t.Fatal(err)
		}
		if h.IntN(4) == 0 {
			if err := w.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range []sinks.Filter{{}, {CampaignID: "c1"}, {CampaignID: "c1", RunID: "r0"}, {Phase: "1"},
		{Status: aggregate.Running}, {Status: aggregate.Stalled, IdleSince: w.At}, {Since: epoch}, {CampaignID: "nobody"}} {
		surveyed := survey(t, store, f)
		same(t, "surveyed", recordsOf(surveyed), listAll(t, store, f, 500))
		for i := range surveyed {
			if r := &surveyed[i]; r.Latencies == nil || !r.Sealed.IsZero() || !agrees(t, r) {
				t.Errorf("latencies %v of %s", r.Latencies, show(r.Metrics))
			}
		}
	}
	for i, key := range h.keys {
		if held := hold(t, store, key)[0]; held.Skewed || held.Blind {
			t.Errorf("run %d is held to be skewed %v, blind %v", i, held.Skewed, held.Blind)
		}
	}
}

// A store that keeps its buffers has none at first: what is empty must not become what is unknown.
func (s suite) surveyUnchanged(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	for _, run := range []string{"r", "s"} {
		runtime.GC()
		runtime.GC() // what was kept for the second time is gone, too
		started := events.Event{Key: key(run), ID: "s", Type: events.AgentStarted, OccurredAt: epoch, AgentID: "a", Attempt: 1}
		if err := w.Write(t.Context(), started); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range survey(t, store, sinks.Filter{}) {
		if r.Latencies == nil || len(r.Latencies) > 0 {
			t.Errorf("latencies of %s: %v, known %t", r.RunID, r.Latencies, r.Latencies != nil)
		}
	}
}

func (s suite) surveySealed(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	run := finishedRun(t, w, key("r"))
	seal(t, store, 1, run)
	surveyed := survey(t, store, sinks.Filter{})
	if len(surveyed) != 1 || !surveyed[0].Sealed.Equal(at(9)) || surveyed[0].Latencies == nil || !agrees(t, &surveyed[0]) {
		t.Errorf("surveyed %+v", surveyed)
	}
}

// surveyBlind has the three ways to lack knowledge: an amendment that says so, events that somebody deleted, and a run that
// was sealed in that state.
func (s suite) surveyBlind(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	amended, gone := finishedRun(t, w, key("amended")), finishedRun(t, w, key("gone"))
	change := amendment(hold(t, store, key("amended"))[0], at(8), execution(key("amended"), "late"))
	if err := store.Amend(t.Context(), &sinks.Batch{Runs: []sinks.RunChange{change}, At: at(8)}); err != nil {
		t.Fatal(err)
	}
	db.exec(t, "DELETE FROM event_chunks WHERE number = (SELECT number FROM campaign_metrics WHERE run_key = '"+gone.RunKey.String()+"')")
	if held := hold(t, store, key("amended"))[0]; !held.Blind || held.Skewed {
		t.Errorf("held of an amended run: %+v", held)
	}
	for range 2 {
		for _, r := range survey(t, store, sinks.Filter{}) {
			if r.Latencies != nil {
				t.Errorf("latencies %v of %s", r.Latencies, r.RunID)
			}
		}
		amended = metricsOf(t, store, amended.RunKey)
		if _, err := store.Seal(t.Context(), []aggregate.Metrics{amended, gone}, at(9)); err != nil {
			t.Fatal(err)
		}
	}
}

func (s suite) skewed(t *testing.T) {
	store, db := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	if err := w.Write(t.Context(), executions(key("r"), 0, 3)...); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), events.Event{Key: key("r"), ID: "v", Type: events.ExecutionsVoided, OccurredAt: epoch,
		Voids: []string{"1"}}); err != nil {
		t.Fatal(err)
	}
	if held := hold(t, store, key("r"))[0]; held.Skewed {
		t.Fatal("skewed before anybody touched it")
	}
	db.exec(t, "UPDATE event_chunks SET latencies = (SELECT latencies FROM event_chunks WHERE version = 1) WHERE version = 2")
	if held := hold(t, store, key("r"))[0]; !held.Skewed || held.Damage != "" {
		t.Errorf("held of a run whose latencies were changed: %+v", held)
	}
}
