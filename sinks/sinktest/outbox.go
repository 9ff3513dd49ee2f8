package sinktest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) outboxTests() []test {
	return []test{
		{"NoMarksUnlessAskedFor", s.noMarks},
		{"ClaimReturnsTheNewestRecord", s.claimNewest},
		{"DueLongestIsClaimedFirst", s.claimOrder},
		{"ClaimedRunIsNobodyElses", s.claimExcludes},
		{"EmptyCallsDoNothing", s.emptyCalls},
	}
}

// at is a time of the outbox's tests, in seconds.
func at(seconds float64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// touch changes the runs once more, each in a commit at this time.
func (w *Writer) touch(t testing.TB, now time.Time, runs ...string) {
	t.Helper()
	for _, run := range runs {
		w.At = now
		if err := w.Write(t.Context(), execution(key(run), fmt.Sprint(w.Position.Stream, w.Position.Sequence))); err != nil {
			t.Fatal(err)
		}
	}
}

// finish closes the run, or changes it once more if it is closed.
func (w *Writer) finish(t testing.TB, now time.Time, run string) {
	t.Helper()
	w.At = now
	if err := w.Write(t.Context(), events.Event{Key: key(run), ID: fmt.Sprint(w.Position.Stream, w.Position.Sequence),
		Type: events.RunFinished, OccurredAt: epoch, Outcome: events.OutcomeCompleted}); err != nil {
		t.Fatal(err)
	}
}

// dispatcher is an owner of claims. Its interval is ten seconds.
type dispatcher struct {
	store sinks.Store
	owner uuid.UUID
}

func newDispatcher(store sinks.Store) *dispatcher { return &dispatcher{store, uuid.New()} }

const interval = 10 * time.Second

// claim claims due runs and checks which they are: names with versions, in order.
func (d *dispatcher) claim(t testing.TB, now time.Time, want ...string) sinks.Claimed {
	t.Helper()
	return d.claimAs(t, sinks.Claim{Now: now, NotBefore: now.Add(interval), Limit: 100}, want...)
}

func (d *dispatcher) claimAs(t testing.TB, c sinks.Claim, want ...string) sinks.Claimed {
	t.Helper()
	c.Owner = d.owner
	claimed, err := d.store.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(claimed.Copies); !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	return claimed
}

// names are the runs with their versions.
func names(list []sinks.Copy) []string {
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprintf("%s@%d", c.Metrics.RunID, c.Metrics.Version))
	}
	return got
}

// next checks when the claim says that something is due.
func next(t testing.TB, c sinks.Claimed, want time.Time) {
	t.Helper()
	if !c.Next.Equal(want) {
		t.Errorf("next is due at %v, want %v", c.Next, want)
	}
}

// settle settles with a retry of parked runs after a minute, and returns how many claims were lost.
func (d *dispatcher) settle(t testing.TB, now time.Time, outcomes ...sinks.Outcome) (lost int) {
	t.Helper()
	settled, err := d.store.Settle(t.Context(), sinks.Settlement{Owner: d.owner, Now: now, Outcomes: outcomes,
		RetryParked: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return settled.Lost
}

// settled is an outcome without doubt.
func settled(run string, version int64, verdict sinks.Verdict) sinks.Outcome {
	o := sinks.Outcome{RunKey: key(run).UUID(), Version: version, Verdict: verdict}
	if verdict == sinks.Parked {
		o.Reason = "too long: " + run
	}
	return o
}

// closing is the same of a version that closed the run.
func closing(o sinks.Outcome) sinks.Outcome {
	o.Closed = true
	return o
}

// doubtful is the same with a request that may take place until then.
func doubtful(o sinks.Outcome, until time.Time) sinks.Outcome {
	o.DoubtUntil = until
	return o
}

// knownOf returns what is known of one run's copy.
func knownOf(t testing.TB, store sinks.Outbox, run string) sinks.Copy {
	t.Helper()
	list, err := store.CopiesOf(t.Context(), []uuid.UUID{key(run).UUID()})
	if err != nil || len(list) != 1 {
		t.Fatalf("copies of %s: %v, %v", run, list, err)
	}
	return list[0]
}

func (s suite) noMarks(t *testing.T) {
	store, db := s.open(t, Options{})
	NewWriter(t, store, stream).touch(t, at(0), "a", "b")
	d := newDispatcher(store)
	next(t, d.claim(t, at(1)), time.Time{})
	if rows := db.rows(t, "SELECT * FROM dataverse_outbox"); len(rows) > 0 {
		t.Errorf("marks %q", rows)
	}
	// Turned on, the next commit of a run marks it; what was committed before is another tool's to repair.
	NewWriter(t, db.open(t, Options{Marks: true}), stream).touch(t, at(1), "b")
	d.claim(t, at(2), "b@2") // a second later, because it had to be loaded
	// Turned off again, what waits is still sent as it is.
	d.settle(t, at(2), settled("b", 2, sinks.Released))
	NewWriter(t, store, stream).touch(t, at(3), "b")
	d.claim(t, at(4), "b@3")
	d.settle(t, at(5), settled("b", 3, sinks.Delivered))
	if c := knownOf(t, store, "b"); c.Delivered != 3 || c.Waiting {
		t.Errorf("delivered %+v", c)
	}
}

func (s suite) claimNewest(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w := NewWriter(t, store, stream)
	w.touch(t, at(0), "a", "a", "a")
	w.touch(t, at(1), "b")
	w.finish(t, at(1), "b")
	d := newDispatcher(db.open(t, Options{})) // marks are for those who commit
	claimed := d.claim(t, at(2), "a@3", "b@2")
	for i, run := range []string{"a", "b"} {
		want := sinks.Copy{Metrics: metricsOf(t, store, key(run).UUID()), RowID: key(run).UUID(), Waiting: true}
		if got := claimed.Copies[i]; show(got.Metrics) != show(want.Metrics) || got.RowID != want.RowID ||
			got.Delivered != 0 || !got.Waiting || got.Parked != "" {
			t.Errorf("claimed %s%+v\nwant %s%+v", show(got.Metrics), got, show(want.Metrics), want)
		}
	}
	d.settle(t, at(3), settled("a", 3, sinks.Delivered), closing(settled("b", 2, sinks.Delivered)))
	next(t, d.claim(t, at(1000)), time.Time{})
	// A batch that changes nothing marks nothing.
	if err := w.Write(t.Context(), execution(key("a"), stream+"0")); err != nil {
		t.Fatal(err)
	}
	next(t, d.claim(t, at(1000)), time.Time{})
	w.touch(t, at(1001), "a")
	claimed = d.claim(t, at(1001), "a@4")
	if got := claimed.Copies[0].Delivered; got != 3 {
		t.Errorf("delivered %d before version 4", got)
	}
}

func (s suite) claimOrder(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w, d := NewWriter(t, store, stream), newDispatcher(store)
	for i, run := range []string{"c", "a", "d", "b"} {
		w.touch(t, at(float64(i)), run)
	}
	w.touch(t, at(4), "c", "d") // who waits keeps its place
	claim := sinks.Claim{Now: at(9), NotBefore: at(9), Limit: 2}
	next(t, d.claimAs(t, claim, "c@2", "a@1"), at(2))
	d.settle(t, at(10), settled("a", 1, sinks.Delivered), settled("c", 2, sinks.Released)) // c queues anew
	w.touch(t, at(11), "a")
	claim.Now, claim.Limit = at(12), 3
	next(t, d.claimAs(t, claim, "d@2", "b@1", "c@2"), at(11))
	claim.Now = at(10.5)
	next(t, d.claimAs(t, claim), at(11))
	claim.Now = at(11)
	next(t, d.claimAs(t, claim, "a@2"), time.Time{})
}

func (s suite) claimExcludes(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	w, d, other := NewWriter(t, store, stream), newDispatcher(store), newDispatcher(db.open(t, Options{}))
	w.touch(t, at(0), "a")
	w.touch(t, at(0.5), "b")
	d.claimAs(t, sinks.Claim{Now: at(1), NotBefore: at(1), Limit: 1}, "a@1")
	w.touch(t, at(2), "a")
	next(t, other.claim(t, at(3), "b@1"), time.Time{})
	next(t, d.claim(t, at(1000)), time.Time{})
	d.settle(t, at(1001), settled("a", 1, sinks.Delivered))
	other.claim(t, at(1001), "a@2")
}

func (s suite) emptyCalls(t *testing.T) {
	store, db := s.open(t, Options{Marks: true})
	NewWriter(t, store, stream).touch(t, at(0), "a")
	before := db.dump(t)
	d := newDispatcher(store)
	next(t, d.claimAs(t, sinks.Claim{Now: at(1)}), at(0)) // a limit of nothing
	if lost := d.settle(t, at(1)); lost != 0 {
		t.Errorf("%d lost of nothing", lost)
	}
	if err := store.Mark(t.Context(), nil, at(1)); err != nil {
		t.Error(err)
	}
	if err := store.SetRowIDs(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if list, err := store.CopiesOf(t.Context(), nil); err != nil || len(list) > 0 {
		t.Errorf("copies of nothing: %v, %v", list, err)
	}
	// Neither is a run that nobody has.
	if err := store.Mark(t.Context(), []uuid.UUID{key("x").UUID()}, at(1)); err != nil {
		t.Error(err)
	}
	if err := store.SetRowIDs(t.Context(), map[uuid.UUID]uuid.UUID{key("x").UUID(): uuid.New()}); err != nil {
		t.Error(err)
	}
	if lost := d.settle(t, at(1), settled("x", 1, sinks.Delivered)); lost != 0 {
		t.Errorf("%d lost of a run that is not there", lost)
	}
	db.untouched(t, before)
}
