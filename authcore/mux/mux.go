// Package mux is the edge that every face shares: routing, the request event,
// cookies, cross-origin checks, security headers, rendering of errors.
//
// It is the only package that writes error bodies. It knows no pool, no token
// and no page: pages reach it as rendered documents.
package mux

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// MaxBody is the largest request body that our endpoints read, in bytes.
const MaxBody = 64 << 10

// bodyTime is how long a client may take to send a body.
const bodyTime = 20 * time.Second

// Handler answers a request, or returns an error for the edge to render. It
// must not have written anything when it returns an error.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Document is a rendered page with what its content security policy must allow.
type Document struct {
	HTML        []byte
	Styles      []string // hashes of inline styles, "sha256-…"
	Scripts     []string
	FormTargets []string // schemes and origins that a form of the page may lead to, besides its own
}

// ErrorPage renders the page for an error; status is chosen by mux.
type ErrorPage func(r *http.Request, err error, status int, reference string) (Document, error)

// Options configures a Mux.
type Options struct {
	Pool      string       // id of the pool that is served, for the events
	Prefix    string       // "" or "/_auth"; patterns are below it
	ErrorPage ErrorPage    // nil: plain text
	Logger    *slog.Logger // nil: discards
}

// face is how a route answers: which headers its responses begin with and how
// its errors look.
type face int

const (
	pageFace face = iota
	entryFace
	apiFace
	publicFace
	treeFace
)

type route struct {
	face    face
	pattern string
	maxAge  time.Duration
	allow   func(origin string) bool // nil: no script of another origin
	handle  Handler
}

// Mux routes what is ours, by exact path. Build it once, then only serve.
type Mux struct {
	options Options
	routes  map[string]map[string]*route // path, method
	trees   map[string]*route            // by the path that they are below
}

// New returns a Mux.
func New(o Options) *Mux {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Mux{options: o, routes: map[string]map[string]*route{}}
}

// Page registers a page: pattern is "GET /login" (GET answers HEAD as well). Errors become error pages,
// responses are no-store, unsafe methods need a same-origin proof
// (SameOrigin; fault.CrossSite without one).
func (m *Mux) Page(pattern string, h Handler) { m.register(pattern, route{face: pageFace, handle: h}) }

// Entry registers a page that forms of other sites may post to. An unsafe
// request without a same-origin proof reaches it without cookies.
func (m *Mux) Entry(pattern string, h Handler) {
	m.register(pattern, route{face: entryFace, handle: h})
}

// API registers an endpoint that ignores cookies, and never sees one: errors become OAuth JSON
// (RFC 6749 5.2), responses are no-store.
func (m *Mux) API(pattern string, h Handler) { m.register(pattern, route{face: apiFace, handle: h}) }

// Public registers a document for anybody: CORS *, cacheable for maxAge. path is absolute, not below the
// prefix, when it begins with "//" (well-known forms).
func (m *Mux) Public(pattern string, maxAge time.Duration, h Handler) {
	m.register(pattern, route{face: publicFace, maxAge: maxAge, handle: h})
}

// register panics on a pattern that is damaged or taken: both are mistakes in
// this module, found by any test that builds a Mux.
func (m *Mux) register(pattern string, rt route) {
	method, path, ok := strings.Cut(pattern, " ")
	if !ok || method == "" || !strings.HasPrefix(path, "/") || rt.handle == nil {
		panic(fmt.Sprintf("mux: pattern %q", pattern))
	}
	rt.pattern = pattern
	if absolute, ok := strings.CutPrefix(path, "//"); ok {
		path = "/" + absolute
	} else {
		path = m.options.Prefix + path
	}
	if m.routes[path] == nil {
		m.routes[path] = map[string]*route{}
	}
	if m.routes[path][method] != nil {
		panic(fmt.Sprintf("mux: pattern %q registered twice", pattern))
	}
	m.routes[path][method] = &rt
}

// Matches reports whether the path is one of ours, whatever the method. path
// is that of the original request, decoded once.
func (m *Mux) Matches(path string) bool { return m.routes[path] != nil || m.tree(path) != nil }

// ServeHTTP answers; a path that is not ours is a 404 page, a wrong method
// 405. Handlers see the URI as it was before any rewrite.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	event := newEvent()
	event.Pool = m.options.Pool
	out := &recorder{ResponseWriter: w}
	r = original(r.WithContext(withEvent(r.Context(), event)))
	rt := m.find(r)
	event.Endpoint = rt.pattern
	if r.ContentLength != 0 {
		// A server that cannot do it has limits of its own.
		_ = http.NewResponseController(w).SetReadDeadline(start.Add(bodyTime))
	}

	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			m.fail(out, r, rt, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
		m.log(r, event, out.status, time.Since(start))
		if p == http.ErrAbortHandler {
			panic(p)
		}
	}()
	if err := m.answer(out, r, rt); err != nil {
		m.fail(out, r, rt, err)
	}
}

// original undoes rewrites: what is ours is matched on what the client sent.
func original(r *http.Request) *http.Request {
	uri := ClientOf(r).OrigURI
	if uri == r.URL.RequestURI() {
		return r
	}
	u, err := url.ParseRequestURI(uri)
	if err != nil {
		return r
	}
	r2 := *r
	r2.URL = u
	return &r2
}

// find returns the route of a request; one that refuses if there is none.
func (m *Mux) find(r *http.Request) *route {
	methods := m.routes[r.URL.Path]
	if rt := m.tree(r.URL.Path); methods == nil && rt != nil {
		return rt
	}
	if methods == nil {
		return &route{pattern: "not found", handle: func(http.ResponseWriter, *http.Request) error {
			return fault.New(fault.NotFound, "There is nothing at this address.")
		}}
	}
	if rt := methods[r.Method]; rt != nil {
		return rt
	}
	if rt := methods[http.MethodGet]; rt != nil && r.Method == http.MethodHead {
		return rt
	}
	return other(methods)
}

// other answers the methods that nobody registered: OPTIONS with what there
// is, everything else with 405 (RFC 9110 15.5.6).
func other(methods map[string]*route) *route {
	allowed := slices.Sorted(maps.Keys(methods))
	first := methods[allowed[0]]
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	allow := strings.Join(append(allowed, http.MethodOptions), ", ")
	f := first.face
	if f == pageFace {
		f = entryFace // a refused method needs no proof to be refused
	}
	return &route{face: f, pattern: first.pattern, allow: first.allow, handle: func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", allow)
		if r.Method != http.MethodOptions {
			return errMethod
		}
		if f == publicFace {
			w.Header().Set("Access-Control-Allow-Methods", allow)
			w.Header().Set("Access-Control-Allow-Headers", "*")
			w.Header().Set("Access-Control-Max-Age", "600")
		}
		if first.allow != nil {
			preflight(w, r, first, allow)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}}
}

// answer runs a route behind the checks of its face.
func (m *Mux) answer(w http.ResponseWriter, r *http.Request, rt *route) error {
	secure(w.Header())
	if rt.allow != nil {
		w.Header().Add("Vary", "Origin")
	}
	switch rt.face {
	case pageFace:
		if unsafe(r.Method) && !SameOrigin(r) {
			return fault.New(fault.CrossSite, "This form was sent from another site.")
		}
	case entryFace:
		if unsafe(r.Method) && !SameOrigin(r) {
			r = withoutCookies(r)
		}
	case apiFace, treeFace:
		w.Header().Set("Pragma", "no-cache") // RFC 6749 5.1
		r = withoutCookies(r)
	case publicFace:
		public(w.Header(), rt.maxAge)
		r = withoutCookies(r)
	}
	return rt.handle(w, r)
}

func withoutCookies(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Cookie")
	return r
}

// fail renders an error in the way of the route, if nothing was sent yet.
func (m *Mux) fail(out *recorder, r *http.Request, rt *route, err error) {
	event := EventOf(r.Context())
	if event.Err == nil {
		event.Err = err
	}
	if event.Outcome == "" || event.Outcome == outcomeOK {
		event.Outcome = string(codeOf(err))
	}
	if out.status != 0 {
		return
	}
	out.Header().Set("Cache-Control", "no-store")
	switch rt.face {
	case apiFace, publicFace:
		WriteOAuthError(out, r, err)
	case treeFace:
		WriteAPIError(out, r, err)
	default:
		m.writeErrorPage(out, r, err)
	}
}
