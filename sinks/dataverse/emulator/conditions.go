package emulator

import (
	"net/http"
	"slices"
	"strings"
)

// condition is what the header If-Match or If-None-Match says: empty, *, or an ETag. The literal null is none.
func (q *request) condition(header string) string {
	text := q.Header.Get(header)
	if header == "If-None-Match" && text == "null" {
		return ""
	}
	return text
}

// onlyConditions refuses conditions other than those that are known here, as "If-Match *" or "If-Match version".
func (q *request) onlyConditions(known ...string) *apiError {
	for _, header := range []string{"If-Match", "If-None-Match"} {
		text := q.condition(header)
		kind := text
		if strings.HasPrefix(text, `W/"`) && strings.Count(text, `"`) == 2 {
			kind = "version"
		}
		if text != "" && !slices.Contains(known, header+" "+kind) {
			return notKnown("the condition %s: %s here", header, text)
		}
	}
	return nil
}

// checkConditions refuses a write whose conditions do not hold, or are not known here.
func (q *request) checkConditions(t *table, to target, known ...string) *apiError {
	if failure := q.onlyConditions(known...); failure != nil {
		return failure
	}
	match := q.condition("If-Match")
	switch {
	case match != "" && to.row == nil:
		return t.missing(to)
	case match != "" && match != "*" && match != to.row.etag():
		return &apiError{http.StatusPreconditionFailed, "0x80060882",
			"The version of the existing record doesn't match the RowVersion property provided."}
	case q.condition("If-None-Match") == "*" && to.row != nil:
		return duplicateID()
	}
	return nil
}
