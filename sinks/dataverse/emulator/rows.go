package emulator

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// row is one state of a row of a table. It never changes: an update makes another one.
type row struct {
	id      uuid.UUID
	version int64  // of the organisation's counter, which every write moves; the ETag
	cells   string // values of the table's columns in order, those at the end that are missing are null
}

// cell is the value at a position.
func (r *row) cell(position int) value {
	rest := r.cells
	for ; rest != ""; position-- {
		n := size(rest)
		if position == 0 {
			return value(rest[:n])
		}
		rest = rest[n:]
	}
	return null
}

// values are all cells, as many as the table has.
func (r *row) values(columns int) []value {
	values := make([]value, columns)
	rest := r.cells
	for i := range values {
		values[i] = null
		if rest != "" {
			n := size(rest)
			values[i], rest = value(rest[:n]), rest[n:]
		}
	}
	return values
}

func joined(values []value) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(string(v))
	}
	return b.String()
}

func compareIDs(a, b *row) int { return bytes.Compare(a.id[:], b.id[:]) }

// term is a column to sort by.
type term struct {
	column     *column
	descending bool
}

// ordering sorts rows by terms, then by id.
type ordering []term

// name is the same for the same ordering.
func (o ordering) name() string {
	var b strings.Builder
	for _, t := range o {
		fmt.Fprintf(&b, "%s %t,", t.column.LogicalName, t.descending)
	}
	return b.String()
}

func (o ordering) compare(a, b *row) int {
	for _, t := range o {
		if c := t.compare(t.column.of(a), t.column.of(b)); c != 0 {
			return c
		}
	}
	return compareIDs(a, b)
}

func (t term) compare(a, b value) int {
	if t.descending {
		a, b = b, a
	}
	return compare(a, b)
}

// sort sorts many rows. It looks up the values of each once.
func (o ordering) sort(rows []*row) {
	type sortable struct {
		values []value
		row    *row
	}
	list := make([]sortable, len(rows))
	for i, r := range rows {
		list[i] = sortable{make([]value, len(o)), r}
		for k, t := range o {
			list[i].values[k] = t.column.of(r)
		}
	}
	slices.SortFunc(list, func(a, b sortable) int {
		for k, t := range o {
			if c := t.compare(a.values[k], b.values[k]); c != 0 {
				return c
			}
		}
		return compareIDs(a.row, b.row)
	})
	for i, one := range list {
		rows[i] = one.row
	}
}

// table is a definition with its rows. Each way in which they were asked for has an index that the writes keep, so no
// page of a long query sorts anything.
type table struct {
	*definition
	rows   *index
	orders []*order // those used last first
	keys   map[string]uniqueRows
}

// order is an index for an ordering other than by id.
type order struct {
	name string
	*index
}

// uniqueRows are rows by their values of an alternate key.
type uniqueRows map[string]*row

// maxOrders is how many orderings a table keeps.
const maxOrders = 4

func newTable(d *definition) *table {
	return &table{definition: d, rows: newIndex(compareIDs, nil), keys: map[string]uniqueRows{}}
}

// row finds a row by its id; nil if there is none.
func (t *table) row(id uuid.UUID) *row { return t.rows.find(&row{id: id}) }

// inOrder returns the index for an ordering.
func (t *table) inOrder(o ordering) *index {
	if len(o) == 0 || o[0].column == t.id() && !o[0].descending {
		return t.rows
	}
	name := o.name()
	at := slices.IndexFunc(t.orders, func(x *order) bool { return x.name == name })
	var used *order
	if at >= 0 {
		used = t.orders[at]
		t.orders = slices.Delete(t.orders, at, at+1)
	} else {
		rows := slices.AppendSeq(make([]*row, 0, t.rows.size), t.rows.after(nil))
		o.sort(rows)
		used = &order{name, newIndex(o.compare, rows)}
	}
	t.orders = slices.Insert(t.orders, 0, used)
	t.orders = t.orders[:min(len(t.orders), maxOrders)]
	return used.index
}

// swap replaces one state of a row by another; nil is none.
func (t *table) swap(before, after *row) {
	switch {
	case after == nil:
		t.rows.remove(before)
	default:
		t.rows.put(after)
	}
	for _, o := range t.orders {
		if before != nil {
			o.remove(before)
		}
		if after != nil {
			o.put(after)
		}
	}
	for name, rows := range t.keys {
		columns := t.key(name).columns(t.definition)
		if v, whole := keyOf(before, columns); whole {
			delete(rows, v)
		}
		if v, whole := keyOf(after, columns); whole {
			rows[v] = after
		}
	}
}

// keyOf is what a row's values of some columns have in common with those of equal rows. It is false where one is null:
// then nothing is equal.
func keyOf(r *row, columns []*column) (string, bool) {
	if r == nil {
		return "", false
	}
	values := make([]value, len(columns))
	for i, c := range columns {
		if values[i] = c.of(r).fold(); values[i] == null {
			return "", false
		}
	}
	return joined(values), true
}

// byID and byVersion are the positions of what is no cell.
const (
	byID      = -1
	byVersion = -2
)

// of is the row's value of the column.
func (c *column) of(r *row) value {
	switch c.Position {
	case byID:
		return idValue(r.id)
	case byVersion:
		return intValue(r.version)
	}
	return r.cell(c.Position)
}
