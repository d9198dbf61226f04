package authcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
)

// Engine is one configuration at work. Release it with Close.
type Engine struct {
	state    *State
	renderer page.Renderer
	pools    map[string]*hosted // by name
}

// hosted is a pool with its place.
type hosted struct {
	pool  *pool.Pool
	mux   *mux.Mux // nil if this configuration has no login host for the pool
	sites map[string]guard.Site
}

// New resolves a configuration against the state: pools get their stored
// identity, keys are made where they are missing. Nothing else that is shared
// changes.
func New(ctx context.Context, c Config, s *State) (*Engine, error) {
	e := &Engine{state: s, renderer: c.Renderer, pools: map[string]*hosted{}}
	if err := c.validate(true); err != nil {
		return nil, err
	}
	for _, pc := range c.Pools {
		h, err := e.host(ctx, pc)
		if err != nil {
			return nil, err
		}
		e.pools[h.pool.Name] = h
	}
	s.attach(e)
	return e, nil
}

// Close releases the engine; the state lives on.
func (e *Engine) Close() { e.state.detach(e) }

// host gives a configured pool its identity, keys, login host and sites.
func (e *Engine) host(ctx context.Context, c PoolConfig) (*hosted, error) {
	if c.Name == "" {
		c.Name = "default"
	}
	issuer := c.Issuer
	if issuer == "" {
		issuer = c.Login.Origin + c.Login.Prefix
	}
	if issuer == "" {
		return nil, fmt.Errorf("pool %s has no login site and no issuer: add `gatehouse_login %s` to a site", c.Name, c.Name)
	}
	id, err := e.state.repo.EnsurePool(ctx, c.Name, issuer)
	if errors.Is(err, fault.Conflict) && c.Issuer != "" {
		id, err = e.state.repo.MoveIssuer(ctx, c.Name, issuer)
	}
	if errors.Is(err, fault.Conflict) {
		return nil, fmt.Errorf("pool %s: this configuration would change its issuer to %s, which ends every token and passkey and breaks clients; keep the old address, or say so with `issuer %s`: %w", c.Name, issuer, issuer, err)
	}
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", c.Name, err)
	}
	p, err := resolve(c, id)
	if err != nil {
		return nil, err
	}
	if err := e.state.keys.Ensure(ctx, p.ID); err != nil {
		return nil, fmt.Errorf("pool %s: signing keys: %w", c.Name, err)
	}
	h := &hosted{pool: p, sites: map[string]guard.Site{}}
	h.place(c)
	if c.Login.Origin != "" {
		e.mount(h, c)
	}
	return h, nil
}

// place fills in the sites.
func (h *hosted) place(c PoolConfig) {
	p, base := h.pool, c.Login.Origin+c.Login.Prefix
	described := map[string][]string{}
	for _, site := range c.Sites {
		described[site.Origin] = append(described[site.Origin], cmp.Or(site.Resource, site.Origin))
	}
	for _, site := range c.Sites {
		if have, ok := h.sites[site.Origin]; ok && have.Resource == "" {
			continue // a gate that names no resource stands for the origin
		}
		h.sites[site.Origin] = guard.Site{
			Described: described[site.Origin],
			Pool:      p, Origin: site.Origin, Resource: site.Resource, Client: p.Clients[siteClient(site.Origin)],
			Login: base, OneSite: site.Origin == c.Login.Origin && c.Login.Prefix != "",
		}
	}
}

// mount builds the login host: every face of the pool on one mux.
func (e *Engine) mount(h *hosted, c PoolConfig) {
	s := e.state
	h.mux = mux.New(mux.Options{Pool: string(h.pool.ID), Prefix: c.Login.Prefix, ErrorPage: signin.ErrorPage(e.renderer, h.pool.Brand, c.Login.Prefix), Logger: s.log})
	oauth.New(oauth.Config{
		Tokens: s.tokens, Sessions: s.sessions, Users: s.repo, Accounts: s.accounts,
		Renderer: e.renderer, JWKS: s.jwks, Secret: s.repo.Secret, Locales: languages(e.renderer), Now: s.now,
	}).Mount(h.mux, oauth.Site{Pool: h.pool, Origin: c.Login.Origin, Prefix: c.Login.Prefix})
	site := signin.Site{Pool: h.pool, Origin: c.Login.Origin, Prefix: c.Login.Prefix}
	for _, origin := range visited(c.Sites) {
		site.Links = append(site.Links, page.Link{Label: origin, URL: origin})
	}
	if _, oneSite := h.sites[c.Login.Origin]; oneSite {
		site.Home = c.Login.Origin + "/"
	}
	signin.New(signin.Config{
		Accounts: s.accounts, Flow: s.flow, Sessions: s.sessions, Hints: s.tokens, Families: s.tokens, Renderer: e.renderer, Now: s.now,
	}).Mount(h.mux, site)
	s.admin.Mount(h.mux, admin.Site{Pool: h.pool, Prefix: c.Login.Prefix})
}

// jwks is a pool's published keys of one use.
func (s *State) jwks(ctx context.Context, id pool.ID, use pool.KeyUse) ([]byte, error) {
	set, err := s.keys.Set(ctx, id, use)
	if err != nil {
		return nil, err
	}
	return set.JWKS(), nil
}

// languages are those that a renderer says it speaks.
func languages(r page.Renderer) []string {
	if speaks, ok := r.(interface{ Languages() []string }); ok {
		return speaks.Languages()
	}
	return nil
}

// visited are the origins that people go to, sorted: neither those that take
// tokens only, nor patterns, which are nowhere to go.
func visited(sites []SiteConfig) []string {
	var origins []string
	for _, s := range sites {
		api := slices.ContainsFunc(sites, func(other SiteConfig) bool { return other.Origin == s.Origin && other.API })
		if !api && !strings.Contains(s.Origin, "*") {
			origins = append(origins, s.Origin)
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// LoginHandler is an http.Handler that knows its paths.
type LoginHandler interface {
	http.Handler
	Matches(path string) bool
}

// Login serves a pool's login host: paths at the root, or under /_auth.
func (e *Engine) Login(name string) (LoginHandler, error) {
	h := e.pools[name]
	if h == nil || h.mux == nil {
		return nil, fmt.Errorf("authcore: pool %s has no login host", name)
	}
	return h.mux, nil
}

// Gate returns a gate for the origins that lead to it.
func (e *Engine) Gate(c GateConfig) (*guard.Gate, error) {
	h := e.pools[c.Pool]
	if h == nil {
		return nil, fmt.Errorf("authcore: no pool is named %s", c.Pool)
	}
	var sites []guard.Site
	for _, origin := range c.Origins {
		site, ok := h.sites[origin]
		if !ok {
			return nil, fmt.Errorf("authcore: %s is not a site of pool %s", origin, c.Pool)
		}
		sites = append(sites, site)
	}
	return e.state.guard.Gate(c.Rule, sites)
}

// FirstLinks returns a link for each pool that has no users, by pool name,
// made anew: print it once at process start, to a person, never to a log.
func (e *Engine) FirstLinks(ctx context.Context) (map[string]string, error) {
	links := map[string]string{}
	for name, h := range e.pools {
		if h.mux == nil {
			continue
		}
		token, err := e.state.accounts.FirstLink(ctx, h.pool)
		if errors.Is(err, fault.Conflict) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pool %s: first-user link: %w", name, err)
		}
		links[name] = e.state.link(h.pool, token)
	}
	return links, nil
}

// DenialPage renders the page for a person whom a gate refused.
func (e *Engine) DenialPage(w http.ResponseWriter, r *http.Request, name string, d *guard.Denial) {
	brand := ""
	if h := e.pools[name]; h != nil {
		brand = h.pool.Brand
	}
	view := page.Error{
		Frame: page.Frame{Brand: brand, Locales: mux.Locales(r)}, Cause: causeOf(d), Detail: fault.TextOf(d.Cause),
		Reference: mux.EventOf(r.Context()).Reference, Continue: d.Retry, SignOut: d.SignOut,
	}
	doc, err := e.renderer.Render(r.Context(), view)
	if err != nil {
		e.state.log.ErrorContext(r.Context(), "denial page", "error", err)
		mux.WriteAPIError(w, r, err)
		return
	}
	mux.WriteDocument(w, r, d.Status, mux.Document{HTML: doc.HTML, Styles: doc.StyleHashes, Scripts: doc.ScriptHashes})
}

// causeOf tells in a person's words why a gate refused.
func causeOf(d *guard.Denial) page.Cause {
	switch {
	case errors.Is(d.Cause, guard.ErrLoop):
		return page.CauseLoop
	case errors.Is(d.Cause, guard.ErrCookies):
		return page.CauseCookies
	case errors.Is(d.Cause, guard.ErrStale):
		return page.CauseStale
	case d.Status == http.StatusServiceUnavailable:
		return page.CauseUnavailable
	case d.Status == http.StatusNotFound || d.Status == http.StatusMisdirectedRequest:
		return page.CauseNotFound
	case errors.Is(d.Cause, fault.CrossSite):
		return page.CauseCrossSite
	case d.Status == http.StatusUnauthorized: // a form, by one who was signed in
		return page.CauseEnded
	case d.Status == http.StatusBadRequest:
		return page.CauseBadRequest
	}
	return page.CauseForbidden
}
