package pool

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
)

// MaxAccess is the longest life of an access token: revocations are kept that long.
const MaxAccess = 24 * time.Hour

var (
	poolForm = regexp.MustCompile(`^[a-z]{2}-[a-z]+-\d_[0-9A-Za-z]{9,}$`)
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
)

// Valid reports whether the id has the form that Cognito's SDKs can parse.
func (id ID) Valid() bool { return len(id) <= 64 && poolForm.MatchString(string(id)) }

// ValidName reports whether s may be the Caddyfile's alias of a pool.
func ValidName(s string) bool { return nameForm.MatchString(s) }

// Validate returns every problem of a resolved pool, joined; each is
// fault.Invalid and names what it is about.
func (p *Pool) Validate() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if !p.ID.Valid() {
		add(invalid("pool %q: malformed id", p.Name))
	}
	if !ValidName(p.Name) {
		add(invalid("pool %q: malformed name", p.Name))
	}
	add(ValidateIssuer(p.Issuer))
	add(p.validateTimes())
	for name, g := range p.Groups {
		if !ValidGroupName(name) || g.Name != name {
			add(invalid("group %q: malformed name", name))
		}
	}
	add(p.validateResources())
	for id, c := range p.Clients {
		if c.ID != id {
			add(invalid("client %q: listed as %q", c.ID, id))
		}
		add(c.Validate(p))
	}
	return errors.Join(errs...)
}

// ValidateIssuer demands an absolute http or https URL without query,
// fragment and trailing slash (RFC 8414 2); http on loopback hosts only.
// fault.Invalid.
func ValidateIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || !visibleASCII(issuer) || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#"):
		return invalid("issuer: must be an absolute URL without query and fragment")
	case strings.HasSuffix(issuer, "/"):
		return invalid("issuer: must not end in a slash")
	case u.Scheme != "https" && !(u.Scheme == "http" && Loopback(u.Hostname())):
		return invalid("issuer: must be https unless its host is the machine itself")
	}
	return nil
}

func (p *Pool) validateTimes() error {
	var errs []error
	for _, d := range []struct {
		what string
		have time.Duration
		most time.Duration
	}{
		{"session idle", p.Session.Idle, 10 * 365 * 24 * time.Hour},
		{"session absolute", p.Session.Absolute, 10 * 365 * 24 * time.Hour},
		{"access token", p.Token.Access, MaxAccess},
		{"ID token", p.Token.ID, MaxAccess},
		{"refresh token", p.Token.Refresh, 10 * 365 * 24 * time.Hour},
	} {
		if d.have <= 0 || d.have > d.most {
			errs = append(errs, invalid("%s: life must be more than 0 and at most %v", d.what, d.most))
		}
	}
	if p.Token.ReuseGrace < 0 || p.Token.ReuseGrace > time.Minute {
		errs = append(errs, invalid("reuse_grace: must be from 0 to 1m"))
	}
	return errors.Join(append(errs, validAlg(p.Token.Alg, false), validAlg(p.Token.IDAlg, false))...)
}

func (p *Pool) validateResources() error {
	var errs []error
	owner, canonical := map[string]string{}, map[string]string{}
	for id, r := range p.Resources {
		c, err := canonicalURI(id)
		if err != nil || r.ID != id {
			errs = append(errs, invalid("resource %q: must be an absolute URI without fragment", id))
			continue
		}
		if other, twice := canonical[c]; twice {
			errs = append(errs, invalid("resource %q: means the same as %q", id, other))
		}
		canonical[c] = id
		if r.TokenTTL < 0 || r.TokenTTL > MaxAccess {
			errs = append(errs, invalid("resource %q: token_ttl must be at most %v", id, MaxAccess))
		}
		errs = append(errs, validAlg(r.Alg, true))
		for _, s := range r.Scopes {
			if !ValidScope(s) || IsOIDCScope(s) {
				errs = append(errs, invalid("resource %q: scope %q is malformed or OIDC's", id, s))
			} else if other, twice := owner[s]; twice {
				errs = append(errs, invalid("scope %q: declared by %q and by %q", s, other, id))
			}
			owner[s] = id
		}
	}
	return errors.Join(errs...)
}

// Validate returns every problem of a client of pool p, joined; each is fault.Invalid.
func (c *Client) Validate(p *Pool) error {
	var errs []error
	add := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, invalid("client %q: "+format, append([]any{c.ID}, args...)...))
		}
	}
	if c.Site {
		add(strings.HasPrefix(string(c.ID), SitePrefix), "a gate's id must begin with %s", SitePrefix)
	} else {
		add(ValidClientID(c.ID), "malformed id")
	}
	add(len(c.Secrets) <= 2, "more than two secrets")
	for _, s := range c.Secrets {
		add(s.Value.Reveal() != "" && s.ID != "", "an empty secret")
	}
	add(len(c.AuthMethods) > 0, "no way to authenticate")
	for _, m := range c.AuthMethods {
		known := m == AuthNone || m == AuthBasic || m == AuthPost
		add(known && c.Confidential() == (m != AuthNone), "authentication method %q does not fit", m)
	}
	for _, g := range c.Grants {
		add(g == GrantCode || g == GrantRefresh || g == GrantClient, "unknown grant %q", g)
	}
	add(!c.HasGrant(GrantClient) || c.Confidential(), "client_credentials needs a secret")
	add(!c.HasGrant(GrantCode) || len(c.RedirectURIs) > 0, "authorization_code needs a redirect URI")
	add(!c.PKCEOptional || c.Confidential(), "pkce optional needs a secret")
	for _, uri := range c.RedirectURIs {
		if err := ValidateRedirectURI(uri, c.Native); err != nil {
			add(false, "%s: %q", fault.TextOf(err), uri)
		}
	}
	add(c.Access >= 0 && c.Access <= MaxAccess && c.IDLife >= 0 && c.IDLife <= MaxAccess && c.Refresh >= 0, "a token's life is out of range")
	if err := validAlg(c.IDAlg, true); err != nil {
		add(false, "%s", fault.TextOf(err))
	}
	errs = append(errs, c.validateScopes(p))
	return errors.Join(errs...)
}

func (c *Client) validateScopes(p *Pool) error {
	var errs []error
	add := func(ok bool, format string, arg string) {
		if !ok {
			errs = append(errs, invalid("client %q: "+format, c.ID, arg))
		}
	}
	for _, s := range c.Scopes {
		add(IsOIDCScope(s) || p.ScopeOwner(s) != nil, "unknown scope %q", s)
	}
	for _, s := range c.DefaultScopes {
		add(slices.Contains(c.Scopes, s), "default scope %q is none of its scopes", s)
	}
	for _, s := range c.MachineScopes {
		add(p.ScopeOwner(s) != nil, "unknown scope %q", s)
	}
	for _, id := range c.Resources {
		add(p.Resources[id] != nil, "unknown resource %q", id)
	}
	add(c.DefaultResource == "" || slices.Contains(c.Resources, c.DefaultResource), "default resource %q is none of its resources", c.DefaultResource)
	return errors.Join(errs...)
}

func validAlg(a jose.Alg, optional bool) error {
	if a == jose.ES256 || a == jose.RS256 || optional && a == "" {
		return nil
	}
	return invalid("signing algorithm %q: this build has ES256 and RS256", a)
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}
