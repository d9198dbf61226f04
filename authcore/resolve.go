package authcore

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// The defaults of a pool; docs/caddyfile.md lists them.
const (
	defaultMinLength  = 8
	defaultIdle       = 12 * time.Hour
	defaultAbsolute   = 30 * 24 * time.Hour
	defaultAccess     = 15 * time.Minute
	defaultID         = 15 * time.Minute
	defaultRefresh    = 30 * 24 * time.Hour
	defaultReuseGrace = 10 * time.Second
	minSecret         = 16 // characters
)

// Validate returns every problem of a configuration that can be found without
// a store, joined. In a pool without sites it takes every resource that a
// client names for a site that is still to come: New does not.
func (c *Config) Validate() error { return c.validate(false) }

// validate is Validate; placed says that there are no sites but those named.
func (c *Config) validate(placed bool) error {
	var problems []error
	names := map[string]bool{}
	clients := map[string]string{}
	for i := range c.Pools {
		p := &c.Pools[i]
		name := cmp.Or(p.Name, "default")
		if names[name] {
			problems = append(problems, fmt.Errorf("pool %s is configured twice", name))
		}
		names[name] = true
		for _, cl := range p.Clients {
			if other, ok := clients[cl.ID]; ok {
				problems = append(problems, fmt.Errorf("%sclient %s is also in pool %s: client ids are unique over all pools", where(cl.Where), cl.ID, other))
			}
			clients[cl.ID] = name
		}
		judged := *p
		if !placed && len(p.Sites) == 0 {
			judged.Sites = possibleSites(p.Clients)
		}
		if _, err := resolve(judged, repo.Identity{ID: "xx-edge-1_validate0", Name: name, Issuer: cmp.Or(p.Issuer, "https://validate.invalid")}); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// possibleSites makes a site of every resource that clients name.
func possibleSites(clients []ClientConfig) []SiteConfig {
	var sites []SiteConfig
	for _, c := range clients {
		for _, id := range c.Resources {
			sites = append(sites, SiteConfig{Origin: id})
		}
	}
	return sites
}

// where prefixes an error with its place in the configuration.
func where(place string) string {
	if place == "" {
		return ""
	}
	return place + ": "
}

// resolve turns a pool's configuration and its stored identity into the pool,
// every default filled in. All problems are returned, joined.
func resolve(c PoolConfig, id repo.Identity) (*pool.Pool, error) {
	p := &pool.Pool{
		ID: id.ID, Name: id.Name, Issuer: id.Issuer, Brand: c.Brand,
		Password: pool.PasswordPolicy{MinLength: cmp.Or(c.MinLength, defaultMinLength), Breached: true},
		Session:  pool.SessionPolicy{Idle: cmp.Or(c.SessionIdle, defaultIdle), Absolute: cmp.Or(c.SessionLife, defaultAbsolute)},
		Token: pool.TokenPolicy{
			Access: cmp.Or(c.Access, defaultAccess), ID: cmp.Or(c.ID, defaultID), Refresh: cmp.Or(c.Refresh, defaultRefresh),
			ReuseGrace: cmp.Or(c.ReuseGrace, defaultReuseGrace),
			Alg:        cmp.Or(jose.Alg(c.SigningAlg), jose.ES256), IDAlg: cmp.Or(jose.Alg(c.IDSigningAlg), jose.RS256),
		},
		Clients: map[pool.ClientID]*pool.Client{}, Resources: map[string]*pool.Resource{}, Groups: map[string]*pool.Group{},
	}
	if p.Brand == "" {
		p.Brand = brandOf(c)
	}
	r := resolver{pool: p, place: c.Where}
	for _, g := range append([]string{pool.OperatorsGroup}, c.Groups...) {
		p.Groups[g] = &pool.Group{Name: g}
	}
	p.Resources[pool.AdminResource(id.Issuer)] = pool.AdminAPI(id.Issuer)
	for _, rc := range c.Resources {
		r.resource(rc)
	}
	for _, s := range c.Sites {
		r.site(s)
	}
	for _, cc := range c.Clients {
		r.client(cc)
	}
	r.validate(c.Clients)
	return p, errors.Join(r.problems...)
}

// brandOf is the name that people see when none was given: a host they know.
func brandOf(c PoolConfig) string {
	for _, s := range []string{c.Login.Origin, c.Issuer} {
		if u, err := url.Parse(s); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	return cmp.Or(c.Name, "default")
}

// resolver fills a pool and collects what is wrong.
type resolver struct {
	pool     *pool.Pool
	place    string // of the pool, for problems that have none of their own
	problems []error
}

func (r *resolver) fail(place, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%spool %s: %w", where(cmp.Or(place, r.place)), r.pool.Name, fmt.Errorf(format, args...)))
}

// validate has the pool judge itself; clients are judged one by one, so that
// each problem has its place.
func (r *resolver) validate(clients []ClientConfig) {
	bare := *r.pool
	bare.Clients = nil
	if err := bare.Validate(); err != nil {
		r.fail("", "%w", err)
	}
	if r.pool.Password.MinLength < 8 || r.pool.Password.MinLength > 128 {
		r.fail("", "password min_length must be from 8 to 128 characters")
	}
	if r.pool.Session.Absolute < r.pool.Session.Idle {
		r.fail("", "session: absolute is shorter than idle")
	}
	for _, c := range clients {
		if err := r.pool.Clients[pool.ClientID(c.ID)].Validate(r.pool); err != nil {
			r.fail(c.Where, "%w%s", err, r.suggest(c))
		}
	}
}

// resource declares an API and its scopes.
func (r *resolver) resource(c ResourceConfig) {
	if r.pool.Resources[c.ID] != nil {
		r.fail(c.Where, "resource %s is declared twice", c.ID)
	}
	for scope := range c.Texts {
		if !slices.Contains(c.Scopes, scope) {
			r.fail(c.Where, "resource %s: a text for the scope %s, which it does not declare", c.ID, scope)
		}
	}
	r.pool.Resources[c.ID] = &pool.Resource{ID: c.ID, Scopes: slices.Clone(c.Scopes), Texts: c.Texts, TokenTTL: c.TokenTTL, Alg: jose.Alg(c.SigningAlg)}
}

// site makes a gated origin a resource, unless one of that name is declared,
// and its gate a client.
func (r *resolver) site(c SiteConfig) {
	id := cmp.Or(c.Resource, c.Origin)
	if c.Resource == "" && strings.Contains(c.Origin, "*") {
		r.fail("", "the site %s stands for many origins and has no name as a resource: give its gate `resource`", c.Origin)
		return
	}
	if r.pool.FindResource(id) == nil {
		r.pool.Resources[id] = &pool.Resource{ID: id, Site: true}
	}
	switch {
	case c.Origin == guard.AnyOrigin: // nobody signs in there
	case strings.Contains(c.Origin, "*"): // its clients exist when they are asked for
		if !slices.Contains(r.pool.SitePatterns, c.Origin) {
			r.pool.SitePatterns = append(r.pool.SitePatterns, c.Origin)
		}
	default:
		client := pool.SiteClient(c.Origin)
		r.pool.Clients[client.ID] = client
	}
}

// siteClient is the id of the internal client of a gated origin.
func siteClient(origin string) pool.ClientID { return pool.ClientID(pool.SitePrefix + origin) }

// client registers an application.
func (r *resolver) client(c ClientConfig) {
	cl := &pool.Client{
		ID: pool.ClientID(c.ID), Name: c.Name, RedirectURIs: slices.Clone(c.Redirects),
		Scopes: slices.Clone(c.Scopes), DefaultScopes: slices.Clone(c.DefaultScopes), DefaultResource: c.DefaultResource,
		LogoutURIs: slices.Clone(c.Logouts), Origins: slices.Clone(c.Origins), Consent: c.Consent,
		Native: c.Native, PKCEOptional: c.PKCEOptional, KeepRefresh: c.RotateOff, Access: c.Access, IDLife: c.IDLife,
		Refresh: c.Refresh, IDAlg: jose.Alg(c.IDSigningAlg), Disabled: c.Disabled,
	}
	for _, uri := range c.Logouts {
		if err := pool.ValidateRedirectURI(uri, c.Native); err != nil {
			r.fail(c.Where, "client %s: logout_redirect %q: %w", c.ID, uri, err)
		}
	}
	for _, o := range c.Origins {
		if err := pool.ValidateOrigin(o); err != nil {
			r.fail(c.Where, "client %s: origins: %w", c.ID, err)
		}
	}
	for _, s := range c.Secrets {
		if len(s.Reveal()) < minSecret {
			r.fail(c.Where, "client %s: a secret has fewer than %d characters: use a random one", c.ID, minSecret)
		}
		cl.Secrets = append(cl.Secrets, pool.NewClientSecret(s))
	}
	switch {
	case c.Auth != "":
		cl.AuthMethods = []string{c.Auth}
	case cl.Confidential():
		cl.AuthMethods = []string{pool.AuthBasic, pool.AuthPost}
	default:
		cl.AuthMethods = []string{pool.AuthNone}
	}
	r.grants(cl, c)
	cl.Resources = slices.Clone(c.Resources)
	for _, s := range slices.Concat(cl.Scopes, cl.MachineScopes) {
		owner := r.pool.ScopeOwner(s)
		if owner != nil && len(c.Resources) == 0 && !slices.Contains(cl.Resources, owner.ID) {
			cl.Resources = append(cl.Resources, owner.ID)
		}
	}
	if r.pool.Clients[cl.ID] != nil {
		r.fail(c.Where, "client %s is configured twice", c.ID)
	}
	r.pool.Clients[cl.ID] = cl
}

// grants decides which grants a client has; the default is the code with
// refresh, and none for an API that only introspects the tokens meant for it.
func (r *resolver) grants(cl *pool.Client, c ClientConfig) {
	for _, g := range c.Grants {
		if len(g.Scopes) > 0 && g.Type != pool.GrantClient {
			r.fail(c.Where, "client %s: only grant client_credentials takes scopes: write `scopes` on a line of its own", c.ID)
		}
		if slices.Contains(cl.Grants, g.Type) {
			r.fail(c.Where, "client %s: grant %s stands twice", c.ID, g.Type)
		}
		cl.Grants = append(cl.Grants, g.Type)
		cl.MachineScopes = append(cl.MachineScopes, g.Scopes...)
	}
	introspects := cl.Confidential() && len(c.Resources) > 0 && len(c.Redirects) == 0 && len(c.Scopes) == 0
	if len(c.Grants) == 0 && !introspects {
		cl.Grants = []string{pool.GrantCode, pool.GrantRefresh}
	}
}

// suggest names a declared scope that one of the client's unknown scopes resembles.
func (r *resolver) suggest(c ClientConfig) string {
	scopes := slices.Clone(c.Scopes)
	for _, g := range c.Grants {
		scopes = append(scopes, g.Scopes...)
	}
	for _, scope := range scopes {
		if pool.IsOIDCScope(scope) || r.pool.ScopeOwner(scope) != nil {
			continue
		}
		for _, res := range r.pool.Resources {
			for _, s := range res.Scopes {
				if strings.EqualFold(s, scope) || strings.HasPrefix(s, scope) || strings.HasPrefix(scope, s) {
					return " (did you mean " + s + "?)"
				}
			}
		}
	}
	return ""
}
