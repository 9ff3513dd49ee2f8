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

func (b rulebook) claim(c sinks.Claim) (got []string, next time.Time) {
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
	for _, r := range b {
		next = earliest(next, r.due)
	}
	return got, next
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

func (b rulebook) adopt(owner uuid.UUID, now, doubtUntil time.Time) {
	for _, r := range b {
		if r.owner != uuid.Nil && r.owner != owner {
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

// rules plays at random with a store and with the rulebook.
func (s suite) rules(t *testing.T) {
	store, _ := s.open(t, Options{Marks: true})
	h, book, now := newHistory(t, 5), rulebook{}, at(0)
	w := NewWriter(t, store, stream)
	owners := []uuid.UUID{uuid.New(), uuid.New()}
	for step := 0; step < 400 && !t.Failed(); step++ {
		now = now.Add(time.Duration(h.IntN(3)) * time.Second)
		owner := owners[h.IntN(2)]
		switch n := h.IntN(20); {
		case n < 6:
			w.At = now
			b := w.Fold(h.take(1 + h.IntN(3))...)
			if err := w.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			for i := range b.Runs {
				book.commit(&b.Runs[i].Metrics, now)
			}
		case n < 11:
			h.claimBoth(t, store, book, sinks.Claim{Owner: owner, Now: now, NotBefore: now.Add(time.Duration(h.IntN(20)) * time.Second),
				ClosingOnly: h.IntN(4) == 0, Limit: h.IntN(4)})
		case n < 18:
			settlement := sinks.Settlement{Owner: owner, Now: now, Outcomes: h.outcomes(book, now),
				RetryParked: now.Add(time.Duration(h.IntN(30)) * time.Second)}
			got, err := store.Settle(t.Context(), settlement)
			if want := book.settle(settlement); err != nil || got.Lost != want {
				t.Errorf("lost %d, %v, want %d of %+v", got.Lost, err, want, settlement)
			}
		case n < 19:
			run := h.keys[h.IntN(len(h.keys))].UUID()
			if err := store.Mark(t.Context(), []uuid.UUID{run}, now); err != nil {
				t.Fatal(err)
			}
			if r := book[run]; r != nil {
				r.atOnce(now)
			}
		default:
			until := now.Add(time.Duration(h.IntN(40)) * time.Second)
			book.adopt(owner, now, until)
			if got, err := store.Adopt(t.Context(), owner, now, until); err != nil || got != book.standing() {
				t.Errorf("adopted: %+v, %v, want %+v", got, err, book.standing())
			}
		}
		book.compare(t, store)
	}
}

func (h *history) claimBoth(t *testing.T, store sinks.Outbox, book rulebook, c sinks.Claim) {
	t.Helper()
	claimed, err := store.Claim(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range claimed.Copies {
		got = append(got, fmt.Sprintf("%v@%d after %d, parked %q", c.Metrics.RunKey, c.Metrics.Version, c.Delivered, c.Parked))
	}
	if want, due := book.claim(c); !slices.Equal(got, want) || !claimed.Next.Equal(due) {
		t.Errorf("claim %+v: %q, next %v\nwant %q, next %v", c, got, claimed.Next, want, due)
	}
}

// outcomes are of some runs, mostly of versions that are claimed.
func (h *history) outcomes(book rulebook, now time.Time) (list []sinks.Outcome) {
	for _, key := range h.keys {
		r := book[key.UUID()]
		if r == nil || h.IntN(3) == 0 {
			continue
		}
		o := sinks.Outcome{RunKey: r.key, Version: cmp.Or(r.claimed, r.version), Closed: r.closed, Verdict: sinks.Verdict(h.IntN(3))}
		if h.IntN(6) == 0 {
			o.Version = 1 + h.Int64N(r.version)
		}
		if h.IntN(3) == 0 {
			o.DoubtUntil = now.Add(time.Duration(h.IntN(30)) * time.Second)
		}
		if o.Verdict == sinks.Parked {
			o.Reason = fmt.Sprint("refused at ", now)
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
		if waiting := r.owner != uuid.Nil || !r.due.IsZero(); c.Delivered != r.delivered || c.Waiting != waiting || c.Parked != r.parked {
			t.Errorf("known %+v, want %+v", c, r)
		}
	}
}
