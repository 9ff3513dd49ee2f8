package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// revalidate gives every JSON answer to a GET under /api a strong ETag, and answers 304 where the client has it. Where the
// process knows that the answer is the same still, it does so without asking the store: who polls does not keep a
// database awake. Other answers pass as they come.
//
// What it knows it has from announcements, so an answer may be as old as it takes to notice that NATS is silent, 15
// seconds. In a cluster of NATS servers an announcement may be lost without anybody noticing: no answer is trusted for
// longer than trustTime.
func (s *server) revalidate(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	if op.Method != http.MethodGet || !strings.HasPrefix(op.Path, "/api/") || op.Metadata[unknowable] != nil {
		next(ctx)
		return
	}
	r, w := humago.Unwrap(ctx)
	question, ok := questionOf(r)
	// Whether the key will do is for the operation to say; who has none that reads gets nothing from here.
	if ok && s.mayRead(r.Header.Get("Authorization"), r.Header.Get("X-API-Key")) {
		if etag, same := s.answers.get(question, s.Feed.current(), s.Now()); same && hasETag(r, etag) {
			setValidators(w.Header(), etag)
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	clock := &answerClock{idleTimeout: s.IdleTimeout, now: s.Now()}
	before := s.Feed.current()
	held := &heldAnswer{ResponseWriter: w}
	next(humago.NewContext(op, r.WithContext(context.WithValue(r.Context(), clockKey{}, clock)), held))
	if !held.holds {
		return
	}
	etag := etagOf(held.body.Bytes())
	if ok && before.heard {
		s.answers.put(question, knownAnswer{etag, before.generation, clock.until(before)})
	}
	setValidators(w.Header(), etag)
	if hasETag(r, etag) {
		w.Header().Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(held.body.Bytes()) // an error means that the client is gone
}

// describeRevalidation says so in the OpenAPI document.
func describeRevalidation(api huma.API) {
	for path, item := range api.OpenAPI().Paths {
		if item.Get == nil || !strings.HasPrefix(path, "/api/") || item.Get.Metadata[unknowable] != nil || item.Get.Responses["200"].Content["application/json"] == nil {
			continue
		}
		item.Get.Parameters = append(item.Get.Parameters, &huma.Param{Name: "If-None-Match", In: "header",
			Description: "ETags of answers that the client has.", Schema: &huma.Schema{Type: huma.TypeString}})
		item.Get.Responses["304"] = &huma.Response{Description: http.StatusText(http.StatusNotModified)}
		item.Get.Responses["200"].Headers = map[string]*huma.Param{"ETag": {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
}

// questionOf is what decides on an answer besides the store and the clock. A query that is not well encoded has none.
func questionOf(r *http.Request) (string, bool) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", false
	}
	question := r.URL.EscapedPath() + "?" + values.Encode() + " " + strings.Join(r.Header.Values("Accept"), ",")
	return question, len(question) <= maxQuestion
}

func setValidators(h http.Header, etag string) {
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-cache")
}

func etagOf(body []byte) string {
	hash := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(hash[:16]) + `"`
}

// hasETag tells whether If-None-Match names the answer. A proxy may have made the name weak.
func hasETag(r *http.Request, etag string) bool {
	for _, line := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/"); tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}

// heldAnswer keeps a JSON answer with status 200 back. Others pass.
type heldAnswer struct {
	http.ResponseWriter
	begun, holds bool
	body         bytes.Buffer
}

func (h *heldAnswer) WriteHeader(status int) {
	if h.begun {
		return
	}
	h.begun = true
	h.holds = status == http.StatusOK && h.Header().Get("Content-Type") == "application/json"
	if !h.holds {
		h.ResponseWriter.WriteHeader(status)
	}
}

func (h *heldAnswer) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	if h.holds {
		return h.body.Write(b)
	}
	return h.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find deadlines and flushing.
func (h *heldAnswer) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// answerClock finds out until when an answer is right while nothing is committed: until a run that it shows, or counts, as
// running turns stalled.
type answerClock struct {
	idleTimeout time.Duration
	now         time.Time // when the answer was asked for
	turns       time.Time // when the first of the runs seen does; zero where none does
	sawAll      bool
}

type clockKey struct{}

// clockOf is the clock of a request. It is never nil.
func clockOf(ctx context.Context) *answerClock {
	if clock, ok := ctx.Value(clockKey{}).(*answerClock); ok {
		return clock
	}
	return &answerClock{}
}

// see takes note of records that the answer depends on.
func (c *answerClock) see(records ...aggregate.Metrics) {
	for i := range records {
		m := &records[i]
		turns := m.UpdatedAt.Add(c.idleTimeout)
		if m.Status == aggregate.Running && !turns.Before(c.now) && (c.turns.IsZero() || turns.Before(c.turns)) {
			c.turns = turns
		}
	}
}

// seenAll says that no other record can change the answer before it is committed.
func (c *answerClock) seenAll() { c.sawAll = true }

// until is when the answer may change, by what was known before it was asked for.
func (c *answerClock) until(before moment) time.Time {
	switch {
	case c.idleTimeout <= 0 || c.sawAll && c.turns.IsZero():
		return c.now.Add(trustTime)
	case c.sawAll:
		return earlier(c.turns, c.now.Add(trustTime))
	// Runs that nobody has seen turn, too. The last does when this time has passed since the last commit.
	case before.changed.Add(c.idleTimeout + clockMargin).Before(c.now):
		return c.now.Add(trustTime)
	}
	return c.now // not even now
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
