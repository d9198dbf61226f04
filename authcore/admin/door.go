package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Socket is the API over all pools, for the admin socket: whoever reaches it
// is an operator.
func (a *API) Socket() http.Handler {
	t := a.route(func(r *http.Request, name string) (pool.Caller, *pool.Pool, error) {
		p, err := a.config.Pool(r.Context(), name)
		return pool.Caller{Kind: pool.Operator, Name: "admin socket"}, p, err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := t.serve(w, r); err != nil {
			mux.WriteAPIError(w, r, err)
		}
	})
}

// Site is a pool at its login host.
type Site struct {
	Pool   *pool.Pool
	Prefix string // of the login host: "" or "/_auth"
}

// metadataAge is how long the description of the resource may be kept.
const metadataAge = 5 * time.Minute

// Mount serves the API of one pool at its login host, below /admin, and the
// metadata of the resource that it is (RFC 9728). Cookies count for nothing.
func (a *API) Mount(m *mux.Mux, s Site) {
	g := newGate(a, s.Pool)
	t := a.route(g.open)
	below := s.Prefix + "/admin"
	m.Tree("/admin", func(w http.ResponseWriter, r *http.Request) error {
		inner, ok := cutPath(r, below)
		if !ok {
			return errNowhere
		}
		err := t.serve(w, inner)
		g.challenge(w.Header(), err)
		return err
	})
	m.Public("GET /"+g.metadata, metadataAge, func(w http.ResponseWriter, _ *http.Request) error {
		mux.WriteJSON(w, http.StatusOK, map[string]any{
			"resource":                 g.resource,
			"resource_name":            "Gatehouse admin API",
			"authorization_servers":    []string{s.Pool.Issuer},
			"scopes_supported":         []string{pool.ScopeAdmin},
			"bearer_methods_supported": []string{"header"},
		})
		return nil
	})
}

// cutPath returns the request without the beginning of its path, as sent: a
// path that spells it otherwise is not the API's.
func cutPath(r *http.Request, prefix string) (*http.Request, bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	if !ok {
		return nil, false
	}
	u, err := url.ParseRequestURI(rest)
	if err != nil {
		return nil, false
	}
	u.RawQuery = r.URL.RawQuery
	inner := *r
	inner.URL = u
	return &inner, true
}

// gate is the door of the login host.
type gate struct {
	api      *API
	pool     *pool.Pool
	resource string
	metadata string // path of the resource's metadata
	origin   string // of the issuer
}

func newGate(a *API, p *pool.Pool) *gate {
	g := &gate{api: a, pool: p, resource: pool.AdminResource(p.Issuer)}
	path := ""
	if u, err := url.Parse(p.Issuer); err == nil { // judged when it was configured
		path = u.EscapedPath()
	}
	g.origin = strings.TrimSuffix(p.Issuer, path)
	g.metadata = "/.well-known/oauth-protected-resource" + path + "/admin"
	return g
}

// open lets operators in, and machines that may: their pool is this one.
func (g *gate) open(r *http.Request, name string) (pool.Caller, *pool.Pool, error) {
	raw, err := bearer(r)
	if err != nil {
		return pool.Caller{}, nil, err
	}
	access, err := g.api.config.Tokens.VerifyAccess(r.Context(), g.pool, raw)
	if err != nil {
		return pool.Caller{}, nil, err
	}
	event := mux.EventOf(r.Context())
	event.Client, event.User = string(access.Client), access.Sub
	if err := g.api.config.Tokens.Ended(r.Context(), g.pool, access); err != nil {
		return pool.Caller{}, nil, err
	}
	if err := g.admit(r.Context(), access); err != nil {
		return pool.Caller{}, nil, err
	}
	if name != g.pool.Name {
		return pool.Caller{}, nil, fault.New(fault.NotFound, "this is the API of the pool "+g.pool.Name+" alone")
	}
	return pool.Caller{Kind: pool.Operator, Name: access.Sub, Address: mux.ClientOf(r).Address}, g.pool, nil
}

// admit judges a valid token: fault.InvalidToken, fault.InsufficientScope.
func (g *gate) admit(ctx context.Context, access *token.Access) error {
	if !slices.Contains(access.Audience, g.resource) {
		return fault.New(fault.InvalidToken, "the token is meant for another resource")
	}
	for _, aud := range access.Audience {
		if aud != g.resource && aud != g.pool.Issuer {
			return fault.New(fault.InvalidToken, "the token is meant for several resources")
		}
	}
	if !slices.Contains(strings.Fields(access.Scope), pool.ScopeAdmin) {
		return fault.New(fault.InsufficientScope, "the scope gatehouse.admin is needed")
	}
	if access.Machine() {
		return g.admitMachine(access)
	}
	return g.admitPerson(ctx, access)
}

// admitMachine asks the configuration as it is now.
func (g *gate) admitMachine(access *token.Access) error {
	c := g.pool.Client(access.Client)
	if c == nil || !c.HasGrant(pool.GrantClient) || !slices.Contains(c.MachineScopes, pool.ScopeAdmin) {
		return fault.New(fault.InsufficientScope, "the client needs `grant client_credentials gatehouse.admin`")
	}
	return nil
}

// admitPerson asks the directory as it is now.
func (g *gate) admitPerson(ctx context.Context, access *token.Access) error {
	if c := g.pool.Client(access.Client); c == nil || !slices.Contains(c.Scopes, pool.ScopeAdmin) {
		return fault.New(fault.InsufficientScope, "the client may not have the scope gatehouse.admin")
	}
	u, err := g.api.config.Accounts.Find(ctx, g.pool, access.Sub)
	switch {
	case errors.Is(err, fault.NotFound) || err == nil && (string(u.Sub) != access.Sub || !u.Stands(access.Epoch)):
		return fault.New(fault.InvalidToken, "the sign-in has ended")
	case err != nil:
		return fmt.Errorf("admin: read user: %w", err)
	case !u.InGroup(pool.OperatorsGroup):
		return fault.New(fault.InsufficientScope, "only members of the group operators may do this")
	}
	return nil
}

// bearer reads the token from the one place where it may stand (RFC 6750 2.1).
func bearer(r *http.Request) (string, error) {
	headers := r.Header["Authorization"]
	if len(headers) == 0 {
		return "", mux.ErrNoToken
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	value = strings.TrimLeft(value, " ")
	switch {
	case len(headers) > 1:
		return "", fault.New(fault.InvalidToken, "there is more than one Authorization header")
	case !strings.EqualFold(scheme, "Bearer"):
		return "", mux.ErrNoToken
	case value == "" || strings.ContainsAny(value, " ,\t"):
		return "", fault.New(fault.InvalidToken, "the Authorization header is not one Bearer token")
	}
	return value, nil
}

// challenge says how to get in (RFC 6750 3, RFC 9728 5.1).
func (g *gate) challenge(h http.Header, err error) {
	code := fault.CodeOf(err)
	if err == nil || code != fault.InvalidToken && code != fault.InsufficientScope {
		return
	}
	value := `Bearer resource_metadata="` + g.origin + g.metadata + `"`
	if !errors.Is(err, mux.ErrNoToken) {
		value += `, error="` + string(code) + `", error_description="` + mux.Printable(fault.TextOf(err)) + `"`
	}
	h.Set("WWW-Authenticate", value+`, scope="`+pool.ScopeAdmin+`"`)
}
