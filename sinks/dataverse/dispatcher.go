package dataverse

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// defaultLinger is twice what Dataverse lets a request run: after that it cannot take place any more.
	defaultLinger = 4 * time.Minute
	// storeTime is how long a call of the store may take.
	storeTime = 15 * time.Second
	// stopTime is what requests under way may take when the dispatcher stops, and once more what settling them may.
	stopTime = 2 * time.Second
)

// DispatcherConfig is what a Dispatcher needs. Client, Outbox and Table are required.
type DispatcherConfig struct {
	Client *Client
	Outbox sinks.Outbox
	Table  string // logical name
	// Interval is how often a run's row is sent at the most, but for its first record and the one that closes it.
	Interval time.Duration
	// DailyBudget is how many rows may be sent on a UTC day, 0 for any number. Its last tenth is for records that close a
	// run. Requests that fail and are sent again may take a little more.
	DailyBudget int64
	Log         *slog.Logger // default: none
	// Tell is called when runs became due that this dispatcher is not to send, because it is not the owner any more. It must
	// reach those who are, who Wake; it must not block. Default: nobody is told.
	Tell func()
	// Linger is how long a request whose answer was lost may still take place; default four minutes. Rows in such a
	// request are sent once more after it.
	Linger time.Duration
}

// Dispatcher brings the table of an organisation up to date with the store. Any number of them may work on one outbox:
// they share it run by run. None asks the store or Dataverse anything while nothing is due.
type Dispatcher struct {
	DispatcherConfig
	gate    *gate
	status  *status
	signals signals
	table   atomic.Pointer[readTable] // nil before it was first read
	done    chan *parcel              // parcels that are settled, or given up

	// owned by the loop
	owner    bool               // asked to work
	adopt    bool               // what others have claimed is to be taken over
	drain    bool               // asked to work until nothing is due
	due      bool               // of a drain: something may be
	tenure   context.Context    // ends when the dispatcher is not to work any more
	disown   context.CancelFunc // ends it
	next     time.Time          // when to claim; zero: when somebody says so
	rest     time.Time          // not before then: the budget is used up
	empty    int                // claims that got nothing though something was due, one after the other
	living   []uuid.UUID        // owners of the parcels under way
	rows     int                // what the next parcel holds at the most
	failures int                // of the store, since it last answered
	budget   budget
}

// NewDispatcher makes a dispatcher; Run or Drain starts it, once.
func NewDispatcher(c DispatcherConfig) (*Dispatcher, error) {
	if c.Client == nil || c.Outbox == nil || c.Table == "" {
		return nil, errors.New("dataverse: Client, Outbox and Table are required")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Tell == nil {
		c.Tell = func() {}
	}
	c.Linger = cmp.Or(c.Linger, defaultLinger)
	return &Dispatcher{DispatcherConfig: c, gate: newGate(), status: &status{log: c.Log, s: Status{State: StateStandby}},
		signals: signals{ready: make(chan struct{}, 1)}, done: make(chan *parcel),
		rows: firstRows, budget: budget{daily: c.DailyBudget}}, nil
}

// signals are what others tell the dispatcher. The newest of a kind counts.
type signals struct {
	ready chan struct{} // holds one token while there is something to take

	mu    sync.Mutex
	own   *bool
	woken bool
}

func (s *signals) tell(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *signals) take() (own *bool, woken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, woken = s.own, s.woken
	s.own, s.woken = nil, false
	return own, woken
}

// Own says whether this dispatcher is to work. Each true makes it take over what others have claimed, for they are taken
// for dead; after false it gives back what it has claimed, once requests under way have ended.
func (d *Dispatcher) Own(own bool) { d.signals.tell(func() { d.signals.own = &own }) }

// Wake says that runs were marked.
func (d *Dispatcher) Wake() { d.signals.tell(func() { d.signals.woken = true }) }

// Run dispatches until ctx ends; then it lets requests under way end for two seconds and gives back what it claimed.
// Whatever is away, it waits for.
func (d *Dispatcher) Run(ctx context.Context) error {
	d.loop(ctx, func() bool { return false })
	return nil
}

// Drain sends all that is due now, beside whoever else works and without taking over what they have claimed. It returns
// when nothing of it is left to this dispatcher, or with the context's error.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.drain, d.due, d.next = true, true, time.Now()
	d.loop(ctx, func() bool { return len(d.living) == 0 && !d.due })
	return ctx.Err()
}

// loop is the one goroutine that claims. Each parcel is sent and settled by a goroutine of its own, which outlives ctx
// for a moment.
func (d *Dispatcher) loop(ctx context.Context, over func() bool) {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	d.begin(ctx)
	defer func() { d.disown() }()
	for ctx.Err() == nil {
		again := d.step(ctx, work)
		if over() {
			return
		}
		select {
		case <-ctx.Done():
		case <-again:
		case p := <-d.done:
			d.finish(p)
		case <-d.signals.ready:
			d.heed(ctx)
		}
	}
	time.AfterFunc(stopTime, cut)
	for len(d.living) > 0 {
		d.finish(<-d.done)
	}
}

// begin begins a tenure: until it ends, parcels are held through outages.
func (d *Dispatcher) begin(ctx context.Context) {
	d.tenure, d.disown = context.WithCancel(ctx)
}

// heed takes in what others said.
func (d *Dispatcher) heed(ctx context.Context) {
	own, woken := d.signals.take()
	if woken {
		d.next = time.Now()
	}
	if own == nil {
		return
	}
	d.owner, d.adopt = *own, *own
	switch {
	case !d.owner:
		d.disown()
		d.status.set(StateStandby, nil)
	case d.tenure.Err() != nil:
		d.begin(ctx)
	}
}

// step claims and starts to send what is due, as far as there is room. The channel says when to look again; nil is when
// something happens.
func (d *Dispatcher) step(ctx, work context.Context) <-chan time.Time {
	for d.owner || d.drain && d.due {
		now := time.Now()
		wait, full := d.gate.wait(now, len(d.living))
		if full != nil {
			return nil
		}
		if wait <= 0 {
			wait = d.prepare(ctx)
		}
		if wait <= 0 {
			if d.next.IsZero() {
				return nil
			}
			wait = max(d.next.Sub(now), d.rest.Sub(now))
		}
		if wait <= 0 {
			wait = d.claim(ctx, work)
		}
		if wait > 0 || ctx.Err() != nil {
			return time.After(wait)
		}
	}
	return nil
}

// prepare reads the table and takes over what others have claimed, where that is still to be done. It returns how long to
// wait before the next try; failures of Dataverse close the gate, which knows by itself.
func (d *Dispatcher) prepare(ctx context.Context) time.Duration {
	if d.table.Load() == nil && d.read(ctx, d.tenure) != nil {
		return time.Millisecond
	}
	if !d.adopt {
		return 0
	}
	call, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	now := time.Now()
	standing, err := d.Outbox.Adopt(call, d.living, now, now.Add(d.Linger))
	if err != nil {
		return d.storeFailed(err)
	}
	parked, err := d.Outbox.Parked(call, mostParkedRows)
	if err != nil {
		return d.storeFailed(err)
	}
	d.failures, d.adopt, d.next = 0, false, now
	d.budget.settled(now, standing.TargetsToday)
	d.status.adopted(standing, parked)
	return 0
}

// claim takes one parcel of due runs and starts to send it. It returns how long to wait where nothing may be claimed now.
func (d *Dispatcher) claim(ctx, work context.Context) time.Duration {
	now := time.Now()
	limit, closingOnly := d.budget.allow(now, d.rows)
	if limit == 0 {
		d.status.spent(true)
		d.rest = now.Add(untilMidnight(now))
		return d.rest.Sub(now)
	}
	call, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	p := &parcel{d: d, owner: uuid.New()}
	claimed, err := d.Outbox.Claim(call, sinks.Claim{Owner: p.owner, Now: now, NotBefore: now.Add(d.Interval),
		ClosingOnly: closingOnly, Limit: limit})
	if err != nil {
		d.adopt = true // what it may have claimed: its owner does not live
		return d.storeFailed(err)
	}
	d.failures, d.next = 0, claimed.Next
	d.status.spent(closingOnly)
	if closingOnly {
		d.rest = now.Add(closingLook) // what waits is mostly what may not be sent
	}
	more := !d.next.IsZero() && !d.next.After(now)
	if p.copies = claimed.Copies; len(p.copies) == 0 {
		d.due = false
		d.retreat(now, more)
		return 0
	}
	d.due, d.empty = more, 0
	d.living = append(d.living, p.owner)
	d.budget.reserve(len(p.copies))
	tenure := d.tenure
	go func() {
		p.deliver(work, tenure)
		d.done <- p
	}()
	return 0
}

// retreat says when to claim again after a claim that got nothing, though more may be due: that is held by a commit, which
// will wake the dispatcher, or is of a run that somebody removed from the store by hand. Looks become rare.
func (d *Dispatcher) retreat(now time.Time, more bool) {
	if !more {
		d.empty = 0
		return
	}
	d.empty++
	d.next = now.Add(jitter(min(time.Second<<min(d.empty, 16), time.Hour)))
}

// finish takes in what became of a parcel.
func (d *Dispatcher) finish(p *parcel) {
	d.living = slices.DeleteFunc(d.living, func(owner uuid.UUID) bool { return owner == p.owner })
	now := time.Now()
	d.budget.release(len(p.copies))
	d.rows = p.nextRows(d.rows)
	d.status.finished(p)
	if p.answer == nil {
		return // stopping
	}
	d.budget.settled(now, p.answer.TargetsToday)
	if p.answer.Lost > 0 || p.released() {
		d.due = true
		if !d.owner && !d.drain {
			d.Tell()
		}
	}
	// Runs that changed while they were under way could not be claimed.
	if next := p.answer.Next; !next.IsZero() && (d.next.IsZero() || next.Before(d.next)) {
		d.next = next
	}
}

// storeFailed says how long to wait for the store.
func (d *Dispatcher) storeFailed(err error) time.Duration {
	state := StateDegraded
	pause := min(firstBackoff<<min(d.failures, 16), longestBackoff)
	if errors.Is(err, sinks.ErrBlocked) {
		state, pause = StateBlocked, longestBackoff
	}
	d.failures++
	d.status.set(state, err)
	return jitter(pause)
}
