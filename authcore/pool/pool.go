// Package pool holds the nouns of Gatehouse and their validation: Pool,
// Client, Resource, User, Session, Principal, Caller and their kin.
//
// It does no I/O. JSON tags on the stored nouns are the disk format: short
// names, never reused (authcore/repo stores them and keeps members it does
// not know).
package pool

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// ID is a pool's immutable id, shaped like xx-edge-1_AbC123xyz.
type ID string

// UserID is a user's sub: a lower-case UUID, never reused.
type UserID string

// ClientID names a client, unique over all pools. It never looks like a UUID.
// The gate of a site is the internal client "site:" + origin.
type ClientID string

// Pool is a user directory with its policies, clients, resources and issuer,
// resolved: every default is filled in.
type Pool struct {
	ID       ID
	Name     string // the Caddyfile's alias, "default"
	Issuer   string // absolute URL without a trailing slash
	Brand    string // name that people see
	Password PasswordPolicy
	Session  SessionPolicy
	Token    TokenPolicy

	Clients   map[ClientID]*Client // look up with Client, which knows wildcard sites too
	Resources map[string]*Resource // by identifier, as it is issued in aud
	Groups    map[string]*Group
	// SitePatterns are the gated origins with a wildcard label, such as
	// https://*.example.com; each origin that one covers is a site of its own.
	SitePatterns []string
}

// PasswordPolicy bounds new passwords.
type PasswordPolicy struct {
	MinLength int  // characters; 8
	Breached  bool // refuse the commonest; true
}

// SessionPolicy bounds browser sessions.
type SessionPolicy struct {
	Idle     time.Duration // 12 h
	Absolute time.Duration // 30 d
}

// TokenPolicy bounds tokens. A client's or resource's own value, where there is one, wins.
type TokenPolicy struct {
	Access     time.Duration // 15 min
	ID         time.Duration // 15 min
	Refresh    time.Duration // 30 d, absolute
	ReuseGrace time.Duration // 10 s
	Alg        jose.Alg      // of access tokens: ES256
	IDAlg      jose.Alg      // of ID tokens: RS256
}

// Group is a named set of users.
type Group struct{ Name string }

// OperatorsGroup is the group whose members are operators.
const OperatorsGroup = "operators"

// Resource is an API named by an identifier; it owns scopes.
type Resource struct {
	ID       string
	Scopes   []string
	Texts    map[string]string // what people read about a scope, where the operator wrote it
	TokenTTL time.Duration     // 0: the pool's
	Alg      jose.Alg          // empty: the pool's
	Site     bool              // made from a gated site's origin
}

// Grant types (RFC 6749 1.3).
const (
	GrantCode    = "authorization_code"
	GrantRefresh = "refresh_token"
	GrantClient  = "client_credentials"
)

// Client authentication methods (OIDC Core 9, RFC 6749 2.3).
const (
	AuthNone  = "none"
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
)

// Client is an application registered in a pool.
type Client struct {
	ID              ClientID
	Name            string
	Secrets         []ClientSecret // at most two; none: public
	AuthMethods     []string       // accepted; public: none; confidential: basic and post unless one is set
	RedirectURIs    []string
	LogoutURIs      []string // where people may be sent after signing out (OIDC RP-Initiated Logout 1.0)
	Origins         []string // whose scripts may call the endpoints (CORS)
	Consent         bool     // people are asked before they share anything with it
	Grants          []string
	Scopes          []string // what a user may grant it
	DefaultScopes   []string // when a request names none; empty: Scopes
	MachineScopes   []string // of client_credentials
	Resources       []string // audiences it may ask for; resolved at configuration
	DefaultResource string
	Native          bool          // loopback redirect URIs match any port (RFC 8252 7.3)
	PKCEOptional    bool          // confidential clients only
	KeepRefresh     bool          // rotate off
	Access          time.Duration // 0: the pool's
	IDLife          time.Duration
	Refresh         time.Duration
	IDAlg           jose.Alg
	Disabled        bool
	Site            bool // internal client of a gate
}

// ClientSecret is one of a client's live secrets.
type ClientSecret struct {
	ID    string // stable and public: a short hash
	Value secret.Hidden
}

// Status is where a user stands.
type Status string

// The states of a user.
const (
	Confirmed       Status = "ok"
	MustSetPassword Status = "new" // has no password yet
	// MustChangePassword: the password is somebody else's choice; the next
	// sign-in asks for another before anything is issued.
	MustChangePassword Status = "chg"
)

// User is a person in a pool. The record is the truth about aliases: an alias
// counts only if the user lists it.
type User struct {
	Sub           UserID `json:"s"`
	Username      string `json:"u"` // immutable; equals Sub for people who sign in by e-mail or phone
	Email         string `json:"e,omitempty"`
	EmailVerified bool   `json:"ev,omitempty"`
	Phone         string `json:"p,omitempty"`
	PhoneVerified bool   `json:"pv,omitempty"`
	Name          string `json:"n,omitempty"`
	// Claims are the other standard claims (OIDC Core 5.1) by name, such as
	// given_name, locale and, as one text, address.
	Claims   map[string]string `json:"a,omitempty"`
	Groups   []string          `json:"g,omitempty"`
	Status   Status            `json:"st"`
	Disabled bool              `json:"d,omitempty"`
	Epoch    uint32            `json:"ep,omitempty"` // raising it ends everything issued under a lower one
	Password *PasswordEntry    `json:"pw,omitempty"`
	Created  time.Time         `json:"c"`
	Updated  time.Time         `json:"m"`
}

// PasswordEntry is the stored password.
type PasswordEntry struct {
	Norm int       `json:"n"` // version of the normalisation
	PHC  string    `json:"h"`
	Set  time.Time `json:"t"`
}

// Session is a signed-in browser at the login host (the SSO session), stored
// under the hash of its id in the user's partition.
type Session struct {
	Sub      UserID    `json:"s"`
	Epoch    uint32    `json:"ep"`
	AuthTime time.Time `json:"at"`
	ACR      string    `json:"acr"`
	AMR      []string  `json:"amr"`
	Created  time.Time `json:"c"`
	Used     time.Time `json:"u"`            // last touch, coarse
	Families []string  `json:"f,omitempty"`  // origin_jti of the refresh families born in it, at most 50 kept
	Address  string    `json:"ip,omitempty"` // client address at sign-in
	Agent    string    `json:"ua,omitempty"` // User-Agent at sign-in, cut to 256 bytes
	// Earlier are the names of the same person's sessions in the same browser
	// that this one has taken the place of; they end with it.
	Earlier []string `json:"er,omitempty"`
	// Replaced is the name of the session that has taken the place of this
	// one: its cookie is good no more, and what was born in it lives as long
	// as that one.
	Replaced string `json:"rp,omitempty"`
}

// Attempt is a sign-in under way that has proven something, stored in the
// user's partition under the hash of its handle. Each step is a
// compare-and-swap.
type Attempt struct {
	ID    string    `json:"i"` // attempt id, which succeeds once
	Place string    `json:"b"` // hash of what it is bound to
	Sub   UserID    `json:"s"`
	Epoch uint32    `json:"ep"` // the user's when the first credential was read
	At    time.Time `json:"at"` // of the first proven factor
	ACR   string    `json:"acr"`
	AMR   []string  `json:"amr"`
	Step  string    `json:"st"` // what is asked now: prompt kind
}

// Consent is what a user lets a client have, remembered per user, client,
// redirect host and resource.
type Consent struct {
	Client   ClientID  `json:"cl"`
	Host     string    `json:"h"`            // of the redirect URI
	Resource string    `json:"re,omitempty"` // empty: the issuer
	Scopes   []string  `json:"sc"`
	At       time.Time `json:"at"`
}

// SiteSession is a session's child at one protected site; it dies with its
// parent.
type SiteSession struct {
	Sub      UserID    `json:"s"`
	Parent   string    `json:"p"` // name (hash) of the SSO session
	Client   ClientID  `json:"cl"`
	Epoch    uint32    `json:"ep"`
	AuthTime time.Time `json:"at"`
	ACR      string    `json:"acr"`
	AMR      []string  `json:"amr"`
	Created  time.Time `json:"c"`
	Used     time.Time `json:"u"`
}

// Code is an authorization code, stored under its hash in the user's
// partition. A redeemed code stays until it expires, so that a replay is seen
// and ends what it bought.
type Code struct {
	Client      ClientID  `json:"cl"`
	RedirectURI string    `json:"ru"`
	Challenge   string    `json:"ch,omitempty"` // PKCE S256
	Nonce       string    `json:"no,omitempty"`
	Scopes      []string  `json:"sc"`
	Resources   []string  `json:"re,omitempty"`
	Sub         UserID    `json:"s"`
	Session     string    `json:"se"` // name of the SSO session
	Epoch       uint32    `json:"ep"`
	AuthTime    time.Time `json:"at"`
	ACR         string    `json:"acr"`
	AMR         []string  `json:"amr"`
	IDClaims    []string  `json:"ic,omitempty"` // claims that were asked for by name in the ID token (OIDC Core 5.5)
	InfoClaims  []string  `json:"uc,omitempty"` // the same at userinfo
	Family      string    `json:"fa,omitempty"` // name of the family it bought: it is used
	Used        bool      `json:"us,omitempty"`
}

// Family is the chain of refresh tokens born of one redeemed code.
type Family struct {
	Client     ClientID  `json:"cl"`
	Sub        UserID    `json:"s"`
	Session    string    `json:"se"`
	OriginJTI  string    `json:"oj"`  // in its access tokens; listed when it is revoked
	Key        []byte    `json:"k"`   // sealed with the record; part of the MAC key of its tokens
	Gen        uint32    `json:"g"`   // current generation
	Rotated    time.Time `json:"r"`   // when it became current
	StoreEp    uint32    `json:"se2"` // failover epoch of the last rotation
	Scopes     []string  `json:"sc"`
	Resources  []string  `json:"re,omitempty"`
	Nonce      string    `json:"no,omitempty"`
	Epoch      uint32    `json:"ep"`
	AuthTime   time.Time `json:"at"`
	ACR        string    `json:"acr"`
	AMR        []string  `json:"amr"`
	IDClaims   []string  `json:"ic,omitempty"` // as in the code
	InfoClaims []string  `json:"uc,omitempty"`
	Refresh    bool      `json:"rf,omitempty"` // refresh tokens are issued
	Dead       bool      `json:"x,omitempty"`
	Expires    time.Time `json:"e"`
}

// The assurance levels (acr), lowest first.
const (
	AAL1 = "aal1" // one factor
	AAL2 = "aal2" // two factors
	PHR  = "phr"  // a phishing-resistant one: a passkey with user verification
)

// ACRAtLeast reports whether have is at least the level want; a level that is
// not known is none.
func ACRAtLeast(have, want string) bool {
	levels := []string{AAL1, AAL2, PHR}
	h, w := slices.Index(levels, have), slices.Index(levels, want)
	return w >= 0 && h >= w
}

// PrincipalKind says what a principal is.
type PrincipalKind int

// The kinds of principals.
const (
	Anonymous PrincipalKind = iota
	Person
	Machine
)

// Principal is who a request is, after the gate. It is shared and must not be
// changed.
type Principal struct {
	Kind     PrincipalKind
	Pool     ID
	Sub      UserID // Person
	Username string
	Name     string
	Email    string // only if verified
	Groups   []string
	Client   ClientID // the client a token was issued to; empty for a browser session
	Scopes   []string // of a token; a browser session has none
	AuthTime time.Time
	ACR      string
	AMR      []string
	Browser  bool // came by cookie
}

// CallerKind says what a caller is.
type CallerKind string

// The kinds of callers.
const (
	System   CallerKind = "system"   // start-up and background work
	Operator CallerKind = "operator" // admin socket or API
	Self     CallerKind = "self"     // a signed-in user
	Visitor  CallerKind = "visitor"  // nobody yet, such as the holder of a one-time link
)

// Caller is who asks for a state change; every one has one.
type Caller struct {
	Kind    CallerKind
	Name    string // sub, or how the operator came in, for the audit record
	Address string // client address if there is one
}

// FirstUser names the user that the first-user link makes; one entry per pool.
type FirstUser struct {
	Sub     UserID `json:"s"`
	Link    string `json:"l"`           // hash of the link's token
	Claimed bool   `json:"c,omitempty"` // somebody is submitting it
}

// Invite is a one-time link that lets a user set a password.
type Invite struct {
	Sub   UserID `json:"s"`
	Epoch uint32 `json:"ep"` // the user's when it was made: a later one voids it
}

// Revocation tells every gate what has ended; it lives as long as the
// longest access token.
type Revocation struct {
	Sub       UserID   `json:"s"`
	Epoch     uint32   `json:"ep,omitempty"` // tokens and sessions of a lower epoch are dead
	Groups    []string `json:"g,omitempty"`  // the user's groups now; a token's are intersected with them
	Gone      bool     `json:"x,omitempty"`  // deleted or disabled
	OriginJTI string   `json:"oj,omitempty"` // a revoked family; then only this and Sub are set
}

// KeyUse says what signing keys are for.
type KeyUse string

// The uses of signing keys.
const (
	TokenKeys     KeyUse = "token"     // access and ID tokens
	AssertionKeys KeyUse = "assertion" // assertions to upstreams
)

// SigningKey is a stored signing key. It is published from Created, signs
// from SignFrom until another takes over, and leaves the published set at
// Retire.
type SigningKey struct {
	ID       string    `json:"id"`
	Alg      jose.Alg  `json:"a"`
	Private  []byte    `json:"k"` // JWK, sealed with the record
	Created  time.Time `json:"c"`
	SignFrom time.Time `json:"f"`
	Retire   time.Time `json:"r,omitzero"` // zero: not replaced yet
}

// SigningKeys is all keys of one use; one entry per pool and use.
type SigningKeys struct {
	Keys []SigningKey `json:"k"`
}
