package query

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	streamPath = campaignPath + "/stream"

	defaultSnapshot = 50
	// maxResumed is how many records a client that comes back gets at most.
	maxResumed = 2000
)

// streamInput is a request for live records before anything of it is judged.
type streamInput struct {
	rawQuery    string
	lastEventID string
	// The key is looked at again while the stream lasts.
	authorization, apiKey string
	hasBody               bool
}

// Resolve takes the query as it came, as that of a listing.
func (in *streamInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	in.rawQuery, in.lastEventID = u.RawQuery, ctx.Header("Last-Event-ID")
	in.authorization, in.apiKey = ctx.Header("Authorization"), ctx.Header("X-API-Key")
	r, _ := humago.Unwrap(ctx)
	in.hasBody = r.ContentLength != 0
	return nil
}

func (s *server) routeStream(api huma.API) {
	described := responses(api, http.StatusOK, nil, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusServiceUnavailable)
	described["200"] = response(http.StatusOK, eventStream, &huma.Schema{Type: huma.TypeString})
	huma.Register(api, s.guard(huma.Operation{
		OperationID: "stream-metrics", Method: http.MethodGet, Path: streamPath, Tags: []string{"metrics"},
		Summary: "Records as they change, as server-sent events",
		Description: "First the newest records of the filter, oldest first, each as an event `metrics` with the record as its " +
			"data; then an event `ready`; then the newest record of each run whenever it changed, at most four times a second. " +
			"Of records with the same runKey keep the one with the higher version. A run that is committed no more is sent no " +
			"more: that it is stalled is for the reader of updatedAt to see.\n\n" +
			"`id` is the greatest updatedAt sent so far. With it in Last-Event-ID a client that comes back gets what changed " +
			"since, and for 60 seconds before, in place of the newest records.\n\n" +
			"The data of `ready` is {\"records\", \"complete\", \"resumed\"}: how many records came before it, whether the " +
			"client has every change since its place now, and whether that place was known. It comes again with complete " +
			"false when more changed than the client could take, or the server could learn of: read the listing then.\n\n" +
			"An event `state` with what /readyz says comes at the start and when that has changed, at most every second, a " +
			"comment after 15 s of silence. The stream ends when the server stops or the key is revoked.",
		SkipValidateParams: true,
		Parameters:         streamParameters(),
		Responses:          described,
	}, ScopeRead), s.stream)
}

// streamParameters describes what parseStream reads.
func streamParameters() []*huma.Param {
	none, most := 0.0, float64(maxLimit)
	list := slices.DeleteFunc(listParameters(), func(p *huma.Param) bool {
		return !slices.Contains([]string{"campaignId", "runId", "phase"}, p.Name)
	})
	return append([]*huma.Param{
		{Name: "limit", In: "query", Description: "How many records at most come first.",
			Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &none, Maximum: &most, Default: defaultSnapshot}},
		{Name: "lastEventId", In: "query", Description: "In place of Last-Event-ID, for clients that cannot set it.",
			Schema: &huma.Schema{Type: huma.TypeString}},
		{Name: "Last-Event-ID", In: "header", Description: "The last id of a stream before. One that cannot be read counts as absent.",
			Schema: &huma.Schema{Type: huma.TypeString}},
	}, list...)
}

// watching is what a stream is to show.
type watching struct {
	filter sinks.Filter
	limit  int       // of the records that come first
	since  time.Time // to go on from; zero at a fresh start
}

// parseStream reads a request. Filters that a run can leave are refused: nobody would hear of it again.
func parseStream(in *streamInput, now time.Time) (watching, error) {
	values, err := url.ParseQuery(in.rawQuery)
	if err != nil {
		return watching{}, problem(http.StatusBadRequest, "the query of the URL is not well encoded")
	}
	p := parameters{values: values}
	w := watching{limit: p.snapshot(), filter: sinks.Filter{
		CampaignID: p.name("campaignId", maxID),
		RunID:      p.name("runId", maxID),
		Phase:      p.name("phase", maxPhase),
	}}
	for _, name := range []string{"status", "since", "until", "cursor"} {
		if p.one(name) != "" {
			p.refuse(name, "cannot be asked for in a stream")
		}
	}
	if in.lastEventID == "" {
		in.lastEventID = p.one("lastEventId")
	}
	if len(p.bad) > 0 {
		return watching{}, invalid(p.bad)
	}
	if t, ok := parseTime(in.lastEventID); ok && !t.Before(firstTime) && !t.After(now.Add(clockMargin)) {
		w.since = t.Add(-clockMargin)
	}
	return w, nil
}

// snapshot reads how many records are to come first.
func (p *parameters) snapshot() int {
	value := p.one("limit")
	if value == "" {
		return defaultSnapshot
	}
	limit, err := strconv.Atoi(value)
	if err != nil || limit < 0 || limit > maxLimit {
		p.refuse("limit", fmt.Sprintf("must be an integer from 0 to %d", maxLimit))
	}
	return limit
}

// stream answers with everything up to ready, which may fail, and then with what changes.
func (s *server) stream(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	w, err := parseStream(in, s.Now())
	if err != nil {
		return nil, err
	}
	if in.hasBody { // before it is read nobody would notice that the client left
		return nil, problem(http.StatusBadRequest, "a request for a stream has no body")
	}
	// From here on nothing is missed: what is committed before is in the store, and what is committed later is taken.
	v := s.Feed.join(w.filter)
	if v == nil {
		return nil, unavailable("too many clients listen, or the process is stopping")
	}
	context.AfterFunc(ctx, func() { s.Feed.leave(v) }) // the request's context ends with it
	first, ready, err := s.begin(ctx, v, w)
	if err != nil {
		return nil, s.storeFailed(ctx, "stream-metrics", err)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		r, writer := humago.Unwrap(ctx)
		out := &eventWriter{w: writer, control: http.NewResponseController(writer), idleSince: s.idleSince, written: time.Now()}
		header := writer.Header()
		header.Set("Content-Type", eventStream)
		header.Set("Cache-Control", "no-store")
		header.Set("X-Accel-Buffering", "no") // proxies of that kind would keep events back
		if r.Method == http.MethodHead {
			return
		}
		out.err = out.control.SetReadDeadline(time.Time{}) // nothing more is to come, and that would end the request
		out.begin(first, ready)
		live := liveStream{viewer: v, out: out, server: s, authorization: in.authorization, apiKey: in.apiKey}
		live.run(ctx.Context())
	}}, nil
}

// readiness is the data of an event ready.
type readiness struct {
	Records  int  `json:"records"`
	Complete bool `json:"complete"`
	Resumed  bool `json:"resumed"`
}

// begin returns what comes first, oldest first.
func (s *server) begin(ctx context.Context, v *viewer, w watching) ([]record, readiness, error) {
	deadline, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if !w.since.IsZero() && s.Feed.reach(deadline, w.since) {
		first, all := s.Feed.resume(v, w.since)
		return first, readiness{Records: len(first), Complete: all, Resumed: true}, nil
	}
	if w.limit == 0 {
		return nil, readiness{Complete: w.since.IsZero()}, nil
	}
	deadline, cancel = context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	found, err := s.Reader.List(deadline, w.filter, nil, w.limit)
	if err != nil {
		return nil, readiness{}, err
	}
	first := make([]record, len(found))
	for i := range found {
		if first[len(found)-1-i], err = recordOf(&found[i]); err != nil {
			return nil, readiness{}, fmt.Errorf("write record: %w", err)
		}
	}
	return first, readiness{Records: len(first), Complete: w.since.IsZero()}, nil
}
