package emulator

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// splitQuery decodes a query string: %24 is $, and + is a space.
func splitQuery(raw string) (map[string]string, *apiError) {
	options := map[string]string{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		escapedName, escapedValue, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(escapedName)
		if err != nil {
			return nil, badSyntax()
		}
		text, err := url.QueryUnescape(escapedValue)
		if err != nil {
			return nil, badSyntax()
		}
		if _, twice := options[name]; twice {
			return nil, badQuery("Query option '%s' was specified more than once, but it must be specified at most once.", name)
		}
		options[name] = text
	}
	return options, nil
}

// only refuses query options other than those that are known here.
func (q *request) only(known ...string) *apiError {
	for name := range q.query {
		switch {
		case name == "$skip":
			return badQuery("Skip Clause is not supported in CRM")
		case !slices.Contains(known, name):
			return notKnown("the query option %q here", name)
		}
	}
	return nil
}

// selected are the columns of $select, and the primary id always; all columns without it.
func (q *request) selected(t *table) ([]*column, *apiError) {
	list, given := q.query["$select"]
	if !given {
		return t.Columns, nil
	}
	columns := []*column{t.id()}
	for name := range strings.SplitSeq(list, ",") {
		c, failure := t.property(strings.TrimSpace(name))
		if failure != nil {
			return nil, failure
		}
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	return columns, nil
}

// property finds the column that a query names.
func (t *table) property(name string) (*column, *apiError) {
	if c := t.column(name); c != nil {
		return c, nil
	}
	return nil, noProperty(name, t.odataType())
}

func noProperty(name, odataType string) *apiError {
	if name == "*" || strings.Contains(name, "/") {
		return notKnown("%q in a query", name)
	}
	return badQuery("Could not find a property named '%s' on type '%s'.", name, odataType)
}

// context is the @odata.context of rows, a part of a JSON object. One: it is a single row.
func (q *request) context(t *table, one bool) string {
	text := q.base + "$metadata#" + t.EntitySet
	if list, given := q.query["$select"]; given {
		names := strings.FieldsFunc(list, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
		text += "(" + strings.Join(names, ",") + ")"
	}
	if one {
		text += "/$entity"
	}
	return `"@odata.context":` + strconv.Quote(text) + ","
}

// maxPage is the most rows in an answer, and the most that are counted.
const maxPage = 5000

// preferences are what the Prefer headers ask for.
type preferences struct {
	representation  bool   // return=representation
	pageSize        int    // odata.maxpagesize, 0 without
	annotations     string // odata.include-annotations, a list of patterns
	continueOnError bool   // odata.continue-on-error, of a batch
}

func readPreferences(h http.Header) preferences {
	var p preferences
	for part := range splitOutsideQuotes(strings.Join(h.Values("Prefer"), ",")) {
		name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch strings.ToLower(name) {
		case "return":
			p.representation = text == "representation"
		case "odata.maxpagesize":
			if n, err := strconv.Atoi(text); err == nil && n > 0 {
				p.pageSize = min(n, maxPage)
			}
		case "odata.include-annotations":
			p.annotations = strings.Trim(text, `"`)
		case "odata.continue-on-error":
			p.continueOnError = text != "false"
		}
	}
	return p
}

// splitOutsideQuotes splits a header at its commas.
func splitOutsideQuotes(text string) func(yield func(string) bool) {
	quoted := false
	return strings.FieldsFuncSeq(text, func(c rune) bool {
		if c == '"' {
			quoted = !quoted
		}
		return c == ',' && !quoted
	})
}

// wantsAnnotation tells whether an annotation was asked for.
func (p preferences) wantsAnnotation(name string) bool {
	for pattern := range strings.SplitSeq(p.annotations, ",") {
		prefix, any := strings.CutSuffix(strings.TrimSpace(pattern), "*")
		if pattern == name || any && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// applied tells the client which preferences were honoured.
func (p preferences) applied(w *answer, names ...string) {
	w.header.Set("Preference-Applied", strings.Join(names, ","))
}
