package sinktest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Method is a call that Faulty can break.
type Method string

// The methods that Faulty can break; it passes the others on.
const (
	Position Method = "Position"
	Load     Method = "Load"
	Commit   Method = "Commit"
	Adopt    Method = "Adopt"
	Claim    Method = "Claim"
	Settle   Method = "Settle"
)

// Fault is what becomes of one call.
type Fault int

// The faults. All of them are ErrUnavailable to the caller, who cannot tell one from another.
const (
	None      Fault = iota
	NotStored       // the call fails and nothing takes place
	Stored          // the call takes place, and its answer is lost
	// StoredLater is a client that dies while the database still works for it: Commit fails at once, and takes place
	// when the test calls Release. Of the other methods it is NotStored.
	StoredLater
)

// Plan decides on each call, before anything takes place; n counts the calls of the method from 1. It runs on the caller's
// goroutine, so a plan that waits holds the call up; it should give up with ctx.
type Plan func(ctx context.Context, m Method, n int) Fault

// Faulty is a store that fails as planned.
type Faulty struct {
	sinks.Store
	plan Plan

	mu    sync.Mutex
	calls map[Method]int
	late  []func(context.Context) error
}

// NewFaulty breaks a store. Closing it closes the store; commits that were not released are lost.
func NewFaulty(store sinks.Store, plan Plan) *Faulty {
	return &Faulty{Store: store, plan: plan, calls: make(map[Method]int)}
}

// Calls is how often the method was called so far.
func (f *Faulty) Calls(m Method) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[m]
}

// Release lets the commits that were StoredLater take place now, in their order, and returns what the store said to each:
// nil, or a refusal where others were faster.
func (f *Faulty) Release(ctx context.Context) []error {
	f.mu.Lock()
	late := f.late
	f.late = nil
	f.mu.Unlock()
	errs := make([]error, len(late))
	for i, commit := range late {
		errs[i] = commit(ctx)
	}
	return errs
}

// decide counts the call and asks the plan.
func (f *Faulty) decide(ctx context.Context, m Method) Fault {
	f.mu.Lock()
	f.calls[m]++
	n := f.calls[m]
	f.mu.Unlock()
	return f.plan(ctx, m, n)
}

func lost(m Method) error { return fmt.Errorf("%s: planned fault: %w", m, sinks.ErrUnavailable) }

// Position calls the store's unless planned otherwise.
func (f *Faulty) Position(ctx context.Context, stream string) (sinks.Position, error) {
	if f.decide(ctx, Position) != None {
		return sinks.Position{}, lost(Position)
	}
	return f.Store.Position(ctx, stream)
}

// Load calls the store's unless planned otherwise.
func (f *Faulty) Load(ctx context.Context, at sinks.Position, runs []events.Key) (map[uuid.UUID]sinks.StoredRun, error) {
	if f.decide(ctx, Load) != None {
		return nil, lost(Load)
	}
	return f.Store.Load(ctx, at, runs)
}

// Adopt calls the store's, or does to it what is planned.
func (f *Faulty) Adopt(ctx context.Context, living []uuid.UUID, now, doubtUntil time.Time) (sinks.Standing, error) {
	return faulty(ctx, f, Adopt, func() (sinks.Standing, error) { return f.Store.Adopt(ctx, living, now, doubtUntil) })
}

// Claim calls the store's, or does to it what is planned. Under Stored, what was claimed is known to nobody.
func (f *Faulty) Claim(ctx context.Context, c sinks.Claim) (sinks.Claimed, error) {
	return faulty(ctx, f, Claim, func() (sinks.Claimed, error) { return f.Store.Claim(ctx, c) })
}

// Settle calls the store's, or does to it what is planned.
func (f *Faulty) Settle(ctx context.Context, s sinks.Settlement) (sinks.Settled, error) {
	return faulty(ctx, f, Settle, func() (sinks.Settled, error) { return f.Store.Settle(ctx, s) })
}

// faulty makes a call as planned. What the store itself says no to is told under Stored too: only success is lost.
func faulty[T any](ctx context.Context, f *Faulty, m Method, call func() (T, error)) (T, error) {
	var none T
	switch f.decide(ctx, m) {
	case NotStored, StoredLater:
		return none, lost(m)
	case Stored:
		if _, err := call(); err != nil {
			return none, err
		}
		return none, lost(m)
	}
	return call()
}

// Commit calls the store's, or does to it what is planned. A commit that the store refuses is refused under Stored too:
// only success is lost.
func (f *Faulty) Commit(ctx context.Context, prev sinks.Position, b *sinks.Batch) error {
	switch f.decide(ctx, Commit) {
	case NotStored:
		return lost(Commit)
	case StoredLater:
		sent := copyOf(b)
		f.mu.Lock()
		f.late = append(f.late, func(ctx context.Context) error { return f.Store.Commit(ctx, prev, sent) })
		f.mu.Unlock()
		return lost(Commit)
	case Stored:
		if err := f.Store.Commit(ctx, prev, b); err != nil {
			return err
		}
		return lost(Commit)
	}
	return f.Store.Commit(ctx, prev, b)
}

// copyOf is the batch as it was sent: its maker may use the memory again once the call has returned.
func copyOf(b *sinks.Batch) *sinks.Batch {
	sent := *b
	sent.DeadLetters = slices.Clone(b.DeadLetters)
	sent.Runs = slices.Clone(b.Runs)
	for i := range sent.Runs {
		sent.Runs[i].Events = slices.Clone(sent.Runs[i].Events)
	}
	return &sent
}
