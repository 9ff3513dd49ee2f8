package query

import (
	"context"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// visitor is who sent a request: the key that it came with, empty where it had no valid one.
type visitor struct {
	keyID   string
	scopes  scopes
	request *measured
}

type visitorKey struct{}

func withVisitor(r *http.Request, v *visitor) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), visitorKey{}, v))
}

// visitorOf never returns nil.
func visitorOf(ctx context.Context) *visitor {
	if v, known := ctx.Value(visitorKey{}).(*visitor); known {
		return v
	}
	return new(visitor)
}

// enter leads a request to its route, unless the door stays shut.
func (s *server) enter(w http.ResponseWriter, r *http.Request) {
	if s.Keys != nil {
		if !s.admit(w, r) {
			return
		}
	} else if refused := s.refuseAtDoor(r); refused != nil {
		writeProblem(w, refused)
		return
	}
	r = visitorOf(r.Context()).request.trace(r)
	if r.Pattern == "" {
		handler, _ := s.mux.Handler(r)
		noRoute(w, r, handler)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// refuseAtDoor guards an open window. Without keys, whatever a browser on this machine can be made to send would be
// taken: so the Host must be ours, and a page of another origin gets nothing.
func (s *server) refuseAtDoor(r *http.Request) *huma.ErrorModel {
	switch {
	case s.Loopback && !IsLoopback(r.Host):
		return problem(http.StatusMisdirectedRequest, "without API keys, Host must be localhost, 127.x or [::1]")
	case s.crossSite.Check(r) != nil || !sameOrigin(r):
		return problem(http.StatusForbidden, "without API keys, requests from other origins are refused")
	}
	return nil
}

// sameOrigin holds for every method, reads included. Origin is "null" where the browser hides it: another one, too.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// admit asks for a key. Where it refuses, it has answered, and the answer is the same for every path and method: a
// stranger does not learn which routes there are. A valid key always gets in, however often others of its address failed:
// secrets are too long to be guessed, so that nobody needs to be locked out.
func (s *server) admit(w http.ResponseWriter, r *http.Request) bool {
	token := tokenOf(r.Header.Get("Authorization"), r.Header.Get("X-API-Key"))
	public := isPublic(r.URL.Path)
	if public && token == "" {
		return true
	}
	v := visitorOf(r.Context())
	id, granted, refusal := s.Keys.find(token, s.Now())
	if refusal == "" {
		v.keyID, v.scopes = id, granted
		if s.Keys.firstUse(id) {
			s.Log.InfoContext(r.Context(), "api key used for the first time by this process", "key_id", id, "remote_addr", r.RemoteAddr)
		}
		return public || s.withinRate(w, id)
	}
	wait := s.strangers.wait(r.RemoteAddr, s.Now())
	s.refused.note(r.Context(), attempt{keyID: id, reason: refusal, remote: r.RemoteAddr})
	switch {
	case public:
		return true
	case wait > 0:
		tooFast(w, wait, "too many requests without a valid key came from your address")
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="runmetrics"`)
		writeProblem(w, problem(http.StatusUnauthorized, "give a valid key: Authorization: Bearer <id>.<secret>, or X-API-Key"))
	}
	return false
}

// withinRate tells whether the key may ask now. Where it may not, it has answered.
func (s *server) withinRate(w http.ResponseWriter, id string) bool {
	wait := s.keyRates.wait(id, s.Now())
	if wait > 0 {
		tooFast(w, wait, "the key asks too often")
	}
	return wait == 0
}

// isPublic tells which paths are open to everyone: the panel's own files and what says how the process is. Of a path that
// is not written in the shortest way the multiplexer would tell whether the short one exists.
func isPublic(p string) bool {
	switch p {
	case "/", "/healthz", "/readyz", "/openapi.json", asyncAPIPath:
		return true
	}
	return strings.HasPrefix(p, "/panel/") && path.Clean(p) == p
}

// guard makes an operation ask for a key with the scope, and say so in the OpenAPI document. Without keys it does
// nothing.
func (s *server) guard(op huma.Operation, scope string) huma.Operation {
	if s.Keys == nil {
		return op
	}
	op.Security = []map[string][]string{{schemeBearer: {scope}}, {schemeHeader: {scope}}}
	limited := *op.Responses["401"]
	limited.Description = http.StatusText(http.StatusTooManyRequests)
	op.Responses["429"] = &limited
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		v := visitorOf(ctx.Context())
		if v.scopes.has(scope) {
			next(ctx)
			return
		}
		s.refused.note(ctx.Context(), attempt{keyID: v.keyID, reason: "lacks the scope " + scope, remote: ctx.RemoteAddr()})
		_, w := humago.Unwrap(ctx)
		writeProblem(w, problem(http.StatusForbidden, "the key lacks the scope "+scope))
	})
	return op
}

// mayRead tells whether a request with these headers may see what needs ScopeRead, now: a key may have gone since it came.
func (s *server) mayRead(authorization, apiKey string) bool {
	if s.Keys == nil {
		return true
	}
	_, granted, _ := s.Keys.find(tokenOf(authorization, apiKey), s.Now())
	return granted.has(ScopeRead)
}
