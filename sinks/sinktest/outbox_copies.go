package sinktest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) copyTests() []test {
	return []test{
		{"CopiesPageOverAllRuns", s.copyPages},
		{"CopiesOfFindsByKeyAndByRowID", s.copiesOf},
		{"ParkedLastIsShownFirst", s.parkedOrder},
		{"MarkedRunIsDueWhateverWasDelivered", s.mark},
		{"MarkDuringAClaimIsSentAfterIt", s.markDuringClaim},
		{"RowIDStaysAndMarksNothing", s.rowIDs},
		{"TargetsAreCountedForEachUTCDay", s.targets},
		{"StandingCountsWhatWaitsAndWhatIsParked", s.standing},
	}
}

// copyPages: runs that no commit marked are among them.
func (s suite) copyPages(t *testing.T) {
	store, db := s.open(t, Options{})
	records := fill(t, store, 40)
	NewWriter(t, db.open(t, Options{Marks: true}), stream).touch(t, at(0), "a", "b")
	records = append(records, metricsOf(t, store, key("a").UUID()), metricsOf(t, store, key("b").UUID()))
	slices.SortFunc(records, func(a, b aggregate.Metrics) int { return slices.Compare(a.RunKey[:], b.RunKey[:]) })
	for name, f := range map[string]sinks.CopyFilter{
		"all":          {},
		"a campaign":   {CampaignID: "c1"},
		"no campaign":  {CampaignID: "' OR 1=1 --"},
		"some time":    {Since: epoch.Add(2 * time.Microsecond), Until: epoch.Add(5 * time.Microsecond)},
		"all together": {CampaignID: "c2", Since: epoch.Add(2 * time.Microsecond), Until: epoch.Add(9 * time.Microsecond)},
	} {
		var want, got []aggregate.Metrics
		for _, m := range records {
			if matches(sinks.Filter{CampaignID: f.CampaignID, Since: f.Since, Until: f.Until}, &m) {
				want = append(want, m)
			}
		}
		for after, full := uuid.Nil, true; full; {
			page, err := store.Copies(t.Context(), f, after, 7)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				got, after = append(got, c.Metrics), c.Metrics.RunKey
				marked := c.Metrics.CampaignID == "campaign"
				if c.RowID != c.Metrics.RunKey || c.Delivered != 0 || c.Parked != "" || c.Waiting != marked {
					t.Errorf("known of %s: %+v", c.Metrics.RunID, c)
				}
			}
			full = len(page) == 7
		}
		same(t, name, got, want)
	}
}

func (s suite) copiesOf(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	NewWriter(t, store, stream).touch(t, at(0), "a", "b", "c")
	row, other := uuid.New(), uuid.New()
	setRowIDs(t, store, map[string]uuid.UUID{"b": row, "c": other})
	for name, c := range map[string]struct {
		ids  []uuid.UUID
		want []string
	}{
		"keys":           {[]uuid.UUID{key("a").UUID(), key("b").UUID()}, []string{"a@1", "b@1"}},
		"row id":         {[]uuid.UUID{row}, []string{"b@1"}},
		"both of a run":  {[]uuid.UUID{row, key("b").UUID(), row}, []string{"b@1"}},
		"one of each":    {[]uuid.UUID{key("a").UUID(), other}, []string{"a@1", "c@1"}},
		"what is not":    {[]uuid.UUID{uuid.New(), uuid.Nil}, nil},
		"some which are": {[]uuid.UUID{uuid.New(), key("c").UUID()}, []string{"c@1"}},
	} {
		list, err := store.CopiesOf(t.Context(), c.ids)
		if err != nil {
			t.Fatal(err)
		}
		if got := sorted(names(list)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func setRowIDs(t testing.TB, store sinks.Outbox, ids map[string]uuid.UUID) {
	t.Helper()
	rows := make(map[uuid.UUID]uuid.UUID)
	for run, id := range ids {
		rows[key(run).UUID()] = id
	}
	if err := store.SetRowIDs(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

func (s suite) parkedOrder(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	runs := []string{"a", "c", "b", "d"}
	for i, run := range runs {
		w.touch(t, at(float64(i)), run)
	}
	d.claim(t, at(10), "a@1", "c@1", "b@1", "d@1")
	for i, run := range runs[:3] {
		d.settle(t, at(float64(20+i)), settled(run, 1, sinks.Parked))
	}
	w.touch(t, at(30), "b") // still refused, until a version of it is not
	for limit, want := range [][]string{{}, {"b@2"}, {"b@2", "c@1"}, {"b@2", "c@1", "a@1"}, {"b@2", "c@1", "a@1"}} {
		list, err := store.Parked(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(list); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d parked: %v, want %v", limit, got, want)
		}
		for _, c := range list {
			if c.Parked != "too long: "+c.Metrics.RunID || c.Waiting != (c.Metrics.RunID == "b") {
				t.Errorf("parked %+v", c)
			}
		}
	}
}

func mark(t testing.TB, store sinks.Outbox, now time.Time, runs ...string) {
	t.Helper()
	var keys []uuid.UUID
	for _, run := range runs {
		keys = append(keys, key(run).UUID())
	}
	if err := store.Mark(t.Context(), keys, now); err != nil {
		t.Fatal(err)
	}
}

func (s suite) mark(t *testing.T) {
	store, db := s.open(t, Options{})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "b") // without marks
	w = NewWriter(t, db.open(t, Options{Marks: true}), stream)
	w.touch(t, at(0), "a")
	w.touch(t, at(0.1), "c")
	w.touch(t, at(0.2), "d")
	d.claim(t, at(1), "a@1", "c@1", "d@1")
	d.settle(t, at(2), settled("a", 1, sinks.Delivered), settled("c", 1, sinks.Parked), settled("d", 1, sinks.Delivered))
	w.touch(t, at(3), "d") // due at 11
	next(t, d.claim(t, at(4)), at(11))
	mark(t, store, at(4), "a")
	mark(t, store, at(5), "b", "b", "nobody's", "a")
	mark(t, store, at(6), "c")
	mark(t, store, at(7), "d")
	for run, want := range map[string]sinks.Copy{
		"a": {Delivered: 1}, "b": {}, "c": {Parked: "too long: c"}, "d": {Delivered: 1},
	} {
		if c := knownOf(t, store, run); c.Delivered != want.Delivered || c.Parked != want.Parked || !c.Waiting {
			t.Errorf("known of %s: %+v", run, c)
		}
	}
	next(t, d.claim(t, at(7), "a@1", "b@1", "c@1", "d@2"), never)
}

func (s suite) markDuringClaim(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	d.claim(t, at(1), "a@1")
	mark(t, store, at(1), "a")
	next(t, d.claim(t, at(2)), never)
	d.settle(t, at(3), doubtful(settled("a", 1, sinks.Delivered), at(60)))
	next(t, d.claim(t, at(3), "a@1"), never)
	d.settle(t, at(4), settled("a", 1, sinks.Delivered))
	next(t, d.claim(t, at(5)), at(60))
}

func (s suite) rowIDs(t *testing.T) {
	store, db := s.open(t, Options{})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	w.touch(t, at(0), "a")
	row := uuid.New()
	setRowIDs(t, store, map[string]uuid.UUID{"a": row, "nobody's": uuid.New()})
	next(t, d.claim(t, at(1)), never)
	w = NewWriter(t, db.open(t, Options{Marks: true}), stream)
	w.touch(t, at(2), "a")
	claimed := d.claim(t, at(5), "a@2")
	if len(claimed.Copies) == 1 && claimed.Copies[0].RowID != row {
		t.Errorf("claimed for row %v, not %v", claimed.Copies[0].RowID, row)
	}
	d.settle(t, at(6), settled("a", 2, sinks.Delivered))
	if c := knownOf(t, store, "a"); c.RowID != row || c.Waiting || c.Delivered != 2 {
		t.Errorf("known %+v", c)
	}
	setRowIDs(t, store, map[string]uuid.UUID{"a": key("a").UUID()})
	if c := knownOf(t, store, "a"); c.RowID != key("a").UUID() || c.Waiting || c.Delivered != 2 {
		t.Errorf("known after the row is the run's own: %+v", c)
	}
	next(t, d.claim(t, at(1000)), never)
}

func (s suite) targets(t *testing.T) {
	store, db := s.open(t, Options{})
	stores := []sinks.Store{store, db.open(t, Options{})}
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	west := time.FixedZone("west", -5*3600)
	for i, c := range []struct {
		now     time.Time
		targets int64
		today   int64
	}{
		{midnight.Add(-time.Hour), 0, 0},
		{midnight.Add(-time.Microsecond), 10, 10},
		{midnight.Add(-time.Microsecond).In(west), 5, 15},
		{midnight, 1, 1},
		{midnight.Add(time.Hour).In(west), 2, 3}, // still yesterday there
		{midnight.Add(-time.Second), 4, 19},
		{midnight.Add(23 * time.Hour), 0, 3},
	} {
		settled, err := stores[i%2].Settle(t.Context(), sinks.Settlement{Owner: uuid.New(), Now: c.now, Targets: c.targets})
		if err != nil {
			t.Fatal(err)
		}
		if settled != (sinks.Settled{TargetsToday: c.today}) {
			t.Errorf("%v: %+v, want %d", c.now, settled, c.today)
		}
		standing, err := store.Standing(t.Context(), c.now)
		if err != nil || standing != (sinks.Standing{TargetsToday: c.today}) {
			t.Errorf("%v: %+v, %v, want %d", c.now, standing, err, c.today)
		}
	}
}

func (s suite) standing(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	check := func(want sinks.Standing) {
		t.Helper()
		if got, err := store.Standing(t.Context(), at(0)); err != nil || got != want {
			t.Errorf("standing %+v, %v, want %+v", got, err, want)
		}
	}
	check(sinks.Standing{})
	for i, run := range []string{"a", "b", "c"} {
		w.touch(t, at(float64(i)), run)
	}
	check(sinks.Standing{Waiting: 3, Oldest: at(0)})
	d.claimAs(t, sinks.Claim{Now: at(1), NotBefore: at(50), Limit: 10}, "a@1", "b@1")
	check(sinks.Standing{Waiting: 3, Oldest: at(0)}) // until it is sent
	d.settle(t, at(3), settled("a", 1, sinks.Delivered))
	check(sinks.Standing{Waiting: 2, Oldest: at(1)})
	d.settle(t, at(3), settled("b", 1, sinks.Parked))
	check(sinks.Standing{Waiting: 1, Oldest: at(2), Parked: 1})
	w.touch(t, at(4), "b", "a")
	check(sinks.Standing{Waiting: 3, Oldest: at(2), Parked: 1})
	d.claim(t, at(4), "c@1")
	d.settle(t, at(4), settled("c", 1, sinks.Delivered))
	check(sinks.Standing{Waiting: 2, Oldest: at(50), Parked: 1}) // due later only
}
