package replay_test

import (
	"maps"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/sinks"
)

func TestRebuildMakesRecordsOfStoredEventsAlone(t *testing.T) {
	t.Parallel()
	whole := runs(9, "fine", "figures", "lacking", "empty", "misnamed", "sealed")
	l := openLedger(t)
	l.write(t, whole)
	record, _, err := l.Get(t.Context(), keyOf("sealed").UUID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Seal(t.Context(), []aggregate.Metrics{record}, record.UpdatedAt); err != nil {
		t.Fatal(err)
	}
	l.exec(t, "UPDATE campaign_metrics SET tokens_in = 1, latency_p95_ms = 5 WHERE run_key = ?", id("figures"))
	l.exec(t, "DELETE FROM event_chunks WHERE version = 1 AND "+ofRun, id("lacking"))
	l.exec(t, "DELETE FROM event_chunks WHERE "+ofRun, id("empty"))
	l.exec(t, "UPDATE campaign_metrics SET phase = 'x' WHERE run_key = ?", id("misnamed"))
	verdict := map[string]replay.Verdict{"figures": replay.Different, "lacking": replay.Incomplete, "empty": replay.Incomplete,
		"misnamed": replay.Damaged}
	for _, apply := range []bool{false, true} {
		c, found := l.comparison(apply)
		if err := c.Rebuild(t.Context(), sinks.RecordFilter{}); err != nil {
			t.Fatal(err)
		}
		if got := verdicts(*found); !maps.Equal(got, verdict) {
			t.Errorf("verdicts %v, want %v", got, verdict)
		}
		if c.Counts.Runs != 6 || c.Counts.Equal != 1 || c.Counts.Sealed != 1 || (c.Counts.Repaired == 1) != apply {
			t.Errorf("counts %+v", c.Counts)
		}
	}
	c, found := l.comparison(true)
	if err := c.Rebuild(t.Context(), sinks.RecordFilter{RunID: "figures"}); err != nil || len(*found) != 0 || c.Counts.Equal != 1 {
		t.Errorf("again: %+v, %v", *found, err)
	}
	// The rest is for a replay.
	if c, _ := l.compare(t, true, listed{list: whole}); c.Counts.Left() != 0 || c.Counts.Repaired != 3 {
		t.Errorf("replay: %+v", c.Counts)
	}
	if c, found = l.comparison(false); c.Rebuild(t.Context(), sinks.RecordFilter{}) != nil || len(*found) != 0 {
		t.Errorf("after the replay: %+v", *found)
	}
}
