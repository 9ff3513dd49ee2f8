package dataverse

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// mostRows bounds what one request carries, and with it memory: so many records for each request under way.
	mostRows = 1000
	// firstRows is what the first requests carry, until it is seen how long they take.
	firstRows = 100
	// fastRequest and slowRequest say how long a request should take: the next ones carry more below, less above.
	fastRequest = time.Second
	slowRequest = 10 * time.Second
	// requestTime is how long a request may take before it counts as lost.
	requestTime = time.Minute
	// tableTime is how old the table's definition must be to be read again when rows are refused.
	tableTime = time.Minute
	// parkedRetry is how long a refused row rests before a newer version of it is tried.
	parkedRetry = 10 * time.Minute
)

// parcel is what one claim took, on its way. It is owned by one goroutine from claim to finish.
type parcel struct {
	d      *Dispatcher
	owner  uuid.UUID
	copies []sinks.Copy

	outcomes []sinks.Outcome
	targets  int64 // rows that were sent, each time they were
	refused  []ParkedRow
	judged   []events.Key   // of runs that were parked: they are not any more, or are among the refused again
	parked   int64          // runs that Dataverse refuses, and did not before
	unparked int64          // runs that it takes, and did not before
	rows     int            // what one request should carry after what was seen, 0: nothing was seen
	answer   *sinks.Settled // nil: not settled, so the next owner takes the claims over
}

// item is one row of a parcel.
type item struct {
	copy  *sinks.Copy
	row   Row
	doubt time.Time // until when an earlier request with it may still take place
}

// deliver sends the rows and settles them. Requests end with work; what waits for a better time is given back when the
// tenure ends.
func (p *parcel) deliver(work, tenure context.Context) {
	var fresh, suspect []item
	for i := range p.copies {
		c := &p.copies[i]
		row, err := p.d.table.Load().Row(&c.Metrics, c.RowID)
		switch {
		case err != nil:
			p.settle(item{copy: c}, sinks.Parked, err.Error())
		case c.Parked != "":
			suspect = append(suspect, item{copy: c, row: row})
		default:
			fresh = append(fresh, item{copy: c, row: row})
		}
	}
	p.send(work, tenure, fresh)
	for i := range suspect { // alone, so that they do not spoil a request for the others again
		p.send(work, tenure, suspect[i:i+1])
	}
	p.report(work)
}

// send sends items until each has its verdict: together, in halves where they do not pass as a whole, again and again
// while Dataverse is away.
func (p *parcel) send(work, tenure context.Context, items []item) {
	for len(items) > 0 {
		ticket, err := p.d.gate.enter(tenure)
		if err != nil {
			p.all(items, sinks.Released, "")
			return
		}
		err = p.request(work, ticket, items)
		switch {
		case err == nil:
			p.all(items, sinks.Delivered, "")
			return
		case errors.Is(err, sinks.ErrRefused) && !errors.Is(err, ErrTooLarge) && p.tableChanged(work, tenure):
			continue
		case len(items) > 1 && (errors.Is(err, sinks.ErrRefused) || errors.Is(err, ErrTooLarge) || TimedOut(err)):
			half := len(items) / 2
			p.send(work, tenure, items[:half])
			items = items[half:]
		case errors.Is(err, sinks.ErrRefused), errors.Is(err, ErrTooLarge):
			p.all(items, sinks.Parked, err.Error())
			return
		}
	}
}

// request sends the items once.
func (p *parcel) request(work context.Context, ticket ticket, items []item) error {
	rows := make([]Row, len(items))
	for i := range items {
		rows[i] = items[i].row
	}
	ctx, cancel := context.WithTimeout(work, requestTime)
	defer cancel()
	answer, err := p.d.Client.UpsertMultiple(ctx, p.d.table.Load().Table, rows)
	took := time.Since(ticket.began)
	p.d.gate.leave(ticket, answer.DOPHint, err)
	p.d.status.answered(len(items), err)
	if Ambiguous(err) {
		for i := range items {
			items[i].doubt = time.Now().Add(p.d.Linger)
		}
	}
	if sent(err) {
		p.targets += int64(len(items))
	}
	switch {
	case errors.Is(err, ErrTooLarge), TimedOut(err), took > slowRequest:
		p.rows = max(1, len(items)/2)
	case err == nil && took < fastRequest:
		p.rows = max(p.rows, min(2*len(items), mostRows))
	}
	return err
}

// sent tells whether a request reached Dataverse, or may have, so that its rows count.
func sent(err error) bool {
	var answered *Error
	return err == nil || Ambiguous(err) || errors.As(err, &answered) && answered.Status != 0 && !NoToken(err)
}

// tableChanged looks whether the refusal of a row is the table's fault, which no parking of rows mends. If it is, the gate
// closes for a while.
func (p *parcel) tableChanged(work, tenure context.Context) bool {
	if time.Since(p.d.table.Load().at) < tableTime {
		return false
	}
	return errors.Is(p.d.read(work, tenure), sinks.ErrBlocked)
}

func (p *parcel) all(items []item, v sinks.Verdict, reason string) {
	for _, it := range items {
		p.settle(it, v, reason)
	}
}

func (p *parcel) settle(it item, v sinks.Verdict, reason string) {
	m := &it.copy.Metrics
	p.outcomes = append(p.outcomes, sinks.Outcome{RunKey: m.RunKey, Version: m.Version,
		Closed: m.Status != aggregate.Running, Verdict: v, Reason: reason, DoubtUntil: it.doubt})
	switch {
	case v == sinks.Parked && it.copy.Parked == "":
		p.parked++
	case v == sinks.Delivered && it.copy.Parked != "":
		p.unparked++
	}
	if v != sinks.Released && it.copy.Parked != "" {
		p.judged = append(p.judged, m.Key())
	}
	if v == sinks.Parked {
		p.refused = append(p.refused, parkedRow(it.copy, reason))
		p.d.Log.Warn("Dataverse refuses a row; it is parked", "run_key", m.RunKey, "version", m.Version, "reason", reason)
	}
}

// report tells the store, as long as it takes; a stopping dispatcher tries once more. A crash before it leaves claims that
// the next owner takes over: the rows are sent again, with the same content or newer.
func (p *parcel) report(work context.Context) {
	for failures := 0; ; failures++ {
		stopping := work.Err() != nil
		ctx, cancel := context.WithTimeout(context.WithoutCancel(work), storeTime)
		if stopping {
			cancel()
			ctx, cancel = context.WithTimeout(context.WithoutCancel(work), stopTime)
		}
		now := time.Now()
		answer, err := p.d.Outbox.Settle(ctx, sinks.Settlement{Owner: p.owner, Now: now, Outcomes: p.outcomes,
			RetryParked: now.Add(parkedRetry), Targets: p.targets})
		cancel()
		if err == nil {
			p.answer = &answer
			return
		}
		p.d.status.set(StateDegraded, err)
		if stopping {
			p.d.Log.Warn("what was sent is not noted and will be sent again", "rows", len(p.outcomes), "error", err)
			return
		}
		select {
		case <-work.Done():
		case <-time.After(jitter(min(firstBackoff<<min(failures, 16), longestBackoff))):
		}
	}
}

// released tells whether something of it was given back.
func (p *parcel) released() bool {
	return slices.ContainsFunc(p.outcomes, func(o sinks.Outcome) bool { return o.Verdict == sinks.Released })
}

// nextRows is what the next parcel should hold at the most.
func (p *parcel) nextRows(rows int) int {
	switch {
	case p.rows == 0:
		return rows
	case p.rows < len(p.copies):
		return min(rows, p.rows)
	}
	return max(rows, p.rows)
}
