package sinktest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
)

// ruled is what the outbox must know of a run. Zero times are none.
type ruled struct {
	key                uuid.UUID
	version, delivered int64
	closed, sentClosed bool
	due                time.Time // when a version is due of which nobody has a claim; zero: none waits
	next               time.Time // the same of a version that came during the claim
	notBefore          time.Time // of the next version
	owner              uuid.UUID // of the claim, Nil for none
	claimed            int64     // the version
	since              time.Time // when the claimed version was due
	again              bool      // once more as soon as the claim has ended
	doubt              time.Time
	parked             string
	parkedAt           time.Time
}

// rulebook is an outbox in memory that knows no more than its rules.
type rulebook map[uuid.UUID]*ruled

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earliest leaves out what is zero.
func earliest(list ...time.Time) (first time.Time) {
	for _, t := range list {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// urgent: the newest version closes the run, and none that did was delivered.
func (r *ruled) urgent() bool { return r.closed && !r.sentClosed }

func (b rulebook) commit(m *aggregate.Metrics, now time.Time) {
	r := b[m.RunKey]
	if r == nil {
		r = &ruled{key: m.RunKey}
		b[m.RunKey] = r
	}
	r.version, r.closed = m.Version, m.Status != aggregate.Running
	due := now
	if !r.urgent() {
		due = latest(now, r.notBefore)
	}
	if r.owner == uuid.Nil {
		r.due = earliest(r.due, due)
	} else {
		r.next = due
	}
}

func (b rulebook) claim(c sinks.Claim) (got []string) {
	var due []*ruled
	for _, r := range b {
		if !r.due.IsZero() && !r.due.After(c.Now) && (!c.ClosingOnly || r.urgent()) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b *ruled) int { return cmp.Or(a.due.Compare(b.due), bytes.Compare(a.key[:], b.key[:])) })
	for _, r := range due[:min(c.Limit, len(due))] {
		got = append(got, fmt.Sprintf("%v@%d after %d, parked %q", r.key, r.version, r.delivered, r.parked))
		r.owner, r.claimed, r.notBefore, r.since = c.Owner, r.version, c.NotBefore, r.due
		r.due, r.next = time.Time{}, time.Time{}
		if !r.doubt.After(c.Now) {
			r.doubt = time.Time{}
		}
	}
	return got
}

func (b rulebook) next() (due time.Time) {
	for _, r := range b {
		due = earliest(due, r.due)
	}
	return due
}

func (b rulebook) settle(s sinks.Settlement) (lost int) {
	for _, o := range s.Outcomes {
		r := b[o.RunKey]
		switch {
		case r == nil:
		case r.owner == s.Owner && r.claimed == o.Version:
			r.doubt = latest(r.doubt, o.DoubtUntil)
			r.ended(&o, &s)
		case o.Verdict != sinks.Released || !o.DoubtUntil.IsZero():
			r.doubt = latest(r.doubt, o.DoubtUntil)
			r.atOnce(s.Now)
			lost++
		}
	}
	return lost
}

// ended is what becomes of a claim.
func (r *ruled) ended(o *sinks.Outcome, s *sinks.Settlement) {
	switch o.Verdict {
	case sinks.Delivered:
		r.delivered, r.sentClosed = max(r.delivered, o.Version), r.sentClosed || o.Closed
		r.parked, r.parkedAt = "", time.Time{}
	case sinks.Parked:
		r.parked, r.parkedAt, r.notBefore = o.Reason, s.Now, latest(r.notBefore, s.RetryParked)
	}
	if !r.next.IsZero() && !r.urgent() {
		r.next = latest(r.next, r.notBefore)
	}
	r.due = earliest(r.next, r.doubt)
	if r.again || o.Verdict == sinks.Released {
		r.due = s.Now
	}
	r.owner, r.claimed, r.again = uuid.Nil, 0, false
}

// atOnce makes a run due now, or when its claim has ended.
func (r *ruled) atOnce(now time.Time) {
	if r.owner == uuid.Nil {
		r.due = earliest(r.due, now)
	} else {
		r.again = true
	}
}

func (b rulebook) adopt(living []uuid.UUID, now, doubtUntil time.Time) {
	for _, r := range b {
		if r.owner != uuid.Nil && !slices.Contains(living, r.owner) {
			r.owner, r.claimed, r.again, r.due, r.doubt = uuid.Nil, 0, false, now, latest(r.doubt, doubtUntil)
		}
	}
}

func (b rulebook) standing() (s sinks.Standing) {
	for _, r := range b {
		switch {
		case r.owner != uuid.Nil:
			s.Oldest = earliest(s.Oldest, cmp.Or(r.next, r.since))
			s.Waiting++
		case !r.due.IsZero():
			s.Oldest = earliest(s.Oldest, r.due)
			s.Waiting++
		}
		if r.parked != "" {
			s.Parked++
		}
	}
	return s
}

// rules plays at random with a store and with the rulebook, and finds no difference.
func (s suite) rules(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	g := &game{history: newHistory(t, 5), store: store, writer: NewWriter(t, store, stream), book: rulebook{}, now: at(0),
		owners: []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}}
	for step := 0; step < 250 && !t.Failed(); step++ {
		g.now = g.later(2)
		owner := g.owners[g.IntN(len(g.owners))]
		switch n := g.IntN(20); {
		case n < 6:
			g.commit(t)
		case n < 11:
			g.claim(t, sinks.Claim{Owner: owner, Now: g.now, NotBefore: g.later(19), ClosingOnly: g.IntN(4) == 0,
				Limit: g.IntN(4)})
		case n < 18:
			g.settle(t, sinks.Settlement{Owner: owner, Now: g.now, Outcomes: g.outcomes(), RetryParked: g.later(29)})
		case n < 19:
			g.mark(t, g.keys[g.IntN(len(g.keys))].UUID())
		default:
			g.adopt(t, g.later(39))
		}
		g.book.compare(t, store)
	}
}

// game is a store beside its rulebook.
type game struct {
	*history
	store  sinks.Store
	writer *Writer
	owners []uuid.UUID
	book   rulebook
	now    time.Time
}

// later is now or up to so many seconds later.
func (g *game) later(seconds int) time.Time {
	return g.now.Add(time.Duration(g.IntN(seconds+1)) * time.Second)
}

func (g *game) commit(t *testing.T) {
	g.writer.At = g.now
	b := g.writer.Fold(g.take(1 + g.IntN(3))...)
	if err := g.writer.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for i := range b.Runs {
		g.book.commit(&b.Runs[i].Metrics, g.now)
	}
}

func (g *game) claim(t *testing.T, c sinks.Claim) {
	claimed, err := g.store.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range claimed.Copies {
		m := &c.Metrics
		got = append(got, fmt.Sprintf("%v@%d after %d, parked %q", m.RunKey, m.Version, c.Delivered, c.Parked))
	}
	if want, due := g.book.claim(c), g.book.next(); !slices.Equal(got, want) || !claimed.Next.Equal(due) {
		t.Errorf("claim %+v: %q, next %v\nwant %q, next %v", c, got, claimed.Next, want, due)
	}
}

func (g *game) settle(t *testing.T, s sinks.Settlement) {
	got, err := g.store.Settle(t.Context(), s)
	want := sinks.Settled{Lost: g.book.settle(s), Next: g.book.next()}
	if err != nil || got != want {
		t.Errorf("settled %+v: %+v, %v, want %+v", s, got, err, want)
	}
}

func (g *game) mark(t *testing.T, run uuid.UUID) {
	if err := g.store.Mark(t.Context(), []uuid.UUID{run}, g.now); err != nil {
		t.Fatal(err)
	}
	if r := g.book[run]; r != nil {
		r.atOnce(g.now)
	}
}

// adopt takes over from all owners but some.
func (g *game) adopt(t *testing.T, doubtUntil time.Time) {
	var living []uuid.UUID
	for _, owner := range g.owners {
		if g.IntN(2) == 0 {
			living = append(living, owner)
		}
	}
	g.book.adopt(living, g.now, doubtUntil)
	got, err := g.store.Adopt(t.Context(), living, g.now, doubtUntil)
	if want := g.book.standing(); err != nil || got != want {
		t.Errorf("adopted: %+v, %v, want %+v", got, err, want)
	}
}

// outcomes are of some runs, mostly of versions that are claimed.
func (g *game) outcomes() (list []sinks.Outcome) {
	for _, key := range g.keys {
		r := g.book[key.UUID()]
		if r == nil || g.IntN(3) == 0 {
			continue
		}
		o := sinks.Outcome{RunKey: r.key, Version: cmp.Or(r.claimed, r.version), Closed: r.closed,
			Verdict: sinks.Verdict(g.IntN(3))}
		if g.IntN(6) == 0 {
			o.Version = 1 + g.Int64N(r.version)
		}
		if g.IntN(3) == 0 {
			o.DoubtUntil = g.later(29)
		}
		if o.Verdict == sinks.Parked {
			o.Reason = fmt.Sprint("refused at ", g.now)
		}
		list = append(list, o)
	}
	return list
}

func (b rulebook) compare(t *testing.T, store sinks.Outbox) {
	t.Helper()
	list, err := store.Copies(t.Context(), sinks.CopyFilter{}, uuid.Nil, 100)
	if err != nil || len(list) != len(b) {
		t.Fatalf("%d copies, %v, want %d", len(list), err, len(b))
	}
	for _, c := range list {
		r := b[c.Metrics.RunKey]
		waiting := r.owner != uuid.Nil || !r.due.IsZero()
		if c.Delivered != r.delivered || c.Waiting != waiting || c.Parked != r.parked {
			t.Errorf("known %+v, want %+v", c, r)
		}
	}
}
