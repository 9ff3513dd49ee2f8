package query

import (
	"net/http"
)

// secure sets headers that keep a browser from taking an answer for anything but data, and anybody from keeping it. What
// is a page, or may be kept, says so itself.
func secure(h http.Header, r *http.Request) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	// A browser that learned this of localhost would ask every other program on this machine for TLS.
	if r.TLS != nil && !IsLoopback(r.Host) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
