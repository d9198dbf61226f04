package pool

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// Target is what a request is granted: the resources, the scopes, and which
// of both the token is for that follows.
type Target struct {
	Audience  string   // of the token: the first granted resource, or the issuer if there is none
	Scopes    []string // of the token: those of Audience, and the OIDC scopes
	Resources []string // granted, as they are issued in aud; none: the issuer alone
	Granted   []string // scopes granted over all Resources, and the OIDC scopes
}

// ResolveTarget applies the audience rule to what a client asks a user for:
// the requested resources; else the one resource that declares all requested
// scopes that are not OIDC's; else the client's default; else the issuer,
// with OIDC scopes only. Without scopes the client's default ones count, but
// never gatehouse.admin.
// fault.InvalidScope for scopes that the client may not ask for,
// fault.InvalidTarget for resources (RFC 8707 2), and when scopes span two of
// them and none is named.
func ResolveTarget(p *Pool, c *Client, scopes, resources []string) (Target, error) {
	defaults := c.DefaultScopes
	if len(defaults) == 0 {
		defaults = c.Scopes
	}
	return resolve(p, c, wish{scopes, withoutAdmin(defaults), c.Scopes, resources})
}

// ResolveMachineTarget is ResolveTarget for client_credentials: the client's
// own scopes count.
func ResolveMachineTarget(p *Pool, c *Client, scopes, resources []string) (Target, error) {
	return resolve(p, c, wish{scopes, withoutAdmin(c.MachineScopes), c.MachineScopes, resources})
}

// NarrowTarget chooses the token of a grant: for the named resource, or the
// first granted, with the named scopes, or all that are left. It never widens:
// fault.InvalidTarget or fault.InvalidScope.
func NarrowTarget(p *Pool, granted, resources, scopes []string, resource string) (Target, error) {
	for _, s := range scopes {
		if !slices.Contains(granted, s) {
			return Target{}, fault.New(fault.InvalidScope, "a scope was not granted")
		}
	}
	if scopes == nil {
		scopes = granted
	}
	chosen := resources
	if resource != "" {
		r := p.FindResource(resource)
		if r == nil || !slices.Contains(resources, r.ID) {
			return Target{}, fault.New(fault.InvalidTarget, "the resource was not granted")
		}
		chosen = []string{r.ID}
	}
	return aim(p, scopes, chosen), nil
}

// wish is what a client asks for and may ask for.
type wish struct {
	scopes    []string
	defaults  []string // if it asks for no scope
	allowed   []string
	resources []string
}

func resolve(p *Pool, c *Client, w wish) (Target, error) {
	implied := len(w.scopes) == 0
	if implied {
		w.scopes = w.defaults
	}
	for _, s := range w.scopes {
		if !slices.Contains(w.allowed, s) || !IsOIDCScope(s) && p.ScopeOwner(s) == nil {
			return Target{}, fault.New(fault.InvalidScope, "the client may not ask for one of the scopes")
		}
	}
	resources, err := choose(p, c, w, implied)
	if err != nil {
		return Target{}, err
	}
	for _, id := range resources {
		if !slices.Contains(c.Resources, id) {
			return Target{}, fault.New(fault.InvalidTarget, "the client may not ask for this resource")
		}
	}
	return aim(p, w.scopes, resources), nil
}

// choose returns the resources that a wish is for; none means the issuer.
func choose(p *Pool, c *Client, w wish, implied bool) ([]string, error) {
	if len(w.resources) > 0 {
		return named(p, w.resources)
	}
	owners := owners(p, w.scopes)
	switch {
	case len(owners) == 1:
		return owners, nil
	case len(owners) > 1 && !(implied && c.DefaultResource != ""):
		return nil, fault.New(fault.InvalidTarget, "the scopes belong to several resources: name the resource")
	case c.DefaultResource != "":
		return named(p, []string{c.DefaultResource})
	}
	return nil, nil
}

func named(p *Pool, uris []string) ([]string, error) {
	var out []string
	for _, uri := range uris {
		r := p.FindResource(uri)
		if r == nil {
			return nil, fault.New(fault.InvalidTarget, "the resource is unknown")
		}
		if !slices.Contains(out, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out, nil
}

func owners(p *Pool, scopes []string) []string {
	var out []string
	for _, s := range scopes {
		if r := p.ScopeOwner(s); r != nil && !slices.Contains(out, r.ID) {
			out = append(out, r.ID)
		}
	}
	return out
}

// aim cuts scopes to what the resources declare, and points at the first.
func aim(p *Pool, scopes, resources []string) Target {
	t := Target{Audience: p.Issuer, Resources: slices.Clone(resources)}
	t.Granted = cut(p, scopes, resources)
	t.Scopes = t.Granted
	if len(resources) > 0 {
		t.Audience = resources[0]
		t.Scopes = cut(p, scopes, resources[:1])
	}
	return t
}

// cut keeps OIDC scopes and those that one of the resources declares.
func cut(p *Pool, scopes, resources []string) []string {
	out := make([]string, 0, len(scopes))
	for _, s := range scopes {
		r := p.ScopeOwner(s)
		if IsOIDCScope(s) || r != nil && slices.Contains(resources, r.ID) {
			out = append(out, s)
		}
	}
	return out
}
