package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

type server struct {
	Config
	mux       *http.ServeMux
	crossSite *http.CrossOriginProtection
	spec      []byte // /openapi.json
	states    sharedState
	answers   knownAnswers
	counted   sharedBacklog
	telemetry telemetry

	entrance  http.Handler // what stands before the routes
	keyRates  *rates
	strangers strangers
	refused   attemptLog
	outages   *outages

	eventRequests chan struct{} // one for each request with events under way
	summaries     chan struct{} // one for each summary under way
}

// New makes the handler of all routes. An error names what is missing in the configuration.
func New(c Config) (http.Handler, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	s := &server{Config: c, mux: http.NewServeMux(), crossSite: http.NewCrossOriginProtection(),
		eventRequests: make(chan struct{}, maxEventRequests), summaries: make(chan struct{}, summariesAtOnce)}
	var err error
	if s.telemetry, err = newTelemetry(&c); err != nil {
		return nil, err
	}
	s.entrance = s.crossOrigin(http.HandlerFunc(s.enter))
	s.keyRates = newRates(c.KeyRate, 2*c.KeyRate, maxKeyRates)
	s.strangers = strangers{newRates(strangerRate, strangerBurst, strangersKept)}
	s.refused.log, s.outages = c.Log, newOutages(c.Log)
	api := humago.New(s.mux, s.describe())
	api.UseMiddleware(s.revalidate)
	s.routeReport(api)
	s.routeEvents(api)
	s.routeList(api)
	s.routeStream(api)
	s.routeRun(api)
	s.routeSummary(api)
	s.routeHealth(api)
	s.routeMetrics(api)
	s.routeSpec(api)
	s.routeAsyncAPI(api)
	s.routeDeadLetters(api)
	s.routeBacklog(api)
	if err := s.routePanel(); err != nil {
		return nil, fmt.Errorf("read panel: %w", err)
	}
	describeRevalidation(api)
	if s.spec, err = json.Marshal(api.OpenAPI()); err != nil {
		return nil, fmt.Errorf("write OpenAPI: %w", err)
	}
	return s, nil
}

// ServeHTTP answers one request: refused at the door, without a route, or by the handler of its route.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := new(visitor)
	r = withTrace(withVisitor(r, v))
	_, r.Pattern = s.mux.Handler(r)
	v.request = s.telemetry.begin(r)
	answer := &answer{ResponseWriter: w, measured: v.request, status: http.StatusOK}
	defer func() {
		status := answer.outcome(r.Context())
		answer.measured.end(status, answer.cut)
		if s.Keys != nil {
			s.Keys.answered(v.keyID, status)
		}
	}()
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked(answer, r, cause)
		}
	}()
	secure(answer.Header(), r)
	s.entrance.ServeHTTP(answer, r)
}

// noRoute asks the multiplexer's own handler whether the path is unknown or only the method, and says so as a problem.
func noRoute(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	verdict := &verdict{header: http.Header{}}
	handler.ServeHTTP(verdict, r)
	if verdict.status != http.StatusMethodNotAllowed {
		writeProblem(w, problem(http.StatusNotFound, "there is nothing at this path; /openapi.json names all routes"))
		return
	}
	allowed := verdict.header.Get("Allow")
	w.Header().Set("Allow", allowed)
	writeProblem(w, problem(http.StatusMethodNotAllowed, "this path allows "+allowed))
}

// panicked answers 500 where nothing was sent yet. Else it cuts the connection, so that half an answer is not taken for
// a whole one.
func (s *server) panicked(w *answer, r *http.Request, cause any) {
	if cause != http.ErrAbortHandler {
		s.Log.ErrorContext(w.measured.ctx, "request panicked", "method", r.Method, "path", r.URL.Path,
			"error", fmt.Sprint(cause), "stack", string(debug.Stack()))
	}
	if w.begun {
		w.cut = true
		panic(http.ErrAbortHandler)
	}
	writeProblem(w, problem(http.StatusInternalServerError, "an unexpected error; the log of the server has it"))
}

// answer remembers whether anything was sent, and with which status, and measures the request.
type answer struct {
	http.ResponseWriter
	measured *measured
	begun    bool
	cut      bool // it ends before it is whole
	status   int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(b)
}

// begin is called before anything is sent.
func (a *answer) begin() {
	if !a.begun && a.Header().Get("Content-Type") == eventStream {
		a.measured.end(a.status, false)
	}
	a.begun = true
}

// clientLeft is what counts instead of a 5xx that nobody got: who left did not wait for a fault to pass. It is the status
// that nginx has for this.
const clientLeft = 499

// outcome is the status that counts once the request is over.
func (a *answer) outcome(request context.Context) int {
	if a.status >= http.StatusInternalServerError && request.Err() != nil {
		return clientLeft
	}
	return a.status
}

// Unwrap lets http.ResponseController find deadlines and flushing.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// verdict keeps status and headers of an answer that nobody gets.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }
func (v *verdict) WriteHeader(status int)      { v.status = status }
