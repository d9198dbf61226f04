package guard

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// Headers of the CORS protocol (Fetch 3.3).
const (
	allowOrigin      = "Access-Control-Allow-Origin"
	allowCredentials = "Access-Control-Allow-Credentials"
	allowMethods     = "Access-Control-Allow-Methods"
	allowHeaders     = "Access-Control-Allow-Headers"
	exposeHeaders    = "Access-Control-Expose-Headers"
	corsMaxAge       = "Access-Control-Max-Age"
	requestMethod    = "Access-Control-Request-Method"
	requestHeaders   = "Access-Control-Request-Headers"
)

// maxRequestHeaders is how much of a preflight's list of headers is repeated, in bytes.
const maxRequestHeaders = 4 << 10

// listed returns the request's origin if the rule lists it, or nothing.
func (r *Rule) listed(h http.Header) string {
	if origins := h["Origin"]; len(origins) == 1 && slices.Contains(r.CORS, origins[0]) {
		return origins[0]
	}
	return ""
}

// preflight answers what a browser asks before it lets a script of another
// origin send a request (Fetch 4.8); it carries no credentials. Metadata is
// for every origin and is asked for elsewhere.
func (g *Gate) preflight(w http.ResponseWriter, r *http.Request, s *site, client mux.Client, origin string) (handled bool, err error) {
	if !isPreflight(r) || s.metadata[decodedPath(client.OrigURI)] != nil {
		return false, nil
	}
	h := w.Header()
	h.Add("Vary", requestMethod+", "+requestHeaders)
	if origin == "" {
		return true, &Denial{Status: http.StatusForbidden, Cause: fault.New(fault.CrossSite, "scripts of that origin may not call this site")}
	}
	h.Set(allowMethods, methodsFor(r.Header.Get(requestMethod)))
	if names := strings.Join(r.Header[requestHeaders], ","); validList(names) {
		h.Set(allowHeaders, names)
	}
	h.Set(corsMaxAge, "600")
	h.Del(exposeHeaders)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

// isPreflight reports whether a browser asks on behalf of a script.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get(requestMethod) != ""
}

// methodsFor lists the usual methods and the one that was asked for: which of
// them the upstream takes is its own business.
func methodsFor(asked string) string {
	const usual = "GET, HEAD, POST, PUT, PATCH, DELETE"
	if !validList(asked) || strings.Contains(asked, ",") || slices.Contains(strings.Split(usual, ", "), asked) {
		return usual
	}
	return usual + ", " + asked
}

// validList accepts a list of tokens (RFC 9110 5.6.1, 5.6.2).
func validList(s string) bool {
	if s == "" || len(s) > maxRequestHeaders {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~, ", c) >= 0) {
			return false
		}
	}
	return true
}

// share says who may read the answer: the origin, if there is one. It replaces
// what the header says about that, and keeps what the upstream exposes.
func share(h http.Header, origin string) {
	exposed := h[exposeHeaders]
	for _, name := range []string{allowOrigin, allowCredentials, allowMethods, allowHeaders, exposeHeaders, corsMaxAge} {
		h.Del(name)
	}
	if !slices.Contains(h["Vary"], "Origin") {
		h.Add("Vary", "Origin")
	}
	if origin == "" {
		return
	}
	h.Set(allowOrigin, origin)
	h.Set(allowCredentials, "true")
	expose := []string{"WWW-Authenticate"}
	for name := range strings.SplitSeq(strings.Join(exposed, ","), ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.ContainsFunc(expose, func(e string) bool { return strings.EqualFold(e, name) }) {
			expose = append(expose, name)
		}
	}
	h.Set(exposeHeaders, strings.Join(expose, ", "))
}

// sharing is the response of an upstream behind a gate with cors: what the
// upstream says about CORS gives way to what the gate says.
type sharing struct {
	http.ResponseWriter
	origin string // "": of no listed origin
	sent   bool
}

// WriteHeader replaces the upstream's CORS headers in the final response, and
// when the protocol is switched.
func (w *sharing) WriteHeader(status int) {
	if !w.sent && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.sent = true
		share(w.Header(), w.origin)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *sharing) Write(p []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// FlushError sends what there is, the header first.
func (w *sharing) FlushError() error {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush serves upstreams that look for an http.Flusher.
func (w *sharing) Flush() { _ = w.FlushError() } // it has no way to say

// Hijack serves upstreams that look for an http.Hijacker.
func (w *sharing) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// done serves handlers that answer without a word.
func (w *sharing) done() {
	if !w.sent {
		share(w.Header(), w.origin)
	}
}

// Unwrap serves http.ResponseController.
func (w *sharing) Unwrap() http.ResponseWriter { return w.ResponseWriter }
