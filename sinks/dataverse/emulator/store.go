package emulator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// data is all tables. One mutex guards them: requests take place one after the other, each as a whole.
type data struct {
	now     func() time.Time
	journal *journal // nil: in memory only

	mu      sync.Mutex
	tables  map[string]*table // by logical name
	sets    map[string]*table // by entity set
	version int64             // of the last write
	changes []change          // of the transaction under way, in order
}

// change is one step of a transaction, with what it needs to be undone.
type change struct {
	table *table

	before, after *row // of a row: nil is none

	// Of a definition, where one of them is not nil. Nothing before: the table is new.
	oldDefinition, newDefinition *definition
}

func newData(now func() time.Time) *data {
	return &data{now: now, tables: map[string]*table{}, sets: map[string]*table{}}
}

// holding marks the context of a request whose caller is inside atomically already.
type holding struct{}

// inTransaction is the context for requests that are made inside atomically: they take part in it.
func inTransaction(ctx context.Context) context.Context {
	return context.WithValue(ctx, holding{}, true)
}

// atomically runs f while nobody else reads or writes. All that it changes is undone when it returns an error or panics,
// or when the changes cannot be written to the journal.
func (d *data) atomically(f func() *apiError) *apiError {
	d.mu.Lock()
	defer d.mu.Unlock()
	if failure := d.transaction(d.buildKeys); failure != nil {
		return failure
	}
	return d.transaction(f)
}

func (d *data) transaction(f func() *apiError) *apiError {
	done := false
	defer func() {
		if !done {
			d.undo()
		}
		clear(d.changes)
		d.changes = d.changes[:0]
	}()
	if failure := f(); failure != nil {
		return failure
	}
	if err := d.journal.write(d, d.changes); err != nil {
		return &apiError{http.StatusInternalServerError, "0x80040216", "The emulator cannot write to its disk: " + err.Error()}
	}
	done = true
	return nil
}

// undo takes the changes back, the last first.
func (d *data) undo() {
	for _, c := range slices.Backward(d.changes) {
		if c.newDefinition != nil {
			d.define(c.table, c.oldDefinition)
			continue
		}
		c.table.swap(c.after, c.before)
	}
}

// setRow makes a change of a row.
func (d *data) setRow(t *table, before, after *row) {
	t.swap(before, after)
	d.changes = append(d.changes, change{table: t, before: before, after: after})
}

// setDefinition makes a change of a definition, or a new table.
func (d *data) setDefinition(t *table, definition *definition) {
	d.changes = append(d.changes, change{table: t, oldDefinition: t.definition, newDefinition: definition})
	d.define(t, definition)
}

// define gives the table a definition; nil removes the table.
func (d *data) define(t *table, to *definition) {
	if to == nil {
		delete(d.tables, t.LogicalName)
		delete(d.sets, t.EntitySet)
		t.definition = nil
		return
	}
	t.definition = to
	d.tables[to.LogicalName], d.sets[to.EntitySet] = t, t
	t.keepKeys()
}

// insertAt writes a new row where a target is.
func (d *data) insertAt(t *table, to target, p *payload) (*row, *apiError) {
	assigned, failure := p.withKey(t, to)
	if failure != nil {
		return nil, failure
	}
	return d.insert(t, p.idFor(to), assigned)
}

// insert writes a new row.
func (d *data) insert(t *table, id uuid.UUID, assigned []assignment) (*row, *apiError) {
	if t.row(id) != nil {
		return nil, duplicateID()
	}
	values := (&row{}).values(t.cells())
	values[createdOn] = timeValue(d.now())
	return d.write(t, nil, id, values, assigned)
}

// update writes the next state of a row.
func (d *data) update(t *table, before *row, assigned []assignment) (*row, *apiError) {
	return d.write(t, before, before.id, before.values(t.cells()), assigned)
}

func (d *data) write(t *table, before *row, id uuid.UUID, values []value, assigned []assignment) (*row, *apiError) {
	values[modifiedOn] = timeValue(d.now())
	for _, a := range assigned {
		values[a.column.Position] = a.value
	}
	d.version++
	after := &row{id: id, version: d.version, cells: joined(values)}
	if failure := t.checkKeys(before, after); failure != nil {
		return nil, failure
	}
	d.setRow(t, before, after)
	return after, nil
}

// clear deletes all rows of all tables.
func (d *data) clear() *apiError {
	return d.atomically(func() *apiError {
		for _, t := range d.inNameOrder() {
			for _, r := range slices.Collect(t.rows.after(nil)) {
				d.setRow(t, r, nil)
			}
		}
		return nil
	})
}

// duplicateID refuses a row that is there.
func duplicateID() *apiError {
	return &apiError{http.StatusPreconditionFailed, "0x80040237", "A record with matching key values already exists."}
}

// noRow says that there is no row with the id.
func (t *table) noRow(id uuid.UUID) *apiError {
	return &apiError{http.StatusNotFound, "0x80040217", fmt.Sprintf("%s With Id = %s Does Not Exist", t.LogicalName, id)}
}

// etag is the row's version in the form of HTTP.
func (r *row) etag() string { return `W/"` + strconv.FormatInt(r.version, 10) + `"` }
