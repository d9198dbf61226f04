package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// maxDepth bounds nesting; named routes may invoke one another.
const maxDepth = 32

// finds is what a walk over all servers found out.
type finds struct {
	problems []error
	gates    []gateFound
	logins   []loginFound
	open     []openFound
}

// gateFound is a gate with one way that leads to it.
type gateFound struct {
	gate    *Gate
	route   int // number of the top-level route, over all servers
	hosts   []string
	origins []string // exact ones, and patterns whose host is * or begins with *.
	auth    bool     // requests for /_auth/* come this way
	whole   bool     // no request for its hosts goes on to other top-level routes
}

// loginFound is a login with one way that leads to it.
type loginFound struct {
	login   *Login
	route   int
	origins []string // its own
	behind  []string // if TLS ends in front of us
}

// openFound is a handler that proxies, reached without a gate before it.
type openFound struct {
	name    string
	route   int
	hosts   []string // empty: any host
	origins []string
	errors  *Gate // on error routes: a gate whose refusals may come here
}

// way is what lies between a server and a handler.
type way struct {
	hosts   []string // empty: any host
	gated   bool
	handled bool // errors are handled by routes around it
	auth    bool // requests for /_auth/* come this way
	root    bool // requests for /oauth2/* come this way
}

// walker walks one server.
type walker struct {
	*finds
	app    *caddyhttp.App
	server *caddyhttp.Server
	route  int
	whole  bool // of the top-level route: it takes every request for its hosts
	depth  int
	// errorHosts are the hosts whose errors are handled by routes; any host if
	// errorAny is set.
	errorHosts []string
	errorAny   bool
}

// walk looks at every route of a server, its error routes included. Its first
// top-level route has the number route; the next server's is returned.
func (f *finds) walk(app *caddyhttp.App, server *caddyhttp.Server, route int) int {
	w := &walker{finds: f, app: app, server: server, route: route}
	var errorRoutes caddyhttp.RouteList
	if server.Errors != nil {
		errorRoutes = server.Errors.Routes
	}
	for _, r := range errorRoutes {
		hosts, _ := within(r, nil)
		w.errorHosts, w.errorAny = append(w.errorHosts, hosts...), w.errorAny || len(hosts) == 0
	}
	gates := len(f.gates)
	for _, r := range server.Routes {
		w.whole = whole(r)
		w.chain(caddyhttp.RouteList{r}, way{auth: true, root: true})
		w.route++
	}
	gated := f.gates[gates:]
	for _, r := range errorRoutes {
		open := len(f.open)
		w.whole = whole(r)
		w.chain(caddyhttp.RouteList{r}, way{auth: true, root: true, handled: true})
		for i := range f.open[open:] {
			o := &f.open[open+i]
			if i := slices.IndexFunc(gated, func(g gateFound) bool { return meet(g.hosts, o.hosts) }); i >= 0 {
				o.errors = gated[i].gate
			}
		}
		w.route++
	}
	return w.route
}

// whole reports whether a route takes every request for its hosts, and passes
// none on.
func whole(r caddyhttp.Route) bool {
	return r.Terminal && !slices.ContainsFunc(r.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		_, found := hostsOf(set)
		return !found || len(set) > 1
	})
}

// meet reports whether a host may be among both lists of patterns: then a
// request that a gate on the one way denied may go on by the other.
func meet(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(x string) bool {
		return slices.ContainsFunc(b, func(y string) bool { return covers(x, y) || covers(y, x) })
	})
}

// chain walks routes in order and reports whether what follows them is gated.
func (w *walker) chain(routes caddyhttp.RouteList, on way) bool {
	if w.depth++; w.depth > maxDepth {
		w.problem("", errors.New("gatehouse: routes are nested too deeply, or invoke one another"))
		return on.gated
	}
	defer func() { w.depth-- }()
	for _, r := range routes {
		inner, reached := on, false
		if inner.hosts, reached = within(r, on.hosts); !reached {
			continue
		}
		inner.auth = on.auth && admits(r, "/_auth/callback")
		inner.root = on.root && admits(r, "/oauth2/authorize")
		after := w.handlers(r.Handlers, inner)
		// What a route gates holds for the routes behind it only if every
		// request takes it.
		if len(r.MatcherSets) == 0 && r.Group == "" {
			on.gated = after
		}
	}
	return on.gated
}

// handlers walks the handlers of one route in order, and reports whether what
// follows them is gated.
func (w *walker) handlers(list []caddyhttp.MiddlewareHandler, on way) bool {
	for _, h := range list {
		switch h := h.(type) {
		case *Gate:
			w.gate(h, on)
			on.gated = true
		case *Login:
			w.login(h, on)
		case *caddyhttp.Subroute:
			on.gated = w.subroute(h, on)
		case *caddyhttp.Invoke:
			if r, ok := w.server.NamedRoutes[h.Name]; ok {
				on.gated = w.chain(caddyhttp.RouteList{*r}, on)
			}
		case *reverseproxy.Handler:
			w.proxy("reverse_proxy", on)
			for _, response := range h.HandleResponse {
				w.chain(response.Routes, on)
			}
		case *intercept.Intercept:
			for _, response := range h.HandleResponse {
				w.chain(response.Routes, on)
			}
		default:
			if m, ok := h.(caddy.Module); ok && proxies(m.CaddyModule().ID) {
				w.proxy(m.CaddyModule().ID.Name(), on)
			}
		}
	}
	return on.gated
}

// subroute walks nested routes and their own error routes.
func (w *walker) subroute(s *caddyhttp.Subroute, on way) bool {
	if s.Errors == nil {
		return w.chain(s.Routes, on)
	}
	w.chain(s.Errors.Routes, on)
	on.handled = true
	return w.chain(s.Routes, on)
}

// proxies reports whether a handler that we do not know by type hands
// requests to somebody else.
func proxies(id caddy.ModuleID) bool {
	name := id.Name()
	return strings.Contains(name, "proxy") || strings.Contains(name, "cgi") || strings.Contains(name, "forward")
}

func (w *walker) problem(where string, err error) { w.problems = append(w.problems, at(where, err)) }

func (w *walker) proxy(name string, on way) {
	if on.gated {
		return
	}
	own, behind := w.origins(orAny(on.hosts))
	w.open = append(w.open, openFound{name: name, route: w.route, hosts: on.hosts, origins: append(own, behind...)})
}

// gate notes a gate and its origins. The first line must hold for every
// request: one with a matcher leaves the others open.
func (w *walker) gate(g *Gate, on way) {
	if err := w.addressed(on.hosts); err != nil {
		w.problem(g.Where, err)
		return
	}
	if len(g.matchers) > 0 && !on.gated {
		w.problem(g.Where, errors.New("the first gatehouse line of a site must have no matcher, or requests that do not match pass unchecked: put `gatehouse_require` or `gatehouse_public` without one before it"))
	}
	found := gateFound{gate: g, route: w.route, hosts: on.hosts, auth: on.auth, whole: w.whole}
	for _, h := range orAny(on.hosts) {
		own, behind := w.origins([]string{h})
		found.origins = append(found.origins, append(own, behind...)...)
		own, behind = w.origins(w.handled(h, on))
		g.handled = appendNew(g.handled, append(own, behind...))
	}
	g.origins = appendNew(g.origins, known(found.origins))
	w.gates = append(w.gates, found)
}

// handled returns those of a host's names whose errors are handled by routes.
func (w *walker) handled(host string, on way) (names []string) {
	if on.handled || w.errorAny {
		return []string{host}
	}
	for _, e := range w.errorHosts {
		switch {
		case host != anyHost && covers(e, host):
			return []string{host}
		case host == anyHost || covers(host, e):
			names = append(names, e)
		}
	}
	return names
}

// login notes a login and its origins.
func (w *walker) login(l *Login, on way) {
	if err := w.named(on.hosts); err != nil {
		w.problem(l.Where, err)
	}
	if l.OneSite && !on.auth || !l.OneSite && !on.root {
		w.problem(l.Where, errors.New("requests for the login's own paths do not come here: a path matcher stands around it"))
	}
	own, behind := w.origins(on.hosts)
	w.logins = append(w.logins, loginFound{l, w.route, own, behind})
}

// named demands that every host is one, so that each has an origin.
func (w *walker) named(hosts []string) error {
	if len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return strings.ContainsAny(h, "*{}") }) {
		return errors.New("a login needs a site with a host name of its own, and so an origin: give it an address such as login.example.com, without wildcard and placeholder")
	}
	return w.addressed(hosts)
}

// addressed demands hosts that a gate can stand for: names, names whose first
// label is a wildcard, or none at all.
func (w *walker) addressed(hosts []string) error {
	for _, h := range hosts {
		if strings.ContainsAny(h, "{}") {
			return fmt.Errorf("the host name %s has a placeholder, and so no origin that is known: write the name out, or as {$NAME}, which is read with the file", h)
		}
		if rest, _ := strings.CutPrefix(h, "*."); strings.Contains(rest, "*") {
			return fmt.Errorf("the host name %s: a wildcard may only be the whole first label, as in *.example.com", h)
		}
	}
	if own, _ := w.origins(orAny(hosts)); len(own) == 0 {
		return errors.New("the site listens on no network port, and so has no origin")
	}
	return nil
}

// within returns the hosts under which a route is reached on its way: its
// own, as far as they are among those around it. Empty means any host;
// reached is false if none is left.
func within(r caddyhttp.Route, around []string) (hosts []string, reached bool) {
	var own []string
	for _, set := range r.MatcherSets {
		names, found := hostsOf(set)
		if !found {
			return around, true
		}
		own = appendNew(own, names)
	}
	if len(own) == 0 || len(around) == 0 {
		return append(own, around...), true
	}
	var both []string
	for _, h := range own {
		for _, a := range around {
			switch {
			case covers(a, h):
				both = appendNew(both, []string{h})
			case covers(h, a):
				both = appendNew(both, []string{a})
			}
		}
	}
	return both, len(both) > 0
}

// hostsOf returns the hosts that a matcher set asks for.
func hostsOf(set caddyhttp.MatcherSet) (hosts []string, found bool) {
	for _, m := range set {
		switch m := m.(type) {
		case *caddyhttp.MatchHost:
			hosts, found = append(hosts, *m...), true
		case caddyhttp.MatchHost:
			hosts, found = append(hosts, m...), true
		}
	}
	return hosts, found
}

// covers reports whether a host matcher's pattern takes a host, which may be
// a pattern itself.
func covers(pattern, host string) bool {
	if strings.EqualFold(pattern, host) || strings.Contains(pattern, "{") {
		return true
	}
	want, have := strings.Split(strings.ToLower(pattern), "."), strings.Split(strings.ToLower(host), ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && want[i] != "*" {
			return false
		}
	}
	return true
}

// admits reports whether requests for a path may take a route: false only if
// each of its matcher sets has a path matcher that refuses it. Other matchers
// are taken to let it through.
func admits(r caddyhttp.Route, path string) bool {
	if len(r.MatcherSets) == 0 {
		return true
	}
	probe := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}, RequestURI: path, Header: http.Header{}, Body: http.NoBody}
	probe = caddyhttp.PrepareRequest(probe, caddy.NewReplacer(), nil, nil)
	return slices.ContainsFunc(r.MatcherSets, func(set caddyhttp.MatcherSet) bool {
		return !slices.ContainsFunc(set, func(m any) bool {
			switch m := m.(type) {
			case *caddyhttp.MatchPath:
				return !m.Match(probe)
			case caddyhttp.MatchPath:
				return !m.Match(probe)
			case *caddyhttp.MatchPathRE:
				return !m.Match(probe)
			}
			return false
		})
	})
}

// origins combines hosts with the server's ports and schemes; a wildcard gives
// a pattern of origins. A host with a placeholder has none. behind are the
// origins that a plain-HTTP site has if a trusted proxy in front of it ends
// TLS.
func (w *walker) origins(hosts []string) (own, behind []string) {
	for _, listen := range w.server.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil || addr.IsUnixNetwork() {
			continue
		}
		for offset := range addr.PortRangeSize() {
			port := int(addr.StartPort + offset)
			scheme := "http"
			if len(w.server.TLSConnPolicies) > 0 && port != w.httpPort() {
				scheme = "https"
			}
			for _, h := range hosts {
				if strings.ContainsAny(h, "{}") {
					continue
				}
				own = appendNew(own, []string{origin(scheme, w.withPort(scheme, h, port))})
				if scheme == "http" && !pool.Loopback(h) {
					behind = appendNew(behind, []string{origin("https", bracketed(h))})
				}
			}
		}
	}
	return own, behind
}

// withPort adds a port that is not what people see as their scheme's default;
// http_port and https_port stand for 80 and 443, as behind a port forward.
func (w *walker) withPort(scheme, host string, port int) string {
	if scheme == "http" && port == w.httpPort() || scheme == "https" && port == w.httpsPort() {
		return bracketed(host)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// bracketed writes an IPv6 address as it stands in a URL.
func bracketed(host string) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}

func (w *walker) httpPort() int {
	return cmp.Or(w.app.HTTPPort, caddyhttp.DefaultHTTPPort)
}

func (w *walker) httpsPort() int {
	return cmp.Or(w.app.HTTPSPort, caddyhttp.DefaultHTTPSPort)
}

// origin is the ASCII serialisation of an origin (RFC 6454 6.2): lower case,
// default ports dropped.
func origin(scheme, host string) string {
	host = strings.ToLower(host)
	if scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else {
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host
}

// appendNew appends what is not there yet.
func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
