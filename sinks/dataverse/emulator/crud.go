package emulator

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

func (a *api) create(w *answer, q *request, t *table) *apiError {
	a.targets(1)
	if failure := q.only("$select"); failure != nil {
		return failure
	}
	p, failure := readPayload(t, q.body)
	if failure != nil {
		return failure
	}
	if p.id == uuid.Nil {
		p.id = uuid.New()
	}
	r, failure := a.data.insert(t, p.id, p.assigned)
	if failure != nil {
		return failure
	}
	if q.prefer.representation {
		return writeRow(w, q, t, r, http.StatusCreated)
	}
	wrote(w, q.address(t, r))
	return nil
}

// address is the URL of a row.
func (q *request) address(t *table, r *row) string {
	return q.base + t.EntitySet + "(" + r.id.String() + ")"
}

// wrote answers a write without data. The address is what OData-EntityId says; some clients look into Location instead.
func wrote(w *answer, address string) {
	w.header.Set("OData-EntityId", address)
	w.header.Set("Location", address)
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) retrieve(w *answer, q *request, t *table, to target) *apiError {
	if failure := q.only("$select"); failure != nil {
		return failure
	}
	if failure := q.onlyConditions("If-None-Match version"); failure != nil {
		return failure
	}
	if to.row == nil {
		return t.missing(to)
	}
	if q.condition("If-None-Match") == to.row.etag() && q.prefer.annotations == "" {
		w.header.Set("ETag", to.row.etag())
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return writeRow(w, q, t, to.row, http.StatusOK)
}

// writeRow answers with a row.
func writeRow(w *answer, q *request, t *table, r *row, status int) *apiError {
	selected, failure := q.selected(t)
	if failure != nil {
		return failure
	}
	if q.Method != http.MethodGet {
		q.prefer.applied(w, "return=representation")
	}
	w.header.Set("ETag", r.etag())
	writeData(w, status, t.rowJSON(nil, r, selected, q.context(t, true)))
	return nil
}

// writeData answers with a body of the Web API.
func writeData(w *answer, status int, body []byte) {
	w.header.Set("Content-Type", "application/json; odata.metadata=minimal")
	w.WriteHeader(status)
	_, _ = w.Write(body) // into memory
}

// upsert is PATCH: it writes the row, or makes it unless there is a condition that forbids to.
func (a *api) upsert(w *answer, q *request, t *table, to target) *apiError {
	if failure := q.only("$select"); failure != nil {
		return failure
	}
	p, failure := readPayload(t, q.body)
	if failure != nil {
		return failure
	}
	if to.key == nil && p.id != uuid.Nil && p.id != to.id {
		return badPayload(t.LogicalName, "The primary id in the body is not that of the URL.")
	}
	if failure := q.checkConditions(t, to, "If-Match *", "If-Match version", "If-None-Match *"); failure != nil {
		return failure
	}
	status := http.StatusOK
	r := to.row
	if r == nil {
		status = http.StatusCreated
		r, failure = a.data.insertAt(t, to, p)
	} else {
		r, failure = a.data.update(t, r, p.withoutKey(to))
	}
	if failure != nil {
		return failure
	}
	if q.prefer.representation {
		return writeRow(w, q, t, r, status)
	}
	if to.key == nil {
		wrote(w, q.address(t, r))
	} else {
		wrote(w, baseURL(q.Request)+q.URL.EscapedPath()) // it stays the address by the key
	}
	return nil
}

func (a *api) delete(w *answer, q *request, t *table, to target) *apiError {
	if failure := q.only(); failure != nil {
		return failure
	}
	if to.row == nil {
		return t.missing(to)
	}
	if failure := q.checkConditions(t, to, "If-Match *", "If-Match version"); failure != nil {
		return failure
	}
	a.data.setRow(t, to.row, nil)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveColumn serves one column of a row: its value as JSON, or raw behind $value.
func (a *api) serveColumn(w *answer, q *request, t *table, to target) *apiError {
	raw := len(q.path) == 3 && q.path[2].name == "$value" && q.Method == http.MethodGet
	name := q.path[1].name
	c := t.column(name)
	if c == nil && !strings.HasPrefix(name, "$") && !strings.HasPrefix(name, castPrefix) && len(q.path) == 2 {
		return noSegment(name)
	}
	if c == nil || len(q.path) > 2 && !raw {
		return notKnown("%q", q.URL.Path)
	}
	if failure := q.only(); failure != nil {
		return failure
	}
	if failure := q.onlyConditions(); failure != nil {
		return failure
	}
	if to.row == nil {
		return t.missing(to)
	}
	switch q.Method {
	case http.MethodGet:
		return writeColumn(w, q, t, to.row, c, raw)
	case http.MethodPut, http.MethodDelete:
		return a.setColumn(w, q, t, to.row, c)
	}
	return badMethod(q.Method)
}

func writeColumn(w *answer, q *request, t *table, r *row, c *column, raw bool) *apiError {
	v := c.of(r)
	switch {
	case v == null:
		w.WriteHeader(http.StatusNoContent)
	case raw:
		w.header.Set("Content-Type", "text/plain")
		fmt.Fprint(w, c.plain(v))
	default:
		head := fmt.Sprintf(`{"@odata.context":"%s$metadata#%s(%s)/%s","value":`, q.base, t.EntitySet, r.id, c.LogicalName)
		writeData(w, http.StatusOK, append(c.appendJSON([]byte(head), v), '}'))
	}
	return nil
}

// setColumn is PUT with {"value":…}, or DELETE, which sets null.
func (a *api) setColumn(w *answer, q *request, t *table, r *row, c *column) *apiError {
	body := map[string]any{"value": nil}
	if q.Method == http.MethodPut {
		var failure *apiError
		if body, failure = readObject(t.LogicalName, q.body); failure != nil {
			return failure
		}
	}
	if _, given := body["value"]; !given || len(body) != 1 {
		return badPayload(t.LogicalName, "The body must be {\"value\":…}.")
	}
	p, failure := t.payload(map[string]any{c.LogicalName: body["value"]})
	if failure != nil {
		return failure
	}
	if _, failure = a.data.update(t, r, p.assigned); failure != nil {
		return failure
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
