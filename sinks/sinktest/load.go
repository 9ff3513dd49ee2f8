package sinktest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) loadTests() []test {
	return []test{
		{"RandomHistoryFoldsBackToTheSameRecords", s.randomHistory},
		{"AwkwardTextReadsBack", s.awkwardText},
		{"GreatestNumbersReadBack", s.greatestNumbers},
		{"EveryRateReadsBack", s.everyRate},
		{"RunOf20000EventsFoldsBack", s.longRun},
		{"AbsentRunsAreNotLoaded", s.absentRuns},
		{"VersionAndEventsAreOfOneCommit", s.loadDuringCommits},
		{"RunsAreLoadedAtThePositionOnly", s.loadElsewhere},
	}
}

// loadNow reads runs back at the position at which the stream stands by then.
func loadNow(t testing.TB, store sinks.Store, runs ...events.Key) map[uuid.UUID]sinks.StoredRun {
	t.Helper()
	for {
		stored, err := store.Load(t.Context(), position(t, store, stream), runs)
		if errors.Is(err, sinks.ErrPositionMoved) {
			continue // a commit took place between the two looks
		}
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
}

// loadElsewhere asks for runs at other positions than that of the stream.
func (s suite) loadElsewhere(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	before := w.Position
	for i := range 3 {
		if err := w.Write(t.Context(), execution(key("r"), fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	ahead, otherEpoch := w.Position, w.Position
	ahead.Sequence++
	otherEpoch.Epoch++
	for _, at := range []sinks.Position{before, ahead, otherEpoch, {Stream: "other", Epoch: 1, Sequence: 3}} {
		if _, err := store.Load(t.Context(), at, []events.Key{key("r")}); !errors.Is(err, sinks.ErrPositionMoved) {
			t.Errorf("at %+v: %v", at, err)
		}
		if stored, err := store.Load(t.Context(), at, []events.Key{key("absent")}); len(stored) > 0 || err != nil {
			t.Errorf("an absent run at %+v: %v, %v", at, stored, err)
		}
	}
}

// foldsBack checks a run's record, its loaded state and its events against the events that were applied.
func foldsBack(t testing.TB, store sinks.Store, applied []events.Event) {
	t.Helper()
	run := applied[0].Key.UUID()
	m := metricsOf(t, store, run)
	same(t, "record", []aggregate.Metrics{m}, []aggregate.Metrics{folded(applied, m)})

	stored := loadNow(t, store, applied[0].Key)
	loaded, found := stored[run]
	if !found || len(stored) != 1 {
		t.Fatalf("loaded %d runs instead of %s", len(stored), run)
	}
	if loaded.Version != m.Version || loaded.Run.Len() != len(applied) || loaded.Run.Key() != applied[0].Key {
		t.Errorf("loaded version %d with %d events of %v", loaded.Version, loaded.Run.Len(), loaded.Run.Key())
	}
	again := loaded.Run.Metrics()
	again.Version, again.UpdatedAt = m.Version, m.UpdatedAt
	same(t, "loaded", []aggregate.Metrics{again}, []aggregate.Metrics{m})
	for i := range applied {
		if loaded.Run.Apply(&applied[i]) != aggregate.Duplicate {
			t.Errorf("the loaded run does not know %s", events.Encode(&applied[i]))
			break
		}
	}
	if got, want := eventsOf(t, store, run), encoded(applied); !slices.Equal(got, want) {
		t.Errorf("events %q\nwant %q", got, want)
	}
}

// appliedOf is every event of the list that a run takes, by run and in order.
func appliedOf(list []events.Event) map[events.Key][]events.Event {
	runs := make(map[events.Key]*aggregate.Run)
	applied := make(map[events.Key][]events.Event)
	for i := range list {
		e := &list[i]
		if runs[e.Key] == nil {
			runs[e.Key] = aggregate.NewRun(e.Key)
		}
		if runs[e.Key].Apply(e) == aggregate.Applied {
			applied[e.Key] = append(applied[e.Key], *e)
		}
	}
	return applied
}

func (s suite) randomHistory(t *testing.T) {
	store, _ := s.open(t, Options{})
	h := newHistory(t, 12)
	all := h.take(1500)
	w := NewWriter(t, store, stream)
	for rest := all; len(rest) > 0; {
		n := min(1+h.IntN(60), len(rest))
		if h.IntN(4) == 0 { // and from what is stored
			if err := w.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Write(t.Context(), rest[:n]...); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	applied := appliedOf(all)
	for _, list := range applied {
		foldsBack(t, store, list)
	}
	if rows, err := store.List(t.Context(), sinks.Filter{}, nil, 500); err != nil || len(rows) != len(applied) {
		t.Errorf("%d runs, want %d: %v", len(rows), len(applied), err)
	}
}

func (s suite) awkwardText(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	long := strings.Repeat("🚀", 32)
	for i, name := range append(awkwardNames, long) {
		run := events.Key{CampaignID: name, RunID: name, Phase: string([]rune(name)[:min(8, len([]rune(name)))])}
		var list []events.Event
		for j, text := range awkwardTexts {
			e := execution(run, fmt.Sprintf("%s%d", name, j))
			e.AgentID, e.AgentName, e.Error = name, text, strings.Repeat(text, 80)
			started := events.Event{Key: run, ID: fmt.Sprint("s", name, j), Type: events.AgentStarted, OccurredAt: epoch,
				AgentID: name, Attempt: 2, Model: text}
			void := events.Event{Key: run, ID: fmt.Sprint("v", j), Type: events.ExecutionsVoided, OccurredAt: epoch,
				Voids: []string{fmt.Sprintf("%s%d", name, j+i), name}, Reason: text}
			list = append(list, e, started, void)
		}
		if err := w.Write(t.Context(), list...); err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		foldsBack(t, store, list)
		phases := listAll(t, store, sinks.Filter{CampaignID: run.CampaignID, RunID: run.RunID}, 10)
		if len(phases) != 1 || phases[0].Key() != run {
			t.Errorf("phases of %q: %s", name, show(phases...))
		}
	}
}

func (s suite) greatestNumbers(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	const most = 1_000_000_000
	var list []events.Event
	for i := range 10_000 { // together 10^10 dollars: more nano-dollars than an int64 holds
		e := execution(key("r"), fmt.Sprint(i))
		e.TokensIn, e.TokensOut, e.AssetsGenerated, e.LatencyMs, e.Attempt = most, most, most, 1<<31-1, 1_000_000
		e.Cost = events.USD(1_000_000 * events.NanosPerUSD)
		list = append(list, e)
	}
	dust := execution(key("r"), "dust")
	dust.Cost = events.USD(1)
	list = append(list, dust)
	if err := w.Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	foldsBack(t, store, list)
	m := metricsOf(t, store, key("r").UUID())
	if m.CostUSD.String() != "10000000000.000000001" || m.TokensIn != 10_000*most+1000 {
		t.Errorf("sums: %s", show(m))
	}

	report := events.Event{Key: key("reported"), ID: "1", Type: events.RunReported, OccurredAt: epoch, Report: &events.Report{
		AgentsTotal: most, AgentsSuccessful: most, AssetsGenerated: 1<<53 - 1, TokensIn: 1<<53 - 1, TokensOut: 1<<53 - 1,
		Cost: most*events.NanosPerUSD - 1, LatencyP95Ms: 1<<31 - 1}}
	if err := w.Write(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	foldsBack(t, store, []events.Event{report})
}

// everyRate goes through success rates of two decimals and amounts of every number of digits.
func (s suite) everyRate(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	var list []events.Event
	for i := int64(0); i <= 10_000; i += 8 {
		cost, digits := events.Nanos(1), i%18
		for range digits {
			cost = cost*10 + 7
		}
		list = append(list, events.Event{Key: key(fmt.Sprint(i)), ID: "1", Type: events.RunReported, OccurredAt: epoch,
			Report: &events.Report{AgentsTotal: 10_000, AgentsSuccessful: i, Cost: cost}})
	}
	if err := w.Write(t.Context(), list...); err != nil {
		t.Fatal(err)
	}
	records := listAll(t, store, sinks.Filter{}, 500)
	if len(records) != len(list) {
		t.Errorf("%d runs listed of %d", len(records), len(list))
	}
	for _, m := range records {
		i, err := strconv.Atoi(m.RunID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "record", []aggregate.Metrics{m}, []aggregate.Metrics{folded(list[i/8:i/8+1], m)})
	}
}

func (s suite) longRun(t *testing.T) {
	store, _ := s.open(t, Options{})
	w := NewWriter(t, store, stream)
	random := newRandom(t)
	list := executions(key("r"), 0, 20_000)
	for i := range list {
		list[i].LatencyMs = int64(random.IntN(100_000))
		list[i].OccurredAt = epoch.Add(time.Duration(random.IntN(1_000_000)) * time.Microsecond)
	}
	for rest := list; len(rest) > 0; {
		n := min(1+random.IntN(700), len(rest))
		if err := w.Write(t.Context(), rest[:n]...); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	foldsBack(t, store, list)
}

func (s suite) absentRuns(t *testing.T) {
	store, _ := s.open(t, Options{})
	if err := NewWriter(t, store, stream).Write(t.Context(), execution(key("r"), "1")); err != nil {
		t.Fatal(err)
	}
	for _, runs := range [][]events.Key{nil, {}, {key("absent"), key("r"), {}, key("r")}} {
		stored := loadNow(t, store, runs...)
		if _, found := stored[key("r").UUID()]; found != (len(runs) > 0) || len(stored) > 1 {
			t.Errorf("loaded %v of %v", stored, runs)
		}
	}
	if _, found, err := store.Get(t.Context(), key("absent").UUID()); found || err != nil {
		t.Errorf("get absent: %v, %v", found, err)
	}
	if list, err := sinks.EventsOf(t.Context(), store, key("absent").UUID()); len(list) > 0 || err != nil {
		t.Errorf("events of an absent run: %v, %v", list, err)
	}
}

// loadDuringCommits loads a run while it grows by one event with each commit: version and events must agree, or a fold
// on the loaded state would pass the version's guard with an event missing.
func (s suite) loadDuringCommits(t *testing.T) {
	store, db := s.open(t, Options{})
	w, other := NewWriter(t, store, stream), db.open(t, Options{})
	w.grow(t, 150, func() {
		for _, run := range loadNow(t, other, key("r")) {
			if int64(run.Run.Len()) != run.Version {
				t.Fatalf("version %d with %d events", run.Version, run.Run.Len())
			}
		}
	})
}
