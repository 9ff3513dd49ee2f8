package dataverse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// defaultLinger is twice what Dataverse lets a request run: after that it cannot take place any more.
	defaultLinger = 4 * time.Minute
	// storeTime is how long a call of the store may take.
	storeTime = 15 * time.Second
	// lateClaims is how long a claim may still take place in the store whose process is dead, or has given it up. It is short,
	// because the look after it is the one that an idle dispatcher takes, and databases sleep after minutes.
	lateClaims = 2 * storeTime
	// recountTime is the least time between two looks at which runs are parked.
	recountTime = time.Minute
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
	// Meter gets delays and requests, Tracer a span for each request with rows; default: none.
	Meter  metric.Meter
	Tracer trace.Tracer
	// Tell is called when runs are due, now or later, that this dispatcher is not to send: it is not the owner any more, it
	// stops, or it has drained what was due before. It must reach the owners, who Wake; it must not block. Default: nobody
	// is told.
	Tell func()
	// Linger is how long a request whose answer was lost may still take place; default four minutes. Rows in such a
	// request are sent once more after it.
	Linger time.Duration
}

// Dispatcher brings the table of an organisation up to date with the store. Any number of them may work on one outbox:
// they share it run by run. None asks the store or Dataverse anything while nothing is due, but for one look at the store
// half a minute after it was asked to work.
type Dispatcher struct {
	DispatcherConfig
	gate    *gate
	status  *status
	behind  behind
	signals signals

	telemetry telemetry
	table     atomic.Pointer[readTable] // nil before it was first read
	done      chan *parcel              // parcels that are settled, or given up

	// owned by the loop
	owner    bool               // asked to work
	adopt    bool               // what others have claimed is to be taken over
	drain    bool               // asked to work until nothing is due
	due      bool               // of a drain: something may be
	tenure   context.Context    // ends when the dispatcher is not to work any more
	disown   context.CancelFunc // ends it
	again    time.Time          // when to take over once more; zero: not
	counted  time.Time          // when the store last said which runs are parked
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
	measure, err := newTelemetry(&c)
	if err != nil {
		return nil, fmt.Errorf("dataverse: register metrics: %w", err)
	}
	return &Dispatcher{DispatcherConfig: c, gate: newGate(), status: &status{log: c.Log, s: Status{State: StateStandby}},
		signals: signals{ready: make(chan struct{}, 1)}, telemetry: measure, done: make(chan *parcel),
		behind: behind{sent: make(map[uuid.UUID]time.Time)},
		rows:   firstRows, budget: budget{daily: c.DailyBudget}}, nil
}

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
	if !d.next.IsZero() {
		d.Tell()
	}
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
	d.owner = false
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
	now := time.Now()
	if woken {
		d.next = now
	}
	if own != nil {
		d.heedOwner(ctx, *own)
	}
	if woken {
		d.behind.wake(now)
	}
}

// heedOwner takes in whether to work.
func (d *Dispatcher) heedOwner(ctx context.Context, own bool) {
	if own && !d.owner {
		d.signals.takeOrigins() // of what others sent
	}
	if d.owner && !own && !d.next.IsZero() {
		d.Tell() // perhaps nobody else knows
	}
	d.owner, d.adopt = own, own
	d.again = time.Now().Add(lateClaims)
	d.status.own(ctx, d.owner)
	d.behind.own(d.owner)
	switch {
	case !d.owner:
		d.disown()
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
			look := d.look()
			if look.IsZero() {
				return nil
			}
			wait = look.Sub(now)
		}
		if wait <= 0 {
			wait = d.recount(ctx)
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

// look is when to ask the store for something; zero: when somebody says so.
func (d *Dispatcher) look() time.Time {
	look := d.next
	if !look.IsZero() && look.Before(d.rest) {
		look = d.rest
	}
	if !d.again.IsZero() && (look.IsZero() || d.again.Before(look)) {
		look = d.again
	}
	return look
}

// prepare reads the table and takes over what others have claimed, where that is still to be done. It returns how long to
// wait before the next try; failures of Dataverse close the gate, which knows by itself.
func (d *Dispatcher) prepare(ctx context.Context) time.Duration {
	if d.table.Load() == nil && d.read(ctx, d.tenure) != nil {
		return time.Millisecond
	}
	// A claim that was on its way when its owner died may have taken place since.
	if !d.again.IsZero() && !time.Now().Before(d.again) {
		d.adopt, d.again = true, time.Time{}
	}
	if !d.adopt {
		return 0
	}
	call, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	now := time.Now()
	standing, err := d.Outbox.Adopt(call, d.living, now, now.Add(d.Linger))
	if err != nil {
		return d.storeFailed(ctx, err)
	}
	parked, err := d.Outbox.Parked(call, mostParkedRows)
	if err != nil {
		return d.storeFailed(ctx, err)
	}
	d.failures, d.adopt, d.next, d.counted = 0, false, now, now
	d.budget.settled(now, standing.TargetsToday)
	d.status.adopted(ctx, standing, parked)
	d.behind.adopted(standing.Oldest)
	return 0
}

// recount looks, where runs are known to be parked, which still are: another dispatcher may have parked or sent some. It
// does so before a claim and not for its own sake, and while no parcel is under way, whose own are counted when it ends.
func (d *Dispatcher) recount(ctx context.Context) time.Duration {
	now := time.Now()
	if d.drain || len(d.living) > 0 || now.Sub(d.counted) < recountTime || d.Status().Parked == 0 {
		return 0
	}
	call, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	standing, err := d.Outbox.Standing(call, now)
	if err != nil {
		return d.storeFailed(ctx, err)
	}
	parked, err := d.Outbox.Parked(call, mostParkedRows)
	if err != nil {
		return d.storeFailed(ctx, err)
	}
	d.failures, d.counted = 0, now
	d.status.parked(standing.Parked, parked)
	return 0
}

// claim takes one parcel of due runs and starts to send it. It returns how long to wait where nothing may be claimed now.
func (d *Dispatcher) claim(ctx, work context.Context) time.Duration {
	now := time.Now()
	limit, closingOnly := d.budget.allow(now, d.rows)
	if limit == 0 {
		d.status.budget(ctx, true)
		d.rest = midnight(now)
		return d.rest.Sub(now)
	}
	call, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	// Taken before the claim, which then sees what they committed.
	p := &parcel{d: d, owner: uuid.New(), origins: d.signals.takeOrigins()}
	claimed, err := d.Outbox.Claim(call, sinks.Claim{Owner: p.owner, Now: now, NotBefore: now.Add(d.Interval),
		ClosingOnly: closingOnly, Limit: limit})
	if err != nil {
		d.signals.giveBack(p.origins)
		// What it may have claimed, or may still: its owner does not live.
		d.adopt, d.again = true, now.Add(lateClaims)
		return d.storeFailed(ctx, err)
	}
	d.failures, d.next = 0, claimed.Next
	d.status.budget(ctx, closingOnly)
	more := !d.next.IsZero() && !d.next.After(now)
	p.copies = claimed.Copies
	d.behind.claimed(now, p, closingOnly, d.next)
	if len(p.copies) == 0 {
		d.due = false
		if !d.next.IsZero() {
			d.signals.giveBack(p.origins) // what they committed may only be due later
		}
		d.retreat(now, more)
	} else {
		d.due, d.empty = more, 0
		d.dispatch(p, work)
	}
	if closingOnly {
		d.rest = now.Add(closingLook) // what waits is mostly what may not be sent
		d.lookAt(midnight(now))
	}
	return 0
}

// dispatch starts to send a parcel.
func (d *Dispatcher) dispatch(p *parcel, work context.Context) {
	d.living = append(d.living, p.owner)
	d.budget.reserve(len(p.copies))
	tenure := d.tenure
	go func() {
		p.deliver(work, tenure)
		d.done <- p
	}()
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
	d.budget.release(len(p.copies))
	d.rest = time.Time{} // not all that was reserved may have been sent
	d.rows = p.nextRows(d.rows)
	d.status.finished(p)
	d.behind.finished(p)
	if p.answer == nil {
		return // stopping
	}
	d.budget.settled(p.settled, p.answer.TargetsToday)
	d.due = d.due || p.answer.Lost > 0 || p.released()
	// Runs that changed while they were under way could not be claimed.
	if next := p.answer.Next; !next.IsZero() {
		d.lookAt(next)
		if !d.owner && !d.drain {
			d.Tell()
		}
	}
}

// lookAt has the dispatcher claim at a time at the latest.
func (d *Dispatcher) lookAt(t time.Time) {
	if d.next.IsZero() || t.Before(d.next) {
		d.next = t
	}
}

// storeFailed says how long to wait for the store.
func (d *Dispatcher) storeFailed(ctx context.Context, err error) time.Duration {
	state := StateDegraded
	pause := min(firstBackoff<<min(d.failures, 16), longestBackoff)
	if errors.Is(err, sinks.ErrBlocked) {
		state, pause = StateBlocked, longestBackoff
	}
	d.failures++
	d.status.set(ctx, state, err)
	return jitter(pause)
}
