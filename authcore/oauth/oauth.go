// Package oauth is the OAuth 2.0 and OpenID Connect face of a pool: authorize
// and consent, token, revocation, introspection, userinfo, discovery, JWKS.
//
// It owns what these protocols ask on the wire: which parameters, in which
// order they are judged, where an error goes. Signing in is signin's, tokens
// are token's; error bodies are mux's.
package oauth

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Users finds the people that tokens speak of.
type Users interface {
	User(ctx context.Context, id pool.ID, sub pool.UserID) (*pool.User, error)
}

// Accounts remembers what people let clients have.
type Accounts interface {
	Consented(ctx context.Context, p *pool.Pool, sub pool.UserID, want pool.Consent) (bool, error)
	Consent(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, given pool.Consent) error
}

// Config says what a Handler stands on.
type Config struct {
	Tokens   *token.Service
	Sessions *session.Service
	Users    Users
	Accounts Accounts
	Renderer page.Renderer
	// JWKS returns the published keys of one use, as a JWK Set (RFC 7517 5).
	JWKS func(ctx context.Context, id pool.ID, use pool.KeyUse) ([]byte, error)
	// Secret derives a pool's key for one purpose.
	Secret  func(ctx context.Context, id pool.ID, purpose string) ([]byte, error)
	Locales []string         // languages of the pages, as BCP 47 tags; none: not said
	Now     func() time.Time // nil: time.Now
}

// Handler serves the endpoints of any number of pools.
type Handler struct {
	config Config
	grants map[string]grant.Grant
	decoy  *pool.Client
}

// New returns a Handler.
func New(c Config) *Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Handler{config: c, grants: grants(c.Tokens), decoy: newDecoy()}
}

// grants is the one list of grant types that the token endpoint knows. The
// password grant and the implicit grant are not among them, and never will be.
func grants(tokens *token.Service) map[string]grant.Grant {
	return map[string]grant.Grant{
		pool.GrantCode:    grant.Code{Tokens: tokens},
		pool.GrantRefresh: grant.Refresh{Tokens: tokens},
		pool.GrantClient:  grant.Client{Tokens: tokens},
	}
}

// Site is the login host of a pool.
type Site struct {
	Pool   *pool.Pool
	Origin string // https://login.example.com
	Prefix string // "" or "/_auth"
}

// endpoints are the endpoints of one site.
type endpoints struct {
	*Handler
	site    Site
	cookies mux.Cookies
}

// Paths below the site's prefix.
const (
	authorizePath     = flow.AuthorizePath
	consentPath       = "/oauth2/consent"
	tokenPath         = "/oauth2/token"
	userInfoPath      = "/oauth2/userInfo"
	loginPath         = flow.LoginPath
	logoutPath        = "/logout" // signin's
	openIDPath        = "/.well-known/openid-configuration"
	serverPath        = "/.well-known/oauth-authorization-server"
	jwksPath          = "/.well-known/jwks.json"
	assertionJWKSPath = "/.well-known/assertion-jwks.json"
)

// publicAge is how long anybody may keep metadata and keys. Keys are
// published for longer than this before they sign.
const publicAge = 5 * time.Minute

// Mount registers the endpoints of a site.
func (h *Handler) Mount(m *mux.Mux, site Site) {
	e := &endpoints{Handler: h, site: site, cookies: mux.Cookies{Origin: site.Origin, Pool: string(site.Pool.ID)}}

	m.Page("GET "+authorizePath, e.authorize)
	m.Entry("POST "+authorizePath, e.carryOver)
	m.Page("GET "+consentPath, e.showConsent)
	m.Page("POST "+consentPath, e.consent)
	e.mountTokens(m)
	m.Public("GET "+jwksPath, publicAge, e.keys(pool.TokenKeys))
	m.Public("GET "+assertionJWKSPath, publicAge, e.keys(pool.AssertionKeys))

	metadata := e.metadata()
	m.Public("GET "+openIDPath, publicAge, metadata)
	m.Public("GET "+serverPath, publicAge, metadata)
	// RFC 8414 3.1 puts the well-known part between host and path.
	if path, here := strings.CutPrefix(site.Pool.Issuer, site.Origin); here && strings.HasPrefix(path, "/") {
		m.Public("GET /"+openIDPath+path, publicAge, metadata)
		m.Public("GET /"+serverPath+path, publicAge, metadata)
	}
}

// url returns the absolute address of one of the site's paths.
func (e *endpoints) url(path string) string { return e.site.Origin + e.site.Prefix + path }
