package flow

import "github.com/gatehouse-auth/gatehouse/authcore/secret"

// Paths of a login host, below its prefix, between which a sign-in that an
// application asked for goes: each hands on the query of the authorization
// request as it came.
const (
	AuthorizePath = "/oauth2/authorize"
	LoginPath     = "/login"
	SelectPath    = "/select"
)

// MaxQuery is the longest query that goes between them, in bytes: what every
// browser and server takes.
const MaxQuery = 8 << 10

// Parameters of ours that the pages and the authorization endpoint add to that
// query. They prove nothing to anybody.
const (
	// ParamFresh says since when (Unix milliseconds) a sign-in is fresh enough
	// for the application.
	ParamFresh = "gh_fresh"
	// ParamAccount is the name of the SSO session that the person chose.
	ParamAccount = "gh_account"
)

// CookieLength is the length of a pre-session cookie's value.
const CookieLength = 43

// NewCookie makes the value of a pre-session cookie, which binds attempts to a
// browser: 256 random bits.
func NewCookie() string { return secret.Token(32) }
