package query

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// refuseAtDoor guards an open window. Without keys, whatever a browser on this machine can be made to send would be
// taken: so the Host must be ours, and a page of another origin gets nothing. With keys, only who knows one is heard.
func (s *server) refuseAtDoor(r *http.Request) *huma.ErrorModel {
	switch {
	case s.Keys != nil:
		return nil
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

// guard makes an operation ask for a key with the scope, and say so in the OpenAPI document. Without keys it does
// nothing.
func (s *server) guard(op huma.Operation, scope string) huma.Operation {
	if s.Keys == nil {
		return op
	}
	op.Security = []map[string][]string{{schemeBearer: {scope}}, {schemeHeader: {scope}}}
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		if s.admit(ctx, scope) {
			next(ctx)
		}
	})
	return op
}

// admit checks the key of a request. Where it refuses, it has answered.
func (s *server) admit(ctx huma.Context, scope string) bool {
	token := tokenOf(ctx.Header("Authorization"), ctx.Header("X-API-Key"))
	id, granted, known := s.Keys.find(token)
	if known && granted.has(scope) {
		return true
	}
	if token != "" {
		// The id is empty unless the file has it: what a stranger sends as an id may be half a secret.
		s.Log.WarnContext(ctx.Context(), "api key refused", "key_id", id, "known", known, "scope", scope,
			"remote_addr", ctx.RemoteAddr())
	}
	refused := problem(http.StatusForbidden, "the key lacks the scope "+scope)
	if !known {
		refused = problem(http.StatusUnauthorized, "give a valid key: Authorization: Bearer <id>.<secret>, or X-API-Key")
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="runmetrics"`)
	}
	_, w := humago.Unwrap(ctx)
	writeProblem(w, refused)
	return false
}
