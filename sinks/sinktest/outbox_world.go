package sinktest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// linger is how long a request may still take place whose answer was lost.
const linger = 60 * time.Second

// request is one run on its way to the copy.
type request struct {
	owner   *dispatcher
	claim   uuid.UUID     // the owner that the store knows: each claim has one of its own
	at      time.Time     // when it takes place, if it does
	outcome sinks.Outcome // what its owner will settle
	slow    bool          // takes place just before it is settled, whoever has the claim by then
	adopted bool          // its claim was given away
}

// world is a copy with two dispatchers. Requests are refused, lost or late, answers to settlements are lost, and the
// dispatchers take each other for dead. One goroutine plays all of it by a clock, so a seed repeats it.
type world struct {
	*history
	t      testing.TB
	store  sinks.Store
	writer *Writer
	now    time.Time
	owners []*dispatcher
	calm   bool // nothing fails any more

	rows     map[uuid.UUID]int64 // versions that the copy has
	late     []request           // still to take place, whatever was settled
	underWay []request           // their owner has an answer, or gave up, and has not settled
	repeated []sinks.Settlement  // their answers were lost: the owner may settle again
}

func (s suite) dispatchTests() []test {
	return []test{
		{"CopyEndsUpLikeTheStoreWhateverIsLost", s.dispatch},
		{"OutboxDoesWhatItsRulesSay", s.rules},
	}
}

// dispatch: whatever happened, once all is quiet the copy has the newest version of every run.
func (s suite) dispatch(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	w := &world{history: newHistory(t, 6), t: t, store: store, writer: NewWriter(t, store, stream), now: at(0),
		owners: []*dispatcher{newDispatcher(store), newDispatcher(store)}, rows: make(map[uuid.UUID]int64)}
	for range 5 {
		w.calm = false
		for range 40 {
			w.step()
		}
		w.calmDown()
		w.compare()
	}
}

func (w *world) step() {
	w.pass(time.Duration(w.IntN(4000)) * time.Millisecond)
	switch n := w.IntN(20); {
	case n < 6:
		w.commit()
	case n < 12:
		w.claim(w.owners[w.IntN(2)])
	case n < 17:
		w.settle(w.owners[w.IntN(2)])
	case n < 18:
		w.mark(w.keys[w.IntN(len(w.keys))].UUID())
	default:
		w.adopt(w.IntN(2))
	}
}

func (w *world) compare() {
	list, err := w.store.Copies(w.t.Context(), sinks.CopyFilter{}, uuid.Nil, 100)
	if err != nil || len(list) == 0 {
		w.t.Fatalf("%d copies, %v", len(list), err)
	}
	for _, c := range list {
		if m := c.Metrics; w.rows[m.RunKey] != m.Version || c.Delivered != m.Version || c.Waiting || c.Parked != "" {
			w.t.Errorf("the copy has version %d, the store %+v", w.rows[m.RunKey], c)
		}
	}
}

// pass lets time pass and late requests take place.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	slices.SortStableFunc(w.late, func(a, b request) int { return a.at.Compare(b.at) })
	for len(w.late) > 0 && !w.late[0].at.After(w.now) {
		w.rows[w.late[0].outcome.RunKey] = w.late[0].outcome.Version
		w.late = w.late[1:]
	}
}

func (w *world) commit() {
	w.writer.At = w.now
	if err := w.writer.Write(w.t.Context(), w.take(1+w.IntN(4))...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mark(runs ...uuid.UUID) {
	if err := w.store.Mark(w.t.Context(), runs, w.now); err != nil {
		w.t.Fatal(err)
	}
}

// adopt takes the other dispatcher for dead. It may be, and then a new one takes its place, or it may only be slow.
func (w *world) adopt(heir int) {
	if _, err := w.store.Adopt(w.t.Context(), w.claimsOf(w.owners[heir]), w.now, w.now.Add(linger)); err != nil {
		w.t.Fatal(err)
	}
	for i := range w.underWay {
		w.underWay[i].adopted = w.underWay[i].adopted || w.underWay[i].owner != w.owners[heir]
	}
	if dead := w.owners[1-heir]; w.IntN(2) == 0 {
		w.underWay = slices.DeleteFunc(w.underWay, func(r request) bool { return r.owner == dead })
		w.owners[1-heir] = newDispatcher(w.store)
	}
}

// claim sends what the dispatcher gets, and returns when something is due next.
func (w *world) claim(d *dispatcher) time.Time {
	owner := uuid.New()
	claimed, err := w.store.Claim(w.t.Context(), sinks.Claim{Owner: owner, Now: w.now, NotBefore: w.now.Add(interval),
		Limit: 1 + w.IntN(4)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range claimed.Copies {
		for _, r := range w.underWay {
			if r.outcome.RunKey == c.Metrics.RunKey && !r.adopted {
				w.t.Errorf("two requests about %v are under way", c.Metrics.RunKey)
			}
		}
		w.send(d, owner, c)
	}
	return claimed.Next
}

func (w *world) send(d *dispatcher, claim uuid.UUID, c sinks.Copy) {
	r := request{owner: d, claim: claim, at: w.now, outcome: sinks.Outcome{RunKey: c.Metrics.RunKey, Version: c.Metrics.Version,
		Closed: c.Metrics.Status != aggregate.Running}}
	fate := w.IntN(10)
	switch {
	case fate > 7 && !w.calm:
		r.slow = true
	case fate > 4 || w.calm:
		w.rows[r.outcome.RunKey] = r.outcome.Version
	case fate > 1: // the answer is lost, and some requests with it
		r.outcome.Verdict, r.outcome.DoubtUntil = sinks.Released, w.now.Add(linger)
		r.at = w.now.Add(time.Duration(w.Int64N(int64(linger))))
		if fate > 2 {
			w.late = append(w.late, r)
		}
	case fate > 0:
		r.outcome.Verdict, r.outcome.Reason = sinks.Parked, "refused"
	default: // not sent
		r.outcome.Verdict = sinks.Released
	}
	w.underWay = append(w.underWay, r)
}

// settle settles what the dispatcher knows of one of its claims, or repeats what it has settled before.
func (w *world) settle(d *dispatcher) {
	if !w.calm && len(w.repeated) > 0 && w.IntN(4) == 0 {
		w.settleAs(w.repeated[0])
		w.repeated = w.repeated[1:]
		return
	}
	claims := w.claimsOf(d)
	if len(claims) == 0 {
		return
	}
	settlement := sinks.Settlement{Owner: claims[w.IntN(len(claims))], RetryParked: w.now.Add(time.Minute)}
	w.underWay = slices.DeleteFunc(w.underWay, func(r request) bool {
		if r.claim != settlement.Owner || r.slow && !w.calm && w.IntN(10) > 0 {
			return false
		}
		if r.slow {
			w.rows[r.outcome.RunKey] = r.outcome.Version
		}
		settlement.Outcomes = append(settlement.Outcomes, r.outcome)
		return true
	})
	if w.settleAs(settlement); w.IntN(4) == 0 {
		w.repeated = append(w.repeated, settlement)
	}
}

func (w *world) settleAs(settlement sinks.Settlement) {
	settlement.Now = w.now
	if _, err := w.store.Settle(w.t.Context(), settlement); err != nil {
		w.t.Fatal(err)
	}
}

// calmDown ends every fault. What was refused is sent once more, as a person would have it.
func (w *world) calmDown() {
	w.calm = true
	w.adopt(0)
	w.drain() // while the other has not said what became of its requests
	for _, d := range w.owners {
		for len(w.claimsOf(d)) > 0 {
			w.settle(d)
		}
	}
	refused, err := w.store.Parked(w.t.Context(), 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range refused {
		w.mark(c.Metrics.RunKey)
	}
	w.drain()
}

// claimsOf are the claims of the dispatcher's requests that are under way, one for each request.
func (w *world) claimsOf(d *dispatcher) (claims []uuid.UUID) {
	for _, r := range w.underWay {
		if r.owner == d {
			claims = append(claims, r.claim)
		}
	}
	return claims
}

// drain goes on until nothing waits but what the other dispatcher holds.
func (w *world) drain() {
	d := w.owners[0]
	for range 1000 {
		due := w.claim(d)
		sent := len(w.claimsOf(d)) > 0
		w.settle(d)
		switch {
		case sent:
		case due.IsZero():
			w.pass(linger) // nothing is left that could take place
			return
		default:
			w.pass(max(0, due.Sub(w.now)))
		}
	}
	w.t.Error("something is due for ever")
}
