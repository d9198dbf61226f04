package caddymodule

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/intercept"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// A directive cannot see its site's address while it is adapted, and a
// handler cannot ask for the http app while that is being provisioned. So the
// app walks the provisioned servers when it starts and pairs each of our
// handlers with the origins that lead to it.

// place walks the http app and fills in where everything is.
func (a *App) place() error {
	for _, l := range a.logins {
		l.origins, l.elsewhere = nil, false
	}
	for _, g := range a.gates {
		g.origins = nil
	}
	m, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		if len(a.logins)+len(a.gates) == 0 {
			return nil // no site at all
		}
		return fmt.Errorf("gatehouse: %w", err)
	}
	var problems []error
	for _, name := range sortedKeys(m.(*caddyhttp.App).Servers) {
		w := walker{app: m.(*caddyhttp.App), server: m.(*caddyhttp.App).Servers[name]}
		problems = append(problems, w.walk()...)
	}
	problems = append(problems, a.settle()...)
	return errors.Join(problems...)
}

// settle turns the origins that were found into the pools' configuration.
func (a *App) settle() []error {
	var problems []error
	for i := range a.config.Pools {
		p := &a.config.Pools[i]
		p.Sites = nil
		if err := a.settleLogin(p); err != nil {
			problems = append(problems, err)
		}
	}
	for _, g := range a.gates {
		if len(g.origins) == 0 {
			problems = append(problems, fmt.Errorf("%s: no site leads to this gate by a host name: give the site an address such as app.example.com", g.Where))
			continue
		}
		p := a.poolConfig(g.Pool)
		for _, o := range g.origins {
			i := slices.IndexFunc(p.Sites, func(s authcore.SiteConfig) bool { return s.Origin == o })
			switch {
			case i < 0:
				p.Sites = append(p.Sites, authcore.SiteConfig{Origin: o, Resource: g.Resource})
			case p.Sites[i].Resource == "":
				p.Sites[i].Resource = g.Resource
			}
		}
		if p.Login.Origin == "" {
			problems = append(problems, fmt.Errorf("%s: the pool %s has no login site: add `gatehouse_login` to a site of its own, or use `gatehouse` here", g.Where, g.Pool))
		}
	}
	return problems
}

// settleLogin finds the one origin that serves a pool's login.
func (a *App) settleLogin(p *authcore.PoolConfig) error {
	p.Login = authcore.LoginConfig{}
	type login struct {
		handler *Login
		authcore.LoginConfig
	}
	var all []login
	for _, l := range a.logins {
		if l.Pool != p.Name {
			continue
		}
		if len(l.origins) == 0 {
			return fmt.Errorf("%s: no site leads to this login by a host name: give the site an address such as login.example.com", l.Where)
		}
		prefix := ""
		if l.OneSite {
			prefix = "/_auth"
		}
		for _, o := range l.origins {
			all = append(all, login{l, authcore.LoginConfig{Origin: o, Prefix: prefix}})
		}
	}
	if len(all) == 0 {
		return nil
	}
	chosen := 0
	if len(all) > 1 {
		chosen = slices.IndexFunc(all, func(l login) bool { return p.Issuer == l.Origin+l.Prefix })
	}
	if chosen < 0 {
		var names []string
		for _, l := range all {
			names = append(names, l.Origin+l.Prefix)
		}
		return fmt.Errorf("%s: the pool %s has several login sites: choose one with `issuer` in the global options, one of %s", all[0].handler.Where, p.Name, strings.Join(names, ", "))
	}
	p.Login = all[chosen].LoginConfig
	for _, l := range all {
		l.handler.elsewhere = l.handler != all[chosen].handler
	}
	return nil
}

// walker walks one server.
type walker struct {
	app    *caddyhttp.App
	server *caddyhttp.Server
	site   *siteFound
	depth  int
}

// siteFound is what one top-level route of a server, usually a site, holds.
type siteFound struct {
	gates    []*Gate
	problems []error
	open     []string // proxying handlers that nothing stands in front of
}

// maxDepth bounds nesting; named routes may invoke one another.
const maxDepth = 32

// walk looks at every site of the server and at its error routes.
func (w *walker) walk() []error {
	var problems []error
	gated := map[string]bool{} // hosts with a gate
	for _, r := range w.server.Routes {
		w.site = &siteFound{}
		w.chain(caddyhttp.RouteList{r}, nil, false)
		problems = append(problems, w.site.judge()...)
		if len(w.site.gates) > 0 {
			for _, h := range hostsOf(r, nil) {
				gated[h] = true
			}
		}
	}
	if w.server.Errors == nil {
		return problems
	}
	for _, r := range w.server.Errors.Routes {
		w.site = &siteFound{}
		w.chain(caddyhttp.RouteList{r}, nil, false)
		hosts := hostsOf(r, nil)
		if len(gated) > 0 && (len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return gated[h] })) {
			w.site.gates = append(w.site.gates, &Gate{}) // a denied request must not reach an upstream this way
		}
		problems = append(problems, w.site.judge()...)
	}
	return problems
}

// judge refuses what would leave a gated site open.
func (s *siteFound) judge() []error {
	problems := s.problems
	if len(s.gates) == 0 {
		return problems
	}
	for _, open := range s.open {
		problems = append(problems, fmt.Errorf("%s on a site with a gate can be reached without one: add gatehouse_require, or gatehouse_public to say that it is open", open))
	}
	return problems
}

// chain walks routes in order and reports whether what follows them is gated.
func (w *walker) chain(routes caddyhttp.RouteList, hosts []string, gated bool) bool {
	if w.depth++; w.depth > maxDepth {
		w.site.problems = append(w.site.problems, errors.New("gatehouse: routes are nested too deeply, or invoke one another"))
		return gated
	}
	defer func() { w.depth-- }()
	for _, r := range routes {
		inner := hostsOf(r, hosts)
		after := w.handlers(r.Handlers, inner, gated)
		// What a route gates holds for the routes behind it only if every
		// request takes it.
		if len(r.MatcherSets) == 0 && r.Group == "" {
			gated = after
		}
	}
	return gated
}

// handlers walks the handlers of one route in order.
func (w *walker) handlers(list []caddyhttp.MiddlewareHandler, hosts []string, gated bool) bool {
	for _, h := range list {
		switch h := h.(type) {
		case *Gate:
			gated = w.gate(h, hosts, gated)
		case *Login:
			h.origins = appendNew(h.origins, w.origins(hosts))
		case *caddyhttp.Subroute:
			after := w.chain(h.Routes, hosts, gated)
			if h.Errors != nil {
				w.chain(h.Errors.Routes, hosts, gated)
			}
			gated = after
		case *caddyhttp.Invoke:
			if r, ok := w.server.NamedRoutes[h.Name]; ok {
				gated = w.chain(caddyhttp.RouteList{*r}, hosts, gated)
			}
		case *reverseproxy.Handler:
			w.proxy("reverse_proxy", gated)
			for _, response := range h.HandleResponse {
				w.chain(response.Routes, hosts, gated)
			}
		case *intercept.Intercept:
			for _, response := range h.HandleResponse {
				w.chain(response.Routes, hosts, gated)
			}
		default:
			if m, ok := h.(caddy.Module); ok && proxies(m.CaddyModule().ID) {
				w.proxy(m.CaddyModule().ID.Name(), gated)
			}
		}
	}
	return gated
}

// proxies reports whether a handler that we do not know by type hands
// requests to somebody else.
func proxies(id caddy.ModuleID) bool {
	name := id.Name()
	return strings.Contains(name, "proxy") || strings.Contains(name, "fastcgi") || strings.Contains(name, "cgi") || strings.Contains(name, "forward")
}

func (w *walker) proxy(name string, gated bool) {
	if !gated {
		w.site.open = append(w.site.open, name)
	}
}

// gate notes a gate and its origins. The first line of a route must hold for
// every request: one with a matcher leaves the others open.
func (w *walker) gate(g *Gate, hosts []string, gated bool) bool {
	w.site.gates = append(w.site.gates, g)
	g.origins = appendNew(g.origins, w.origins(hosts))
	if len(g.matchers) > 0 && !gated {
		w.site.problems = append(w.site.problems, fmt.Errorf("%s: the first gatehouse line of a site must have no matcher, or requests that do not match pass unchecked: put `gatehouse_require` or `gatehouse_public` without one before it", g.Where))
		return true // said once
	}
	return true
}

// hostsOf returns the host names under which a route is reached: its own
// matchers', or those around it. Empty means any host.
func hostsOf(r caddyhttp.Route, around []string) []string {
	var own []string
	for _, set := range r.MatcherSets {
		found := false
		for _, m := range set {
			switch m := m.(type) {
			case *caddyhttp.MatchHost:
				own, found = append(own, *m...), true
			case caddyhttp.MatchHost:
				own, found = append(own, m...), true
			}
		}
		if !found {
			return around
		}
	}
	if len(own) == 0 {
		return around
	}
	return own
}

// origins combines hosts with the server's ports and schemes. A host with a
// wildcard or a placeholder has no origin.
func (w *walker) origins(hosts []string) []string {
	var out []string
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
				if strings.ContainsAny(h, "*{}") {
					continue
				}
				out = appendNew(out, []string{origin(scheme, w.withPort(scheme, h, port))})
			}
		}
	}
	return out
}

// withPort adds a port that is not what people see as their scheme's default;
// http_port and https_port stand for 80 and 443, as behind a port forward.
func (w *walker) withPort(scheme, host string, port int) string {
	if scheme == "http" && port == w.httpPort() || scheme == "https" && port == w.httpsPort() {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

func (w *walker) httpPort() int {
	if w.app.HTTPPort != 0 {
		return w.app.HTTPPort
	}
	return caddyhttp.DefaultHTTPPort
}

func (w *walker) httpsPort() int {
	if w.app.HTTPSPort != 0 {
		return w.app.HTTPSPort
	}
	return caddyhttp.DefaultHTTPSPort
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
