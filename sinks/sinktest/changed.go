package sinktest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// changed reads what was committed since a time, of which a run that was committed twice is there once, as it is.
func (s suite) changed(t *testing.T) {
	store, _ := s.open(t, Options{})
	records := fill(t, store, 40)
	w := NewWriter(t, store, stream)
	w.At = epoch.Add(20*time.Second + time.Microsecond)
	again := records[slices.IndexFunc(records, func(m aggregate.Metrics) bool { return m.UpdatedAt.Equal(epoch) })]
	late := execution(again.Key(), "late")
	late.OccurredAt = again.CreatedAt
	if err := w.Write(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if records[i].RunKey == again.RunKey {
			records[i] = metricsOf(t, store, again.RunKey)
		}
	}
	slices.SortFunc(records, func(a, b aggregate.Metrics) int {
		return cmp.Or(b.UpdatedAt.Compare(a.UpdatedAt), slices.Compare(b.RunKey[:], a.RunKey[:]))
	})
	for _, since := range []time.Duration{-time.Hour, 0, 20 * time.Second, 20*time.Second + time.Microsecond,
		20*time.Second + 2*time.Microsecond, 39 * time.Second, time.Hour} {
		want := slices.DeleteFunc(slices.Clone(records), func(m aggregate.Metrics) bool {
			return m.UpdatedAt.Before(epoch.Add(since))
		})
		for _, limit := range []int{1, 7, 100} {
			got, err := store.Changed(t.Context(), epoch.Add(since), limit)
			if err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("%d since %s", limit, since), got, want[:min(limit, len(want))])
		}
	}
}
