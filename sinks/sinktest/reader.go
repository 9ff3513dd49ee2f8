package sinktest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) readerTests() []test {
	return []test{
		{"EveryFilterSelectsWhatItSays", s.filters},
		{"PagesHaveNoGapsAndNoRepeats", s.pages},
		{"PagingIsNotDisturbedByNewRuns", s.pagesWhileRunsAreAdded},
		{"RunningTurnsStalledAtIdleSince", s.stalled},
		{"EventsKeepTheOrderOfApplication", s.eventOrder},
		{"ChangedSinceATimeIsTheLastCommittedFirst", s.changed},
	}
}

// newestFirst is the order of a listing.
func newestFirst(a, b aggregate.Metrics) int {
	return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), slices.Compare(b.RunKey[:], a.RunKey[:]))
}

// fill writes many runs, of which many were created at the same time, and returns their records newest first.
func fill(t testing.TB, store sinks.Store, runs int) []aggregate.Metrics {
	t.Helper()
	h := newHistory(t, 0)
	w := NewWriter(t, store, stream)
	w.At = epoch
	var records []aggregate.Metrics
	for i := range runs {
		run := events.Key{CampaignID: fmt.Sprintf("c%d", i%4), RunID: fmt.Sprintf("r%d", i/8), Phase: fmt.Sprint(i / 4 % 2)}
		e := execution(run, "1")
		e.OccurredAt = epoch.Add(time.Duration(h.IntN(runs/4)) * time.Microsecond)
		list := []events.Event{e}
		if i%3 > 0 {
			list = append(list, events.Event{Key: run, ID: "2", Type: events.RunFinished, OccurredAt: epoch.Add(time.Second),
				Outcome: outcomes[h.IntN(3)]})
		}
		b := w.Fold(list...)
		if err := w.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		records = append(records, b.Runs[0].Metrics)
	}
	slices.SortFunc(records, newestFirst)
	return records
}

// matches is what a filter means.
func matches(f sinks.Filter, m *aggregate.Metrics) bool {
	status := m.Status
	if status == aggregate.Running && m.UpdatedAt.Before(f.IdleSince) {
		status = aggregate.Stalled
	}
	return (f.CampaignID == "" || f.CampaignID == m.CampaignID) && (f.RunID == "" || f.RunID == m.RunID) &&
		(f.Phase == "" || f.Phase == m.Phase) && (f.Status == "" || f.Status == status) &&
		(f.Since.IsZero() || !m.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || m.CreatedAt.Before(f.Until))
}

// listAll pages through a listing.
func listAll(t testing.TB, store sinks.Reader, f sinks.Filter, limit int) []aggregate.Metrics {
	t.Helper()
	var all []aggregate.Metrics
	var after *sinks.Cursor
	for {
		page, err := store.List(t.Context(), f, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("%d records on a page of %d", len(page), limit)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		next := behind(page)
		if after != nil && *next == *after {
			t.Fatalf("the page behind %+v ends there too", *after)
		}
		after = next
	}
}

// behind is the cursor of the page after this one.
func behind(page []aggregate.Metrics) *sinks.Cursor {
	last := page[len(page)-1]
	return &sinks.Cursor{CreatedAt: last.CreatedAt, RunKey: last.RunKey}
}

func (s suite) filters(t *testing.T) {
	store, _ := s.open(t, Options{})
	records := fill(t, store, 96)
	idle := epoch.Add(48 * time.Second) // half of the commits lie before it
	for name, f := range map[string]sinks.Filter{
		"nothing":             {},
		"campaign":            {CampaignID: "c1"},
		"run":                 {RunID: "r7"},
		"phase":               {Phase: "1"},
		"all names":           {CampaignID: "c1", RunID: "r7", Phase: "1"},
		"no such campaign":    {CampaignID: "' OR 1=1 --"},
		"case":                {CampaignID: "C1"},
		"completed":           {Status: aggregate.Completed, IdleSince: idle},
		"failed":              {Status: aggregate.Failed},
		"cancelled":           {Status: aggregate.Cancelled, IdleSince: idle},
		"running or stalled":  {Status: aggregate.Running},
		"running":             {Status: aggregate.Running, IdleSince: idle},
		"stalled":             {Status: aggregate.Stalled, IdleSince: idle},
		"stalled without end": {Status: aggregate.Stalled},
		"since":               {Since: epoch.Add(7 * time.Microsecond)},
		"until":               {Until: epoch.Add(7 * time.Microsecond)},
		"one instant":         {Since: epoch.Add(7 * time.Microsecond), Until: epoch.Add(8 * time.Microsecond)},
		"empty span":          {Since: epoch.Add(8 * time.Microsecond), Until: epoch.Add(7 * time.Microsecond)},
		"in another zone":     {Since: epoch.Add(7 * time.Microsecond).In(time.FixedZone("", 5*3600))},
		"all at once": {CampaignID: "c1", Phase: "0", Status: aggregate.Running, IdleSince: idle,
			Since: epoch.Add(3 * time.Microsecond), Until: epoch.Add(20 * time.Microsecond)},
	} {
		var want []aggregate.Metrics
		for _, m := range records {
			if matches(f, &m) {
				want = append(want, m)
			}
		}
		same(t, name, listAll(t, store, f, 500), want)
		same(t, name+", paged", listAll(t, store, f, 3), want)
	}
}

func (s suite) pages(t *testing.T) {
	store, _ := s.open(t, Options{})
	records := fill(t, store, 80)
	for _, limit := range []int{1, 2, 7, 79, 80, 81} {
		same(t, fmt.Sprintf("pages of %d", limit), listAll(t, store, sinks.Filter{}, limit), records)
	}
	// A cursor need not stand on a record.
	for _, at := range []time.Time{epoch.Add(-time.Hour), epoch.Add(5 * time.Microsecond), epoch.Add(time.Hour)} {
		want := slices.DeleteFunc(slices.Clone(records), func(m aggregate.Metrics) bool { return !m.CreatedAt.Before(at) })
		got, err := store.List(t.Context(), sinks.Filter{}, &sinks.Cursor{CreatedAt: at}, 500)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "behind "+at.String(), got, want)
	}
}

func (s suite) pagesWhileRunsAreAdded(t *testing.T) {
	store, _ := s.open(t, Options{})
	records := fill(t, store, 40)
	w := NewWriter(t, store, stream)
	var got []aggregate.Metrics
	var after *sinks.Cursor
	for i := 0; len(got) < len(records); i++ {
		page, err := store.List(t.Context(), sinks.Filter{}, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		after = behind(page)
		// One newer than all, and one as old as the cursor's but before it in the order.
		newest := execution(key(fmt.Sprint("new", i)), "1")
		newest.OccurredAt = epoch.Add(time.Hour)
		tie := execution(key(fmt.Sprint("tie", i)), "1")
		for tie.OccurredAt = after.CreatedAt; slices.Compare(uuidOf(tie), after.RunKey[:]) <= 0; {
			tie.RunID += "'"
		}
		if err := w.Write(t.Context(), newest, tie); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the runs that stood at the begin", got, records)
}

func uuidOf(e events.Event) []byte {
	id := e.Key.UUID()
	return id[:]
}

func (s suite) stalled(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	committed := w.At
	if err := w.Write(t.Context(), execution(key("r"), "1")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		idleSince time.Time
		want      aggregate.Status
	}{
		{committed.Add(-time.Hour), aggregate.Running},
		{committed, aggregate.Running},
		{committed.Add(time.Microsecond), aggregate.Stalled},
		{committed.Add(time.Hour), aggregate.Stalled},
	} {
		for _, status := range []aggregate.Status{aggregate.Running, aggregate.Stalled} {
			list, err := store.List(t.Context(), sinks.Filter{Status: status, IdleSince: c.idleSince}, nil, 10)
			if err != nil {
				t.Fatal(err)
			}
			if (len(list) == 1) != (status == c.want) {
				t.Errorf("idle since %v: %d runs are %s", c.idleSince, len(list), status)
			}
			// Stalled is shown by the reader of the record, it is not in it.
			if len(list) == 1 && list[0].Status != aggregate.Running {
				t.Errorf("record says %s", list[0].Status)
			}
		}
	}
}

func (s suite) eventOrder(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	h := newHistory(t, 0)
	h.keys = []events.Key{key("r"), key("other")}
	all := h.take(400)
	for rest := all; len(rest) > 0; rest = rest[4:] {
		if err := w.Write(t.Context(), rest[:4]...); err != nil {
			t.Fatal(err)
		}
	}
	for run, applied := range appliedOf(all) {
		if got, want := eventsOf(t, store, run.UUID()), encoded(applied); !slices.Equal(got, want) {
			t.Errorf("events of %v: %q\nwant %q", run, got, want)
		}
	}
}
