package emulator

import (
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// maxBody is the longest request in bytes: what the service allows a plug-in's context, 116.85 MB.
const maxBody = 122_526_105

// api serves the Web API to requests that are authorised. Requests whose context is inTransaction take part in their
// caller's transaction; each other one is a transaction of its own.
type api struct {
	data    *data
	targets func(rows int) // told how many rows a request asks to write, before it is known whether it may
}

// request is a request to the Web API, taken apart.
type request struct {
	*http.Request
	base   string            // of all URLs in the answer, with a slash at its end
	path   []segment         // below base, at least one
	query  map[string]string // options, decoded
	prefer preferences
	body   []byte
}

// segment is a part of a path: name, or name(args).
type segment struct {
	name string
	args string
	call bool // it has parentheses
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := newAnswer()
	failure := a.respond(out, r)
	if failure != nil {
		out = refused(failure)
	} else {
		identify(out.header)
		out.header.Set("OData-Version", "4.0")
	}
	out.send(w)
}

// respond answers a request in its transaction.
func (a *api) respond(w *answer, r *http.Request) *apiError {
	q, failure := readRequest(r)
	if failure != nil {
		return failure
	}
	serve := func() *apiError { return a.serve(w, q) }
	if r.Context().Value(holding{}) != nil {
		return serve()
	}
	return a.data.atomically(serve)
}

// serve finds out what the first segment is.
func (a *api) serve(w *answer, q *request) *apiError {
	first := q.path[0]
	if t := a.data.sets[first.name]; t != nil {
		return a.serveSet(w, q, t)
	}
	switch {
	case first.name == "WhoAmI":
		return whoAmI(w, q)
	case first.name == "EntityDefinitions":
		return a.serveDefinitions(w, q)
	case customName.MatchString(first.name):
		return noSegment(first.name)
	}
	return notKnown("%q", q.URL.Path) // the service's own sets, functions and actions
}

// serveSet finds out what is asked of a table.
func (a *api) serveSet(w *answer, q *request, t *table) *apiError {
	rest := q.path[1:]
	if q.path[0].call {
		return a.serveRow(w, q, t)
	}
	action, bound := "", false
	if len(rest) == 1 {
		action, bound = strings.CutPrefix(rest[0].name, "Microsoft.Dynamics.CRM.")
	}
	switch {
	case len(rest) == 0 && q.Method == http.MethodGet:
		return a.list(w, q, t)
	case len(rest) == 0 && q.Method == http.MethodPost:
		return a.create(w, q, t)
	case len(rest) == 0:
		return badMethod(q.Method)
	case bound:
		return a.bulk(w, q, t, action)
	case len(rest) == 1 && rest[0].name == "$count" && q.Method == http.MethodGet:
		return a.count(w, q, t)
	}
	return notKnown("%q behind an entity set", rest[0].name)
}

// serveRow finds out what is asked of a row.
func (a *api) serveRow(w *answer, q *request, t *table) *apiError {
	switch q.Method {
	case http.MethodPatch, http.MethodDelete, http.MethodPut:
		a.targets(1)
	}
	to, failure := t.target(q.path[0].args)
	if failure != nil {
		return failure
	}
	if len(q.path) > 1 {
		return a.serveColumn(w, q, t, to)
	}
	switch q.Method {
	case http.MethodGet:
		return a.retrieve(w, q, t, to)
	case http.MethodPatch:
		return a.upsert(w, q, t, to)
	case http.MethodDelete:
		return a.delete(w, q, t, to)
	}
	return badMethod(q.Method)
}

var (
	versionPath = regexp.MustCompile(`^/api/data/v9\.[0-9]+/`)
	batchPath   = regexp.MustCompile(versionPath.String() + `\$batch$`)
)

// customName is a name that only an entity set made by a publisher can have.
var customName = regexp.MustCompile(`^[a-z][a-z0-9]{1,7}_[a-z0-9_]+$`)

func readRequest(r *http.Request) (*request, *apiError) {
	prefix := versionPath.FindString(r.URL.Path)
	if prefix == "" {
		return nil, notKnown("%q, only /api/data/v9.x/", r.URL.Path)
	}
	q := &request{Request: r, base: baseURL(r) + prefix, prefer: readPreferences(r.Header)}
	var ok bool
	if q.path, ok = splitPath(strings.TrimPrefix(r.URL.Path, prefix)); !ok {
		return nil, badSyntax()
	}
	var failure *apiError
	if q.query, failure = splitQuery(r.URL.RawQuery); failure != nil {
		return nil, failure
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if limit := new(http.MaxBytesError); errors.As(err, &limit) {
		return nil, tooLarge()
	} else if err != nil {
		return nil, badPayload(q.path[0].name, "%v", err)
	}
	q.body = body
	return q, nil
}

// splitPath takes a decoded path apart. Quotes and parentheses protect slashes.
func splitPath(path string) ([]segment, bool) {
	var segments []segment
	depth, quoted, start := 0, false, 0
	path = strings.TrimSuffix(path, "/") + "/"
	for i, c := range []byte(path) {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '/' && depth == 0:
			part := path[start:i]
			start = i + 1
			name, args, call := strings.Cut(part, "(")
			if call && !strings.HasSuffix(args, ")") || !call && strings.ContainsAny(part, "')") {
				return nil, false
			}
			segments = append(segments, segment{name, strings.TrimSuffix(args, ")"), call})
		}
	}
	return segments, depth == 0 && !quoted
}
