package query

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// preflightAge is for how many seconds a browser need not ask again whether it may ask.
const preflightAge = 600

// CheckOrigin wants an origin as browsers send it: scheme, host and port and nothing else, in small letters. Only pages of
// this machine may come over plain HTTP. The error says what to write.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return errors.New("must name each origin; * would open the API to every page")
	case err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || u.Scheme+"://"+u.Host != origin:
		return errors.New("must be a scheme and a host and nothing else, such as https://studio.example.com")
	case origin != strings.ToLower(origin):
		return errors.New("must be written in small letters, as browsers send it")
	case u.Scheme != "https" && !(u.Scheme == "http" && IsLoopback(net.JoinHostPort(u.Hostname(), "0"))):
		return errors.New("must begin with https://; http:// is for pages of this machine")
	}
	return nil
}

// crossOrigin lets pages of the listed origins ask, and answers their browsers' questions whether they may. A page sends
// no cookie, so it gets nothing that it has no key for.
func (s *server) crossOrigin(next http.Handler) http.Handler {
	if len(s.Origins) == 0 {
		return next // the package would take no list for every origin
	}
	return cors.New(cors.Options{
		AllowedOrigins: slices.Clone(s.Origins),
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost},
		AllowedHeaders: slices.Concat(traceHeaders, []string{"Authorization", "X-API-Key", "Content-Type", idempotencyKey, "If-None-Match", "Last-Event-ID"}),
		ExposedHeaders: []string{"ETag", "Location", "Retry-After", "Content-Disposition"},
		MaxAge:         preflightAge,
	}).Handler(next)
}
