package dataverse

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// behind is what an owner knows of the runs that are due and that Dataverse has not got. It learns when it takes over,
// claims and settles, and asks nobody besides:
//
//   - What it has not claimed is due since the time that the store last named, or since the dispatcher was woken after
//     that. Wakes count at once: a run whose row Interval holds back is taken for due until the next claim, which nothing
//     delays but a closed gate, a used up budget or a store that is away.
//   - What it has claimed is due since it was known to be before, until the parcel is settled: also while the organization
//     throttles, is away or blocked, and while the store is.
//   - Rows held back by Interval, by a budget that still has room for them at midnight, or by the pause of a refused one:
//     not due, but for those of the budget. A parked row is not missing; Parked counts it.
//   - What nobody can claim, because a commit is on it or its run was removed from the store, is not due.
//   - Before it has taken over, which Dataverse must be there for, an owner knows of what it was woken for alone. What
//     others had claimed is due since it was taken over.
//   - A standby knows nothing.
type behind struct {
	mu     sync.Mutex
	owner  bool
	next   time.Time               // since or from when the first unclaimed run is due, as the store last said; zero: none is
	woken  time.Time               // of the first wake since the last claim; zero: none
	nobody time.Time               // since when runs are due that nobody can claim: what the store says of them is no news
	sent   map[uuid.UUID]time.Time // of each parcel under way, by owner: since when it was due at the latest
}

// own says whether the dispatcher is to work. What was heard before it was, is of others.
func (b *behind) own(owner bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if owner && !b.owner {
		b.next, b.woken = time.Time{}, time.Time{}
	}
	b.owner = owner
}

// wake says that runs were marked.
func (b *behind) wake(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.woken.IsZero() {
		b.woken = now
	}
}

// adopted takes in since when the run that is due longest is, as the store says when a tenure begins.
func (b *behind) adopted(oldest time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next, b.woken = oldest, time.Time{}
}

// claimed takes in what a claim got, and when the first run is due that it left.
func (b *behind) claimed(now time.Time, p *parcel, closingOnly bool, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	empty := len(p.copies) == 0
	if !empty {
		b.sent[p.owner] = earliest(now, b.unclaimed(now))
	}
	b.woken, b.next = time.Time{}, next
	if empty && !closingOnly && !next.After(now) {
		b.nobody = next
	}
	if !next.After(b.nobody) {
		b.next = time.Time{} // what is behind it shows when it is claimed
	}
}

// finished takes in what became of a parcel.
func (b *behind) finished(p *parcel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sent, p.owner)
	if p.answer == nil {
		return // it is for the next owner
	}
	if next := p.answer.Next; next.IsZero() || next.After(b.nobody) {
		b.next = next
	}
}

// since is since when something is due; zero where nothing is.
func (b *behind) since(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.owner {
		return time.Time{}
	}
	first := b.unclaimed(now)
	for _, since := range b.sent {
		first = earliest(first, since)
	}
	return first
}

// unclaimed is since when something is due that is not claimed; zero where nothing is. The caller holds the lock.
func (b *behind) unclaimed(now time.Time) time.Time {
	if b.next.After(now) {
		return b.woken
	}
	return earliest(b.next, b.woken)
}

// earliest is the earlier of two times; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
