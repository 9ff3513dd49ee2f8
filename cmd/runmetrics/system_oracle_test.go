package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
)

// oracle is what must be stored of the first n events of a load, whatever happens on the way: the fold of each run's
// events, each once.
func oracle(l load, n int) map[events.Key]aggregate.Metrics {
	runs := make(map[events.Key]*aggregate.Run)
	for e, again := range l.All(n) {
		if again {
			continue
		}
		if runs[e.Key] == nil {
			runs[e.Key] = aggregate.NewRun(e.Key)
		}
		runs[e.Key].Apply(&e)
	}
	records := make(map[events.Key]aggregate.Metrics, len(runs))
	for key, run := range runs {
		records[key] = run.Metrics()
	}
	return records
}

// wantOracle fails the test unless the API lists exactly the records of the first n events of the load.
func (p *program) wantOracle(t *testing.T, l load, n int) {
	t.Helper()
	want := oracle(l, n)
	listed := p.list(t, l.At(0).CampaignID)
	if len(listed) != len(want) {
		t.Errorf("%d records, want %d", len(listed), len(want))
	}
	different := 0
	for _, got := range listed {
		// How often and when the run was committed depends on what happened.
		got.Version, got.UpdatedAt = 0, time.Time{}
		expected, known := want[got.Key()]
		delete(want, got.Key()) // what is listed twice is unknown the second time
		if a, b := asText(t, got), asText(t, expected); !known || a != b {
			if different++; different <= 3 {
				t.Errorf("run %s\n got %s\nwant %s", got.RunID, a, b)
			}
		}
	}
	if different > 0 || len(want) > 0 {
		t.Errorf("%d records differ, %d are missing", different, len(want))
	}
}

func asText(t *testing.T, m aggregate.Metrics) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
