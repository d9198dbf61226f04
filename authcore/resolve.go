package authcore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
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
	maxReuseGrace     = time.Minute
	minSecret         = 16 // characters
)

// OperatorsGroup exists in every pool.
var builtinGroups = []string{pool.OperatorsGroup}

// Validate returns every problem of a configuration that can be found without
// a store, joined.
func (c *Config) Validate() error {
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
		if _, err := resolve(*p, repo.Identity{ID: "xx-edge-1_validate0", Name: name, Issuer: "https://validate.invalid"}); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
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
	r := resolver{pool: p}
	r.policies()
	for _, g := range slices.Concat(builtinGroups, c.Groups) {
		p.Groups[g] = &pool.Group{Name: g}
	}
	for _, rc := range c.Resources {
		r.resource(rc)
	}
	for _, s := range c.Sites {
		r.site(s)
	}
	for _, cc := range c.Clients {
		r.client(cc)
	}
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
	problems []error
}

func (r *resolver) fail(place, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%spool %s: %w", where(place), r.pool.Name, fmt.Errorf(format, args...)))
}

// policies bounds what would make a pool unsafe or useless.
func (r *resolver) policies() {
	p := r.pool
	if p.Password.MinLength < 8 || p.Password.MinLength > 128 {
		r.fail("", "password min_length must be from 8 to 128 characters")
	}
	if p.Session.Idle < time.Minute || p.Session.Absolute < p.Session.Idle {
		r.fail("", "session: idle must be at least a minute, and absolute no shorter than idle")
	}
	if p.Token.Access < time.Second || p.Token.Access > repo.RevocationLife {
		r.fail("", "token access must live from a second to %s", repo.RevocationLife)
	}
	if p.Token.ReuseGrace < 0 || p.Token.ReuseGrace > maxReuseGrace {
		r.fail("", "token reuse_grace must be at most %s", maxReuseGrace)
	}
	if p.Token.ID < time.Second || p.Token.Refresh < time.Second {
		r.fail("", "token lives must be at least a second")
	}
	for _, alg := range []jose.Alg{p.Token.Alg, p.Token.IDAlg} {
		r.alg("", alg)
	}
}

func (r *resolver) alg(place string, alg jose.Alg) {
	if alg != "" && alg != jose.ES256 && alg != jose.RS256 {
		r.fail(place, "signing algorithm %s is neither ES256 nor RS256", alg)
	}
}

// resource declares an API and its scopes.
func (r *resolver) resource(c ResourceConfig) {
	if err := pool.ValidateResource(c.ID); err != nil {
		r.fail("", "resource %s: %w", c.ID, err)
	}
	if r.pool.Resources[c.ID] != nil {
		r.fail("", "resource %s is declared twice", c.ID)
	}
	r.alg("", jose.Alg(c.SigningAlg))
	for _, s := range c.Scopes {
		if err := pool.ValidateScope(s); err != nil {
			r.fail("", "resource %s: %w", c.ID, err)
		}
		if owner := r.pool.ScopeOwner(s); owner != nil || pool.IsOIDCScope(s) {
			r.fail("", "scope %s of resource %s is declared already: a scope belongs to one resource", s, c.ID)
		}
	}
	if c.TokenTTL < 0 || c.TokenTTL > repo.RevocationLife {
		r.fail("", "resource %s: token_ttl must be at most %s", c.ID, repo.RevocationLife)
	}
	r.pool.Resources[c.ID] = &pool.Resource{ID: c.ID, Scopes: slices.Clone(c.Scopes), TokenTTL: c.TokenTTL, Alg: jose.Alg(c.SigningAlg)}
}

// site makes a gated origin a resource, unless one of that name is declared,
// and its gate a client.
func (r *resolver) site(c SiteConfig) {
	id := cmp.Or(c.Resource, c.Origin)
	if r.pool.Resources[id] == nil {
		r.pool.Resources[id] = &pool.Resource{ID: id, Site: true}
	}
	client := &pool.Client{
		ID: SiteClient(c.Origin), Name: c.Origin, AuthMethods: []string{pool.AuthNone}, Grants: []string{pool.GrantCode},
		RedirectURIs: []string{c.Origin + "/_auth/callback"}, Scopes: []string{"openid"}, Site: true,
	}
	r.pool.Clients[client.ID] = client
}

// SiteClient is the id of the internal client of a gated origin.
func SiteClient(origin string) pool.ClientID { return pool.ClientID("site:" + origin) }

// client registers an application.
func (r *resolver) client(c ClientConfig) {
	cl := &pool.Client{
		ID: pool.ClientID(c.ID), Name: c.Name, RedirectURIs: slices.Clone(c.Redirects), LogoutURIs: slices.Clone(c.LogoutRedirects),
		Scopes: slices.Clone(c.Scopes), DefaultScopes: slices.Clone(c.DefaultScopes), DefaultResource: c.DefaultResource,
		Native: c.Native, PKCEOptional: c.PKCEOptional, KeepRefresh: c.RotateOff, Access: c.Access, IDLife: c.IDLife,
		Refresh: c.Refresh, IDAlg: jose.Alg(c.IDSigningAlg), Disabled: c.Disabled,
	}
	for _, s := range c.Secrets {
		if len(s.Reveal()) < minSecret {
			r.fail(c.Where, "client %s: a secret has fewer than %d characters: use a random one", c.ID, minSecret)
		}
		cl.Secrets = append(cl.Secrets, pool.ClientSecret{ID: secretID(s), Value: s})
	}
	if len(cl.Secrets) > 2 {
		r.fail(c.Where, "client %s: at most two secrets may live at once", c.ID)
	}
	r.clientAuth(cl, c)
	r.clientGrants(cl, c)
	r.clientScopes(cl, c)
	if err := pool.ValidateClient(cl); err != nil {
		r.fail(c.Where, "client %s: %w", c.ID, err)
	}
	if r.pool.Clients[cl.ID] != nil {
		r.fail(c.Where, "client %s is configured twice", c.ID)
	}
	r.alg(c.Where, cl.IDAlg)
	r.pool.Clients[cl.ID] = cl
}

// secretID names a secret publicly, the same after every restart.
func secretID(s secret.Hidden) string {
	sum := sha256.Sum256([]byte("secret id\x00" + s.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// clientAuth decides how a client authenticates.
func (r *resolver) clientAuth(cl *pool.Client, c ClientConfig) {
	switch {
	case c.Auth == pool.AuthNone && len(cl.Secrets) > 0, c.Auth != "" && c.Auth != pool.AuthNone && len(cl.Secrets) == 0:
		r.fail(c.Where, "client %s: auth %s and its secrets contradict one another", c.ID, c.Auth)
	case c.Auth == pool.AuthBasic, c.Auth == pool.AuthPost, c.Auth == pool.AuthNone:
		cl.AuthMethods = []string{c.Auth}
	case c.Auth != "":
		r.fail(c.Where, "client %s: this build has no auth method %s", c.ID, c.Auth)
	case len(cl.Secrets) == 0:
		cl.AuthMethods = []string{pool.AuthNone}
	default:
		cl.AuthMethods = []string{pool.AuthBasic, pool.AuthPost}
	}
	if cl.PKCEOptional && len(cl.Secrets) == 0 {
		r.fail(c.Where, "client %s: pkce optional is for clients with a secret", c.ID)
	}
}

// clientGrants decides which grants a client has; the default is the code with refresh.
func (r *resolver) clientGrants(cl *pool.Client, c ClientConfig) {
	for _, g := range c.Grants {
		switch g.Type {
		case pool.GrantCode, pool.GrantRefresh:
			if len(g.Scopes) > 0 {
				r.fail(c.Where, "client %s: only grant client_credentials takes scopes: write scopes on a line of its own", c.ID)
			}
		case pool.GrantClient:
			if len(cl.Secrets) == 0 {
				r.fail(c.Where, "client %s: grant client_credentials needs a secret", c.ID)
			}
			cl.MachineScopes = append(cl.MachineScopes, g.Scopes...)
		default:
			r.fail(c.Where, "client %s: this build has no grant %s", c.ID, g.Type)
		}
		if slices.Contains(cl.Grants, g.Type) {
			r.fail(c.Where, "client %s: grant %s stands twice", c.ID, g.Type)
		}
		cl.Grants = append(cl.Grants, g.Type)
	}
	if len(c.Grants) == 0 {
		cl.Grants = []string{pool.GrantCode, pool.GrantRefresh}
	}
	if cl.HasGrant(pool.GrantCode) && len(cl.RedirectURIs) == 0 {
		r.fail(c.Where, "client %s: grant authorization_code needs a redirect URI: add `redirect https://…`", c.ID)
	}
}

// clientScopes checks scopes, and finds out which resources a client may ask for.
func (r *resolver) clientScopes(cl *pool.Client, c ClientConfig) {
	for _, s := range slices.Concat(cl.Scopes, cl.MachineScopes) {
		owner := r.pool.ScopeOwner(s)
		switch {
		case owner != nil:
			if len(c.Resources) == 0 && !slices.Contains(cl.Resources, owner.ID) {
				cl.Resources = append(cl.Resources, owner.ID)
			}
		case !pool.IsOIDCScope(s):
			r.fail(c.Where, "client %s: no resource declares the scope %s%s", c.ID, s, r.similar(s))
		}
	}
	for _, s := range cl.MachineScopes {
		if pool.IsOIDCScope(s) {
			r.fail(c.Where, "client %s: %s is about a user: grant client_credentials has none", c.ID, s)
		}
	}
	for _, s := range cl.DefaultScopes {
		if !slices.Contains(cl.Scopes, s) {
			r.fail(c.Where, "client %s: default scope %s is not among its scopes", c.ID, s)
		}
	}
	for _, id := range c.Resources {
		if r.pool.Resources[id] == nil {
			r.fail(c.Where, "client %s: no resource %s is declared", c.ID, id)
		}
		cl.Resources = append(cl.Resources, id)
	}
	if cl.DefaultResource != "" && !slices.Contains(cl.Resources, cl.DefaultResource) {
		r.fail(c.Where, "client %s: default_resource %s is not among its resources", c.ID, cl.DefaultResource)
	}
}

// similar suggests a declared scope that differs only a little.
func (r *resolver) similar(scope string) string {
	for _, res := range r.pool.Resources {
		for _, s := range res.Scopes {
			if strings.EqualFold(s, scope) || strings.HasPrefix(s, scope) || strings.HasPrefix(scope, s) {
				return " (did you mean " + s + "?)"
			}
		}
	}
	return ""
}
