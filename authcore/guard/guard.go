// Package guard is the gate as a library: request → Principal. It strips what
// only it may say, reads a session cookie or a bearer token, judges the
// conditions, names the caller to the upstream, cuts streams whose sign-in has
// ended, says which other origins' scripts may read an answer, and answers what
// is a site's own (callback, logout, who am I, protected resource metadata).
//
// It does not know the server in front, and it does not render refusals: a
// refusal is a *Denial for whoever runs the gate.
package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Config says what gates stand on; one per process.
type Config struct {
	Tokens   *token.Service
	Sessions *session.Service
	// Secret derives a pool's key for one purpose.
	Secret func(ctx context.Context, id pool.ID, purpose string) ([]byte, error)
	// LogoutTicket seals the proof that a person asked to end a session by
	// name; the login host's logout honours it.
	LogoutTicket func(ctx context.Context, p *pool.Pool, sessionName string) (string, error)
	Now          func() time.Time // nil: time.Now
	Logger       *slog.Logger     // nil: discards
}

// Guard holds the caches that all gates of a process share; it survives reloads.
type Guard struct {
	tokens       *token.Service
	sessions     *session.Service
	secret       func(ctx context.Context, id pool.ID, purpose string) ([]byte, error)
	logoutTicket func(ctx context.Context, p *pool.Pool, sessionName string) (string, error)
	now          func() time.Time
	log          *slog.Logger
	cache        *cache
	streams      streams
}

// New returns a Guard.
func New(c Config) *Guard {
	g := &Guard{tokens: c.Tokens, sessions: c.Sessions, secret: c.Secret, logoutTicket: c.LogoutTicket, now: c.Now, log: c.Logger, cache: newCache(), streams: streams{open: map[*stream]struct{}{}}}
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	return g
}

// Site is a protected origin, resolved.
type Site struct {
	Pool *pool.Pool
	// Origin is https://app.example.com; or a pattern such as
	// https://*.example.com, which stands for every origin that it covers; or
	// AnyOrigin. Both of the latter need a Resource, and AnyOrigin a rule that
	// takes bearer tokens only: nobody can be sent back to it.
	Origin   string
	Resource string // audience it accepts; its origin by default
	// Described are all resources of the origin, those of other gates among
	// them: whichever gate a request for their metadata comes to answers.
	Described []string
	Client    *pool.Client // "site:" + Origin
	// Login is the login host's base URL: origin and prefix.
	Login string
	// OneSite is set where the login lives on this origin under /_auth: then
	// logout is the login's.
	OneSite bool
}

// AnyOrigin stands for every origin.
const AnyOrigin = "*"

// Gate is one gate line in front of a route: its rule, and its sites by origin.
type Gate struct {
	guard    *Guard
	rule     Rule
	sites    map[string]*site
	patterns []Site                    // those that stand for many origins
	covered  *lru.Cache[string, *site] // origins that a pattern covered, bounded: anybody may name one
}

// maxCovered is how many origins of patterns a gate keeps in mind.
const maxCovered = 1024

// site is a Site with what is computed once.
type site struct {
	Site
	cookies   mux.Cookies
	callback  string                    // redirect URI
	metadata  map[string]map[string]any // of RFC 9728, by path
	challenge string                    // Bearer resource_metadata="…"
}

// Gate returns a gate for the origins that lead to one line.
func (g *Guard) Gate(rule Rule, sites []Site) (*Gate, error) {
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	gate := &Gate{guard: g, rule: rule, sites: make(map[string]*site, len(sites))}
	gate.covered, _ = lru.New[string, *site](maxCovered) // the only error is a size below one
	for _, s := range sites {
		prepared, err := prepare(s, rule)
		if err == nil && strings.Contains(s.Origin, "*") {
			if err = manyOrigins(s, rule); err == nil {
				gate.patterns = append(gate.patterns, s)
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("guard: site %s: %w", s.Origin, err)
		}
		gate.sites[s.Origin] = prepared
	}
	return gate, nil
}

// manyOrigins refuses a site of many origins that could not work.
func manyOrigins(s Site, rule Rule) error {
	switch {
	case s.Resource == "" && rule.Resource == "":
		return errors.New("an address with a wildcard, or none, needs `resource`: its origin is no name for one API")
	case s.Origin == AnyOrigin && !rule.API && rule.Mode != Public:
		return errors.New("without a host name nobody can be sent back here after signing in: give the site an address, or let it take tokens only (`api`)")
	}
	return nil
}

// plainOrigin is what may become a site of its own: nothing in it could break
// out of a header.
var plainOrigin = regexp.MustCompile(`^https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$`)

// site returns the site of an origin, or nil: it has its own, or a pattern
// covers it.
func (g *Gate) site(origin string) *site {
	if s := g.sites[origin]; s != nil {
		return s
	}
	if len(g.patterns) == 0 {
		return nil
	}
	if s, ok := g.covered.Get(origin); ok {
		return s
	}
	i := slices.IndexFunc(g.patterns, func(s Site) bool { return pool.CoversOrigin(s.Origin, origin) })
	if i < 0 {
		i = slices.IndexFunc(g.patterns, func(s Site) bool { return s.Origin == AnyOrigin })
	}
	if i < 0 || len(origin) > 300 || !plainOrigin.MatchString(origin) {
		return nil
	}
	own := g.patterns[i]
	own.Origin, own.Client = origin, pool.SiteClient(origin)
	s, err := prepare(own, g.rule)
	if err != nil {
		return nil // prepared once before, as a pattern
	}
	g.covered.Add(origin, s)
	return s
}

// prepare computes what every request at a site needs.
func prepare(s Site, rule Rule) (*site, error) {
	s.Resource = cmp.Or(rule.Resource, s.Resource, s.Origin)
	metadata := map[string]map[string]any{}
	for _, other := range s.Described {
		if _, _, err := describe(metadata, s, other); err != nil {
			return nil, err
		}
	}
	id, path, err := describe(metadata, s, s.Resource) // last: no other takes its place
	if err != nil {
		return nil, err
	}
	s.Resource = id // as it is issued in aud
	return &site{
		Site:      s,
		cookies:   mux.Cookies{Origin: s.Origin, Pool: string(s.Pool.ID)}.Prepared(),
		callback:  s.Origin + CallbackPath,
		metadata:  metadata,
		challenge: `Bearer resource_metadata="` + s.Origin + path + `"`,
	}, nil
}

// describe adds the metadata of a resource to those by path, and returns the
// resource's id and its path there.
func describe(byPath map[string]map[string]any, s Site, resource string) (id, path string, err error) {
	declared := s.Pool.FindResource(resource)
	if declared != nil {
		resource = declared.ID
	}
	if path, err = metadataPath(s.Origin, resource); err != nil {
		return "", "", err
	}
	metadata := map[string]any{
		"resource":                 resource,
		"authorization_servers":    []string{s.Pool.Issuer},
		"bearer_methods_supported": []string{"header"},
	}
	if declared != nil && len(declared.Scopes) > 0 {
		metadata["scopes_supported"] = declared.Scopes
	}
	byPath[path] = metadata
	return resource, path, nil
}

// CallbackPath, on a site's origin, is the redirect URI of its gate.
const CallbackPath = pool.SiteCallback

// The other paths that are ours at a protected site.
const (
	ownPrefix  = "/_auth/"
	logoutPath = "/_auth/logout"
	mePath     = "/_auth/me"
	wellKnown  = "/.well-known/oauth-protected-resource"
)

// metadataPath inserts the well-known segment between host and path of a
// resource on this origin (RFC 9728 3.1); a resource that is named otherwise
// is described at the root.
func metadataPath(origin, resource string) (string, error) {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme == "" {
		return "", fmt.Errorf("resource %q is not an absolute URI", resource)
	}
	if u.Scheme+"://"+u.Host != origin {
		return wellKnown, nil
	}
	return wellKnown + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}

// Denial is a refusal.
type Denial struct {
	Status  int         // 400, 401, 403, 404, 405, 421, 503
	Header  http.Header // WWW-Authenticate, Retry-After, Cache-Control, Allow
	Cause   error       // for the log; a fault.Error whose text is safe to show
	Browser bool        // a person is looking: a page may be shown
	SignOut string      // link to sign out, for such a page
	Retry   string      // link to try again, for such a page
}

// Error names the status and the cause, for logs.
func (d *Denial) Error() string {
	return fmt.Sprintf("gate: %d %s: %v", d.Status, http.StatusText(d.Status), d.Cause)
}

// Unwrap returns the cause.
func (d *Denial) Unwrap() error { return d.Cause }

// Identity is what a passed request carries, for placeholders and logs.
type Identity struct {
	Principal *pool.Principal // never nil; Anonymous on a public route without a session
	Resource  string
}

// Next is what stands behind a gate.
type Next func(http.ResponseWriter, *http.Request, Identity) error
