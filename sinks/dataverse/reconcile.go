package dataverse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// CopyState says how a run and its row stand to each other.
type CopyState string

// The states of a copy. All but the first two are differences.
const (
	CopyEqual     CopyState = "equal"
	CopyWaiting   CopyState = "waiting"   // the row is missing or not equal, and its newest version is on its way or due
	CopyMissing   CopyState = "missing"   // there is no row, and nothing would bring it
	CopyOlder     CopyState = "older"     // not equal: the newest version was never sent, and nothing would
	CopyDifferent CopyState = "different" // not equal, although the newest version was delivered
	CopyParked    CopyState = "parked"    // Dataverse refused the row
)

// Comparison is a run beside its row.
type Comparison struct {
	Copy        sinks.Copy
	State       CopyState
	Differences []Difference // of an older or different row, or of one that waits
}

// RunsAtOnce is how many runs Compare asks Dataverse about with one request. Their ids, escaped, are 23 KB of a URL that
// may have 32.
const RunsAtOnce = 500

// mostLooks is how often Compare looks at a run that changes all the time.
const mostLooks = 3

// mostFailures is how many failures in a row make a Reconciler give up: with the pauses, after one minute or two.
const mostFailures = 9

// Reconciler compares a store with a table while a dispatcher may be at work between them, and takes over rows that were
// made by hand. It keeps within the service protection limits and waits where Dataverse asks for a pause. It is for one
// goroutine.
type Reconciler struct {
	client *Client
	outbox sinks.Outbox
	table  *Table
	gate   *gate
}

// NewReconciler makes a Reconciler. The table must be Usable.
func NewReconciler(client *Client, outbox sinks.Outbox, table *Table) *Reconciler {
	return &Reconciler{client: client, outbox: outbox, table: table, gate: newGate()}
}

// Compare compares runs, which were just read from the store, with their rows. A difference was seen while nothing was
// sent: runs and rows are read again until it is certain, or the run counts as waiting.
func (r *Reconciler) Compare(ctx context.Context, copies []sinks.Copy) ([]Comparison, error) {
	list := make([]Comparison, len(copies))
	open := make([]*Comparison, len(copies))
	for i := range copies {
		list[i].Copy, open[i] = copies[i], &list[i]
	}
	for look := 1; len(open) > 0; look++ {
		suspects, err := r.judge(ctx, open)
		if err != nil {
			return nil, err
		}
		if open, err = r.refresh(ctx, suspects); err != nil {
			return nil, err
		}
		if look == mostLooks {
			for _, c := range open {
				c.State, c.Differences = CopyWaiting, nil
			}
			break
		}
	}
	return list, nil
}

// judge reads the rows and returns the comparisons that found a difference which a dispatcher may have made meanwhile.
func (r *Reconciler) judge(ctx context.Context, open []*Comparison) (suspects []*Comparison, err error) {
	ids := make([]uuid.UUID, len(open))
	for i, c := range open {
		ids[i] = c.Copy.RowID
	}
	rows, err := r.rows(ctx, ids, r.table.fieldColumns())
	if err != nil {
		return nil, err
	}
	for _, c := range open {
		row, found := rows[c.Copy.RowID]
		c.judge(r.table, row, found)
		if c.State == CopyMissing || c.State == CopyOlder || c.State == CopyDifferent {
			suspects = append(suspects, c)
		}
	}
	return suspects, nil
}

// judge takes in what the row says.
func (c *Comparison) judge(t *Table, row Row, found bool) {
	c.Differences = nil
	if found {
		c.Differences = t.Same(&c.Copy.Metrics, row)
	}
	switch {
	case c.Copy.Parked != "":
		c.State = CopyParked
	case found && len(c.Differences) == 0:
		c.State = CopyEqual
	case c.Copy.Waiting:
		c.State = CopyWaiting
	case !found:
		c.State = CopyMissing
	case c.Copy.Delivered < c.Copy.Metrics.Version:
		c.State = CopyOlder
	default:
		c.State = CopyDifferent
	}
}

// refresh reads the runs of suspects again. Where nothing happened to one since it was read last, nothing was sent when its
// row was read, and the difference is certain; the others are returned.
func (r *Reconciler) refresh(ctx context.Context, suspects []*Comparison) (open []*Comparison, err error) {
	keys := make([]uuid.UUID, len(suspects))
	for i, c := range suspects {
		keys[i] = c.Copy.Metrics.RunKey
	}
	fresh, err := r.copies(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, c := range suspects {
		if now, exists := fresh[c.Copy.Metrics.RunKey]; exists && moved(&c.Copy, now) {
			c.Copy = *now
			open = append(open, c)
		}
	}
	return open, nil
}

// copies reads runs by key.
func (r *Reconciler) copies(ctx context.Context, keys []uuid.UUID) (map[uuid.UUID]*sinks.Copy, error) {
	list, err := r.outbox.CopiesOf(ctx, keys)
	if err != nil {
		return nil, err
	}
	byKey := make(map[uuid.UUID]*sinks.Copy, len(list))
	for i := range list {
		byKey[list[i].Metrics.RunKey] = &list[i]
	}
	return byKey, nil
}

// moved tells whether anything happened to a copy between two reads of it.
func moved(before, now *sinks.Copy) bool {
	return now.Metrics.Version != before.Metrics.Version || now.Delivered != before.Delivered ||
		now.Waiting != before.Waiting || now.Parked != before.Parked || now.RowID != before.RowID
}

// rows reads those of these rows that exist, by their ids.
func (r *Reconciler) rows(ctx context.Context, ids []uuid.UUID, columns []string) (map[uuid.UUID]Row, error) {
	found := make(map[uuid.UUID]Row, len(ids))
	for some := range slices.Chunk(ids, RunsAtOnce) {
		rows, _, err := r.page(ctx, Query{Select: columns, Filter: among(r.table.PrimaryID, some)}, "")
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			id, err := r.table.idOf(row)
			if err != nil {
				return nil, err
			}
			found[id] = row
		}
	}
	return found, nil
}

// page reads a page of rows.
func (r *Reconciler) page(ctx context.Context, q Query, nextLink string) (rows []Row, next string, err error) {
	err = r.ask(ctx, func() (err error) {
		rows, next, err = r.client.Page(ctx, r.table.EntitySet, q, nextLink)
		return err
	})
	return rows, next, err
}

// ask makes a request that may be repeated, as often as it takes.
func (r *Reconciler) ask(ctx context.Context, request func() error) error {
	for failures := 0; ; {
		ticket, err := r.gate.enter(ctx)
		if err != nil {
			return err
		}
		err = request()
		r.gate.leave(ticket, 0, err)
		if !errors.Is(err, sinks.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		if _, throttled := Throttled(err); !throttled {
			failures++
		}
		if failures == mostFailures {
			return err
		}
	}
}

// among is the filter for rows whose column has one of the values.
func among(column string, ids []uuid.UUID) string {
	var b strings.Builder
	b.WriteString("Microsoft.Dynamics.CRM.In(PropertyName=" + Quote(column) + ",PropertyValues=[")
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(Quote(id.String()))
	}
	b.WriteString("])")
	return b.String()
}

// fieldColumns are the row's id and the 13 columns.
func (t *Table) fieldColumns() []string {
	columns := []string{t.PrimaryID}
	for i := range fields {
		columns = append(columns, fields[i].column.Name)
	}
	return columns
}

// keyColumns are the row's id and the three columns that name the run.
func (t *Table) keyColumns() []string {
	return []string{t.PrimaryID, fields[0].column.Name, fields[1].column.Name, fields[2].column.Name}
}

// keyOf is the run that a row names. A column without a text reads as empty, which no run's name is.
func (t *Table) keyOf(row Row) events.Key {
	text := func(field int) string {
		s, _ := row[fields[field].column.Name].(string)
		return s
	}
	return events.Key{CampaignID: text(0), RunID: text(1), Phase: text(2)}
}

func (t *Table) idOf(row Row) (uuid.UUID, error) {
	text, _ := row[t.PrimaryID].(string)
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%w: a row of %s has no %s", sinks.ErrUnavailable, t.EntitySet, t.PrimaryID)
	}
	return id, nil
}
