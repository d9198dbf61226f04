package authcore

import (
	"log/slog"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// StateConfig says what the shared state stands on: what outlives a
// configuration.
type StateConfig struct {
	Directory store.Store
	Session   store.Store // nil: Directory
	Keys      *secret.Keys
	// Hashing bounds the hashing of passwords. The zero value is meant for
	// production; less is for tests.
	Hashing secret.HasherConfig
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discards
}

// ErrInUse says that another process holds the store.
var ErrInUse = store.ErrInUse

// Config is one configuration: its pools, and what renders their pages. New
// resolves it once; Validate returns all problems.
type Config struct {
	Pools    []PoolConfig
	Renderer page.Renderer
}

// PoolConfig configures a pool. Zero values mean the defaults of docs/caddyfile.md.
type PoolConfig struct {
	Name         string // "default" if empty
	Issuer       string // named by the operator, it may replace a stored one; empty: from the login site
	Brand        string
	MinLength    int
	SessionIdle  time.Duration
	SessionLife  time.Duration
	Access       time.Duration
	ID           time.Duration
	Refresh      time.Duration
	ReuseGrace   time.Duration
	SigningAlg   string
	IDSigningAlg string
	Groups       []string
	Resources    []ResourceConfig
	Clients      []ClientConfig
	Login        LoginConfig
	Sites        []SiteConfig
	Where        string // file:line, for errors
}

// LoginConfig is where a pool's login lives.
type LoginConfig struct {
	Origin string // https://login.example.com
	Prefix string // "" or "/_auth" in one-site mode
}

// SiteConfig is a gated origin, or a pattern of them such as
// https://*.example.com, whose wildcard stands for one label; a pattern needs
// a Resource.
type SiteConfig struct {
	Origin   string
	Resource string // empty: the origin
	API      bool   // it takes tokens only: people are not sent there
}

// ResourceConfig declares an API.
type ResourceConfig struct {
	ID         string
	Scopes     []string
	Texts      map[string]string // what people read about a scope
	TokenTTL   time.Duration
	SigningAlg string
	Where      string // file:line, for errors
}

// ClientConfig registers an application.
type ClientConfig struct {
	ID              string
	Name            string
	Secrets         []secret.Hidden
	Auth            string // token endpoint auth method; empty: basic and post, or none without a secret
	Redirects       []string
	Logouts         []string // where people may be sent after signing out
	Origins         []string // whose scripts may call the endpoints
	Consent         bool     // ask people before they share anything with it
	Grants          []GrantConfig
	Scopes          []string
	DefaultScopes   []string
	Resources       []string
	DefaultResource string
	Native          bool
	PKCEOptional    bool
	RotateOff       bool
	Access          time.Duration
	IDLife          time.Duration
	Refresh         time.Duration
	IDSigningAlg    string
	Disabled        bool
	Where           string // file:line, for errors
}

// GrantConfig allows a grant type; scopes are of client_credentials.
type GrantConfig struct {
	Type   string
	Scopes []string
}

// GateConfig is one gate line of one pool, before its sites are known.
type GateConfig struct {
	Pool    string
	Rule    guard.Rule
	Origins []string // origins that lead to it
}
