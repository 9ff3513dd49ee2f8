package postgres

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// A value of the wrong kind is refused, whichever side finds it, and stores nothing.
func TestUnfitValuesAreRefused(t *testing.T) {
	for _, mode := range []mode{cacheStatement, cacheDescribe, exec, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			db := plainSQL(t, url)
			w := sinktest.NewWriter(t, openStore(t, url+mode.setting), "RUN_EVENTS")
			for name, spoil := range map[string]func(m *aggregate.Metrics){
				"invalid text": func(m *aggregate.Metrics) { m.RunID = "a\xffb" },
				"too much":     func(m *aggregate.Metrics) { m.CostUSD = dollars(t, "100000000000000000000000000000") },
				"unknown":      func(m *aggregate.Metrics) { m.Status = "odd" },
			} {
				batch := w.Fold(execution("r", "1"))
				spoil(&batch.Runs[0].Metrics)
				if err := w.Commit(t.Context(), batch); !errors.Is(err, sinks.ErrRefused) {
					t.Errorf("%s: %v", name, err)
				}
				if err := w.Reload(t.Context()); err != nil || w.Position.Epoch != 0 {
					t.Errorf("%s: position %+v, %v", name, w.Position, err)
				}
			}
			var n int
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM campaign_metrics").Scan(&n); err != nil || n != 0 {
				t.Errorf("%d runs, %v", n, err)
			}
		})
	}
}

func TestNamesThatNobodyHasMatchNothing(t *testing.T) {
	for _, mode := range []mode{cacheStatement, simpleProtocol} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, migrated(t)+mode.setting)
			if err := sinktest.NewWriter(t, store, "RUN_EVENTS").Write(t.Context(), execution("r", "1")); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a\x00b", "a\xffb"} {
				if list, err := store.List(t.Context(), sinks.Filter{CampaignID: name}, nil, 10); err != nil || len(list) > 0 {
					t.Errorf("List(%q): %v, %v", name, list, err)
				}
				if n, err := store.CountDeadLetters(t.Context(), name, "r"); err != nil || n > 0 {
					t.Errorf("CountDeadLetters(%q): %v, %v", name, n, err)
				}
			}
		})
	}
}

func TestLargestNumbersComeBack(t *testing.T) {
	for _, mode := range []mode{cacheStatement, exec} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			store := openStore(t, migrated(t)+mode.setting)
			w := sinktest.NewWriter(t, store, "RUN_EVENTS")
			batch := w.Fold(execution("r", "1"))
			m := &batch.Runs[0].Metrics
			m.CostUSD = dollars(t, "99999999999999999999999999999.999999999") // numeric(38,9) has no more
			m.TokensIn, m.LatencyMaxMs = math.MaxInt64, new(int64(math.MaxInt64))
			m.SuccessRate = new(aggregate.Percent(10_000))
			if err := w.Commit(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			got, found, err := store.Get(t.Context(), m.RunKey)
			if err != nil || !found || !reflect.DeepEqual(got, *m) {
				t.Errorf("%+v, %v, want %+v", got, err, *m)
			}
		})
	}
}

func dollars(t *testing.T, s string) aggregate.Money {
	t.Helper()
	m, err := aggregate.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
