package emulator

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// listing is a query of a table.
type listing struct {
	*request
	table    *table
	selected []*column
	matches  predicate[*row]
	order    ordering
	size     int    // of the page
	paged    bool   // whether there is a next page
	from     cookie // where the page begins
}

// list answers a query of many rows.
func (a *api) list(w *answer, q *request, t *table) *apiError {
	l, failure := readListing(q, t)
	if failure != nil {
		return failure
	}
	body := l.appendCount([]byte("{" + q.context(t, false)))
	body = append(body, `"value":[`...)
	var last *row
	n, more := 0, false
	for r := range l.rows() {
		if n == l.size {
			more = true
			break
		}
		if n > 0 {
			body = append(body, ',')
		}
		body = t.rowJSON(body, r, l.selected, "")
		last = r
		n++
	}
	body = append(body, ']')
	if more && l.paged {
		body = fmt.Appendf(body, `,"@odata.nextLink":%s`, strconv.Quote(l.nextLink(last)))
	}
	l.tellApplied(w)
	writeData(w, http.StatusOK, append(body, '}'))
	return nil
}

func readListing(q *request, t *table) (*listing, *apiError) {
	l := &listing{request: q, table: t, size: maxPage, paged: true}
	failure := q.only("$select", "$filter", "$orderby", "$top", "$count", "$skiptoken")
	if failure != nil {
		return nil, failure
	}
	if l.selected, failure = q.selected(t); failure != nil {
		return nil, failure
	}
	if l.matches, failure = t.filter(q.query["$filter"]); failure != nil {
		return nil, failure
	}
	if l.order, failure = t.ordering(q.query["$orderby"]); failure != nil {
		return nil, failure
	}
	if l.from, failure = l.readCookie(q.query["$skiptoken"]); failure != nil {
		return nil, failure
	}
	return l, l.readSize()
}

// readSize finds out how many rows are wanted. A page size makes the service ignore $top.
func (l *listing) readSize() *apiError {
	if count, given := l.query["$count"]; given && count != "true" && count != "false" {
		return badQuery("Invalid value '%s' for $count query option found. Valid values are 'true' and 'false'.", count)
	}
	text, given := l.query["$top"]
	top, err := strconv.ParseUint(text, 10, 31)
	switch {
	case given && err != nil:
		return badQuery("Invalid value '%s' for $top query option found. It requires a non-negative integer value.", text)
	case l.prefer.pageSize > 0:
		l.size = l.prefer.pageSize
	case given:
		l.size, l.paged = min(int(top), maxPage), false
	}
	return nil
}

// tellApplied says which preferences were honoured.
func (l *listing) tellApplied(w *answer) {
	var applied []string
	if l.prefer.pageSize > 0 {
		applied = append(applied, fmt.Sprintf("odata.maxpagesize=%d", l.prefer.pageSize))
	}
	if l.prefer.annotations != "" {
		applied = append(applied, fmt.Sprintf("odata.include-annotations=%q", l.prefer.annotations))
	}
	if applied != nil {
		l.prefer.applied(w, applied...)
	}
}

// rows are those of this page and all later ones.
func (l *listing) rows() iter.Seq[*row] { return l.table.matching(l.matches, l.order, l.from.last) }

// matching returns the rows that match, in order, behind one that need not be there; all of them for nil.
func (t *table) matching(matches predicate[*row], o ordering, last *row) iter.Seq[*row] {
	candidates := t.among(matches.among, o, last)
	if matches.among == nil {
		candidates = t.inOrder(o).after(last)
	}
	return func(yield func(*row) bool) {
		for r := range candidates {
			if (matches.holds == nil || matches.holds(r)) && !yield(r) {
				return
			}
		}
	}
}

// among returns the rows with some ids, in order, behind one; all of them for nil.
func (t *table) among(ids []uuid.UUID, o ordering, last *row) iter.Seq[*row] {
	var rows []*row
	for _, id := range ids {
		if r := t.row(id); r != nil && (last == nil || o.compare(r, last) > 0) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, o.compare)
	return slices.Values(slices.Compact(rows))
}

// appendCount counts all rows that match, if that is asked for. Its annotation is -1 if not.
func (l *listing) appendCount(body []byte) []byte {
	const annotation = "Microsoft.Dynamics.CRM.totalrecordcount"
	n, exceeded := -1, false
	if l.query["$count"] == "true" {
		n, exceeded = l.table.count(l.matches)
		body = fmt.Appendf(body, `"@odata.count":%d,`, n)
	}
	if l.prefer.wantsAnnotation(annotation) {
		body = fmt.Appendf(body, `"@%s":%d,"@%slimitexceeded":%t,`, annotation, n, annotation, exceeded)
	}
	return body
}

// count counts rows, up to the most that are counted.
func (t *table) count(matches predicate[*row]) (n int, exceeded bool) {
	if matches.holds == nil {
		return min(t.rows.size, maxPage), t.rows.size > maxPage
	}
	for range t.matching(matches, nil, nil) {
		if n == maxPage {
			return n, true
		}
		n++
	}
	return n, false
}

// count answers …/$count.
func (a *api) count(w *answer, q *request, t *table) *apiError {
	if failure := q.only("$filter"); failure != nil {
		return failure
	}
	matches, failure := t.filter(q.query["$filter"])
	if failure != nil {
		return failure
	}
	n, _ := t.count(matches)
	w.header.Set("Content-Type", "text/plain")
	fmt.Fprint(w, n)
	return nil
}

// filter reads a $filter. Without any all rows match: then nothing tells whether one does.
func (t *table) filter(text string) (predicate[*row], *apiError) {
	if text == "" {
		return predicate[*row]{}, nil
	}
	return parseFilter(text, func(name string) (operand[*row], *apiError) {
		c, failure := t.property(name)
		if failure != nil {
			return operand[*row]{}, failure
		}
		return operand[*row]{column: c, value: c.of}, nil
	})
}

// ordering reads an $orderby.
func (t *table) ordering(text string) (ordering, *apiError) {
	var o ordering
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc" {
			return nil, badQuery("Syntax error at '%s' in $orderby.", part)
		}
		c, failure := t.property(words[0])
		if failure != nil {
			return nil, failure
		}
		o = append(o, term{c, len(words) == 2 && words[1] == "desc"})
	}
	return o, nil
}
