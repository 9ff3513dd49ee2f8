package dataverse

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

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
	// tableTime is how old the table's definition must be to be read again when rows are refused or do not fit, and
	// longestTable when there is no such reason.
	tableTime    = time.Minute
	longestTable = 10 * time.Minute
	// parkedRetry is how long a refused row rests before a newer version of it is tried.
	parkedRetry = 10 * time.Minute
)

// parcel is what one claim took, on its way. It is owned by one goroutine from claim to finish.
type parcel struct {
	d       *Dispatcher
	owner   uuid.UUID
	copies  []sinks.Copy
	origins []trace.SpanContext // of commits that they come from, the newest last
	table   *readTable          // of which the rows were made

	outcomes []sinks.Outcome
	targets  int64 // rows that were sent, each time they were
	refused  []ParkedRow
	judged   []events.Key   // of runs that were parked: they are not any more, or are among the refused again
	parked   int64          // runs that Dataverse refuses, and did not before
	unparked int64          // runs that it takes, and did not before
	rows     int            // what one request should carry after what was seen, 0: nothing was seen
	answer   *sinks.Settled // nil: not settled, so the next owner takes the claims over
	settled  time.Time      // when answer was asked for
}

// item is one row of a parcel.
type item struct {
	copy  *sinks.Copy
	row   Row
	doubt time.Time // until when an earlier request with it may still take place

	since  time.Time // when it first failed alone, though nobody refused it; zero: not yet
	passed int64     // requests that had passed by then
}

// deliver sends the rows and settles them. Requests end with work; what waits for a better time is given back when the
// tenure ends.
func (p *parcel) deliver(work, tenure context.Context) {
	if p.d.table.Load().older(longestTable) {
		_ = p.d.read(work, tenure) // or else the one of before holds
	}
	p.table = p.d.table.Load()
	var fresh []item
	var suspect [][]item // alone, so that they do not spoil a request for the others again
	for i := range p.copies {
		c := &p.copies[i]
		row, err := p.row(work, tenure, c)
		switch {
		case err != nil && tenure.Err() != nil:
			p.settle(work, item{copy: c}, sinks.Released, "")
		case err != nil:
			p.settle(work, item{copy: c}, sinks.Parked, err.Error())
		case c.Parked != "":
			suspect = append(suspect, []item{{copy: c, row: row}})
		default:
			fresh = append(fresh, item{copy: c, row: row})
		}
	}
	if len(fresh) > 0 {
		suspect = append([][]item{fresh}, suspect...)
	}
	p.send(work, tenure, suspect)
	p.report(work)
}

// row is the record as a row, or why it is none by a definition that was read lately.
func (p *parcel) row(work, tenure context.Context, c *sinks.Copy) (Row, error) {
	for {
		table := p.d.table.Load()
		row, err := table.Row(&c.Metrics, c.RowID)
		if err == nil || !table.older(tableTime) || p.d.read(work, tenure) != nil && tenure.Err() != nil {
			return row, err
		}
	}
}

// send sends each part of the queue until all rows have their verdict: together, in halves where they do not pass as a
// whole, again and again while Dataverse is away.
func (p *parcel) send(work, tenure context.Context, queue [][]item) {
	for len(queue) > 0 {
		items := queue[0]
		ticket, err := p.d.gate.enter(tenure)
		if err != nil {
			p.all(work, slices.Concat(queue...), sinks.Released, "")
			return
		}
		span, err := p.request(work, ticket, items)
		verdict, reason := sinks.Delivered, ""
		switch {
		case aboutTable(err) && p.d.table.Load().older(tableTime) && p.d.read(work, tenure) != nil:
			continue // no parking of rows mends that
		case aboutTable(err) && !reflect.DeepEqual(p.table.Table, p.d.table.Load().Table):
			verdict = sinks.Released // to be made anew
		case err == nil:
		case len(items) > 1 && aboutRows(err):
			half := len(items) / 2
			queue = slices.Insert(queue[1:], 0, items[:half], items[half:])
			continue
		case errors.Is(err, sinks.ErrRefused):
			verdict, reason = sinks.Parked, err.Error()
		case aboutRows(err) && p.atFault(&items[0]):
			items[0].doubt = time.Now().Add(parkedRetry) // to be tried again without a newer version
			verdict, reason = sinks.Parked, err.Error()
			p.d.status.recovered(span, err)
		case aboutRows(err):
			queue = append(queue[1:], items) // the others first
			continue
		default:
			continue
		}
		p.all(span, items, verdict, reason)
		queue = queue[1:]
	}
}

// aboutRows tells whether fewer rows may pass, or others.
func aboutRows(err error) bool {
	var answered *Error
	return errors.Is(err, sinks.ErrRefused) || TimedOut(err) ||
		errors.As(err, &answered) && answered.Status == http.StatusInternalServerError
}

// atFault tells whether it is the row, and not Dataverse, because of which it fails alone: others pass meanwhile, or it was
// so before. One that fails for long has to make room for others, which tell.
func (p *parcel) atFault(it *item) bool {
	passed := p.d.gate.passes()
	if it.since.IsZero() {
		it.since, it.passed = time.Now(), passed
	}
	return it.copy.Parked != "" || passed > it.passed || time.Since(it.since) > parkedRetry
}

// request sends the items once. What is said of it later is to be said in the context that it returns, that of its span.
func (p *parcel) request(work context.Context, ticket ticket, items []item) (context.Context, error) {
	rows := make([]Row, len(items))
	for i := range items {
		rows[i] = items[i].row
	}
	span := p.d.startSpan(work, p.origins, len(items))
	ctx, cancel := context.WithTimeout(span, requestTime)
	defer cancel()
	answer, err := p.d.Client.UpsertMultiple(ctx, p.d.table.Load().Table, rows)
	took := time.Since(ticket.began)
	p.d.gate.leave(ticket, answer.DOPHint, err)
	p.d.telemetry.requested(span, items, took, answer, err)
	p.d.status.answered(span, len(items), err)
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
	return span, err
}

// sent tells whether a request reached Dataverse, or may have, so that its rows count.
func sent(err error) bool {
	var answered *Error
	return err == nil || Ambiguous(err) || errors.As(err, &answered) && answered.Status != 0 && !NoToken(err)
}

// aboutTable tells whether the table may have changed: it refuses rows, or is not found.
func aboutTable(err error) bool {
	var answered *Error
	return errors.Is(err, sinks.ErrRefused) && !errors.Is(err, ErrTooLarge) ||
		errors.As(err, &answered) && answered.Status == http.StatusNotFound
}

func (p *parcel) all(ctx context.Context, items []item, v sinks.Verdict, reason string) {
	for _, it := range items {
		p.settle(ctx, it, v, reason)
	}
}

func (p *parcel) settle(ctx context.Context, it item, v sinks.Verdict, reason string) {
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
		p.d.Log.WarnContext(ctx, "Dataverse refuses a row; it is parked", "run_key", m.RunKey, "version", m.Version, "reason", reason)
	}
}

// report tells the store, as long as it takes; a stopping dispatcher tries once more. A crash before it leaves claims that
// the next owner takes over: the rows are sent again, with the same content or newer.
func (p *parcel) report(work context.Context) {
	var failed error
	for failures := 0; ; failures++ {
		stopping := work.Err() != nil
		now := time.Now()
		answer, err := p.ask(work, sinks.Settlement{Owner: p.owner, Now: now, Outcomes: p.outcomes,
			RetryParked: now.Add(parkedRetry), Targets: p.targets})
		if err == nil {
			p.answer, p.settled = &answer, now
			if failed != nil {
				p.d.status.recovered(work, failed)
			}
			return
		}
		failed = err
		p.d.status.set(work, StateDegraded, err)
		if stopping {
			p.d.Log.WarnContext(work, "what was sent is not noted and will be sent again", "rows", len(p.outcomes), "error", err)
			return
		}
		select {
		case <-work.Done():
		case <-time.After(jitter(min(firstBackoff<<min(failures, 16), longestBackoff))):
		}
	}
}

// ask settles once. The end of work leaves it a moment.
func (p *parcel) ask(work context.Context, s sinks.Settlement) (sinks.Settled, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(work), storeTime)
	defer cancel()
	defer context.AfterFunc(work, func() { time.AfterFunc(stopTime, cancel) })()
	return p.d.Outbox.Settle(ctx, s)
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
