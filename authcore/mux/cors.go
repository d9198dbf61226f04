package mux

import (
	"net/http"
)

// Cross registers an API endpoint that scripts of other origins may call
// (CORS), never with credentials. allow answers preflights, which name an
// origin and nothing else; the handler, which knows more, opens its answer
// with AllowOrigin, or leaves it closed.
func (m *Mux) Cross(pattern string, allow func(origin string) bool, h Handler) {
	m.register(pattern, route{face: apiFace, allow: allow, handle: h})
}

// OriginOf returns the origin of the script that made the request; empty if
// none is named, if several are, or if it is opaque.
func OriginOf(r *http.Request) string {
	if values := r.Header["Origin"]; len(values) == 1 && values[0] != "null" {
		return values[0]
	}
	return ""
}

// AllowOrigin lets the script that made the request read the answer, and the
// challenge in it. The route must be one of Cross.
func AllowOrigin(w http.ResponseWriter, r *http.Request) {
	if origin := OriginOf(r); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	}
}

// preflight answers what a browser asks before a script's request (Fetch
// Standard, "CORS-preflight fetch"). Other headers than Authorization tell an
// API endpoint nothing, so all are let through.
func preflight(w http.ResponseWriter, r *http.Request, rt *route, methods string) {
	h := w.Header()
	origin := OriginOf(r)
	if origin == "" || !rt.allow(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, *")
	h.Set("Access-Control-Max-Age", "600")
}
