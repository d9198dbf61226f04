package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func init() {
	caddy.RegisterModule(Login{})
	caddy.RegisterModule(Gate{})
}

// Login makes a site a pool's login and token host. Requests for paths that
// are not its own go on to the next handler.
type Login struct {
	// Pool is the pool's name; "default" by default.
	Pool string `json:"pool,omitempty"`
	// OneSite puts all paths under /_auth, on an application's own origin.
	OneSite bool `json:"one_site,omitempty"`
	// Where is the place in the configuration, for errors.
	Where string `json:"where,omitempty"`

	app     *App
	at      string // the origin at which it serves; empty: the pool's login is at another site
	handler authcore.LoginHandler
}

// CaddyModule returns the module's information.
func (Login) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_login", New: func() caddy.Module { return new(Login) }}
}

// Provision joins the app.
func (l *Login) Provision(ctx caddy.Context) (err error) {
	if l.Pool == "" {
		l.Pool = defaultPool
	}
	if l.app, err = appOf(ctx); err != nil {
		return err
	}
	if err := l.app.known(l.Pool, l.Where); err != nil {
		return err
	}
	l.app.logins = append(l.app.logins, l)
	return nil
}

// ServeHTTP answers the login host's paths, by the request as it was before
// any rewrite.
func (l *Login) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	nameOf(r)
	leave, err := l.app.enter(r)
	if err != nil {
		return refuseStart(w, err)
	}
	defer leave()
	client := clientOf(r)
	u, err := url.ParseRequestURI(client.OrigURI)
	if l.at != client.Origin || err != nil || !l.handler.Matches(u.Path) {
		return next.ServeHTTP(w, r)
	}
	l.handler.ServeHTTP(w, r.WithContext(mux.WithClient(r.Context(), client)))
	return nil
}

// refuseStart is the answer before the app is ready.
func refuseStart(w http.ResponseWriter, err error) error {
	w.Header().Set("Retry-After", "5")
	return err
}

// Gate stands in front of what follows it in a site.
type Gate struct {
	// Pool is the pool's name; "default" by default.
	Pool string `json:"pool,omitempty"`
	// Mode is "require" (default) or "public": name a caller who has a
	// session, refuse nobody.
	Mode string `json:"mode,omitempty"`
	// MatcherSetsRaw limits the line to requests that match; the matcher is
	// in here, not on the route, so that lines run in the order of the file.
	MatcherSetsRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`
	// Conditions are what a caller must meet, all of them: scope:x, client:x,
	// group:a|b, acr:x, max_age:5m, browser, api.
	Conditions []string `json:"conditions,omitempty"`
	// CORS are the origins whose scripts may call the site, with its cookie too.
	CORS []string `json:"cors,omitempty"`
	// Strict refuses requests while revocations may be more than 5 s old.
	Strict bool `json:"strict,omitempty"`
	// Public paths are open to all: exact, or ending in /*.
	Public []string `json:"public,omitempty"`
	// Resource is the audience of tokens for this site; its origin by default.
	Resource string `json:"resource,omitempty"`
	// Headers is the preset of identity headers: "" (X-Auth-*), remote,
	// x-forwarded, alb or none.
	Headers string `json:"headers,omitempty"`
	// StripToken keeps the bearer token from the upstream.
	StripToken bool `json:"strip_token,omitempty"`
	// Where is the place in the configuration, for errors.
	Where string `json:"where,omitempty"`

	app      *App
	matchers caddyhttp.MatcherSets
	rule     guard.Rule
	origins  []string
	handled  []string // origins, and patterns of them, whose errors are handled by routes
	gate     *guard.Gate
}

// CaddyModule returns the module's information.
func (Gate) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.gatehouse_require", New: func() caddy.Module { return new(Gate) }}
}

// Provision joins the app and parses the rule.
func (g *Gate) Provision(ctx caddy.Context) (err error) {
	if g.Pool == "" {
		g.Pool = defaultPool
	}
	if g.app, err = appOf(ctx); err != nil {
		return err
	}
	if err := g.app.known(g.Pool, g.Where); err != nil {
		return err
	}
	if g.rule, err = g.parse(); err != nil {
		return at(g.Where, err)
	}
	if err := g.app.knownConditions(g); err != nil {
		return at(g.Where, err)
	}
	if g.MatcherSetsRaw != nil {
		raw, err := ctx.LoadModule(g, "MatcherSetsRaw")
		if err != nil {
			return at(g.Where, fmt.Errorf("matcher: %w", err))
		}
		if err := g.matchers.FromInterface(raw); err != nil {
			return at(g.Where, fmt.Errorf("matcher: %w", err))
		}
	}
	g.app.gates = append(g.app.gates, g)
	return nil
}

// ServeHTTP judges a request.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	name := nameOf(r)
	client := clientOf(r)
	applies, err := g.applies(r, client.OrigURI)
	if err != nil {
		return err // the matcher could not tell: nobody passes
	}
	if !applies {
		return next.ServeHTTP(w, r)
	}
	leave, err := g.app.enter(r)
	if err != nil {
		return refuseStart(w, err)
	}
	defer leave()
	ctx := mux.WithClient(r.Context(), client)
	if g.handles(client.Origin) {
		ctx = guard.WithMemory(ctx, memoryOf(r))
	}
	r = r.WithContext(ctx)
	err = g.gate.Handle(w, r, func(w http.ResponseWriter, r *http.Request, who guard.Identity) error {
		name.who = who.Principal
		return next.ServeHTTP(w, r)
	})
	var denial *guard.Denial
	if err != nil && errors.As(err, &denial) {
		name.who = nil
		return g.deny(w, r, client.Origin, denial)
	}
	return err
}

// memoryVar names the variable of a request that its gates share.
const memoryVar = "gatehouse.memory"

// memoryOf returns the memory that a request's gates share, those on routes
// for errors included.
func memoryOf(r *http.Request) *guard.Memory {
	m, ok := caddyhttp.GetVar(r.Context(), memoryVar).(*guard.Memory)
	if !ok {
		m = new(guard.Memory)
		caddyhttp.SetVar(r.Context(), memoryVar, m)
	}
	return m
}

// applies reports whether the line is for a request: if its matcher takes the
// request as it is, or under another reading of its path, before rewrites or
// after. A line tightens, so that in doubt it applies.
func (g *Gate) applies(r *http.Request, origURI string) (bool, error) {
	if len(g.matchers) == 0 {
		return true, nil
	}
	if match, err := g.matchers.AnyMatchWithError(r); match || err != nil {
		return match, err
	}
	original, err := url.ParseRequestURI(origURI)
	if err != nil {
		return true, nil
	}
	own := r.URL.EscapedPath()
	for _, path := range []string{own, original.EscapedPath()} {
		if path == own && plain(path) {
			continue // read in one way only, and that was asked
		}
		forms, all := readings(path)
		if !all {
			return true, nil
		}
		for _, form := range forms {
			reading := *r
			reading.URL = &url.URL{Path: form, RawQuery: r.URL.RawQuery}
			if match, err := g.matchers.AnyMatchWithError(&reading); match || err != nil {
				return match, err
			}
		}
	}
	return false, nil
}

// handles reports whether routes for errors answer for an origin.
func (g *Gate) handles(origin string) bool {
	return slices.ContainsFunc(g.handled, func(pattern string) bool { return reaches(pattern, origin) })
}

// deny answers a refusal: a page for a person, unless the site handles errors
// itself; else an error of Caddy's, whose headers are already set.
func (g *Gate) deny(w http.ResponseWriter, r *http.Request, origin string, d *guard.Denial) error {
	maps.Copy(w.Header(), d.Header)
	if d.Browser && !g.handles(origin) {
		g.app.engine.DenialPage(w, r, g.Pool, d)
		return nil
	}
	return caddyhttp.Error(d.Status, d)
}

// named answers the placeholders {http.auth.user.*}, by which logs and other
// directives learn who a request is: nobody, until a gate has let it pass.
type named struct{ who *pool.Principal } // nil: nobody

// namedVar names the variable of a request that holds its named.
const namedVar = "gatehouse.named"

// nameOf returns a request's named. The first of our handlers that a request
// meets makes the placeholders known, so that they are there on every outcome.
func nameOf(r *http.Request) *named {
	if n, ok := caddyhttp.GetVar(r.Context(), namedVar).(*named); ok {
		return n
	}
	n := &named{}
	if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(n.value)
	}
	caddyhttp.SetVar(r.Context(), namedVar, n)
	return n
}

// value is a caddy.ReplacerFunc.
func (n *named) value(key string) (any, bool) {
	field, ok := strings.CutPrefix(key, "http.auth.user.")
	if !ok {
		return nil, false
	}
	who := n.who
	if who == nil {
		who = &pool.Principal{}
	}
	switch field {
	case "id":
		return string(who.Sub), true
	case "name":
		return who.Name, true
	case "email":
		return who.Email, true
	case "groups":
		return strings.Join(who.Groups, ","), true
	case "scopes":
		return strings.Join(who.Scopes, ","), true
	case "client":
		return string(who.Client), true
	}
	return nil, false
}

// clientOf gathers what Caddy knows about a request from trusted sources: its
// own connection, or proxies that the operator trusts.
func clientOf(r *http.Request) mux.Client {
	c := mux.Client{OrigURI: r.RequestURI}
	c.Address, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if proto := only(r.Header, "X-Forwarded-Proto"); proto == "http" || proto == "https" {
			scheme = proto
		}
		if forwarded := only(r.Header, "X-Forwarded-Host"); forwarded != "" {
			host = forwarded
		}
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		c.OrigURI = original.RequestURI
	}
	c.Origin = origin(scheme, host)
	return c
}

// only returns a header's value if it is the only one.
func only(h http.Header, name string) string {
	if list := h.Values(name); len(list) == 1 && !strings.Contains(list[0], ",") {
		return strings.TrimSpace(list[0])
	}
	return ""
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Login)(nil)
	_ caddyhttp.MiddlewareHandler = (*Login)(nil)
	_ caddy.Provisioner           = (*Gate)(nil)
	_ caddyhttp.MiddlewareHandler = (*Gate)(nil)
)
