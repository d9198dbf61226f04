package guard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// passed is what an earlier gate of the same route found out about a request.
type passed struct {
	site  *site
	entry *entry // nil: anonymous
	creds credentials

	denied bool // an earlier line refused who it is
	listed bool // sent by a script of an origin that may use our cookie
}

type passedKey struct{}

// Memory keeps what the gates of a request found out where its context does
// not reach: a server runs its routes for errors on the request as it came,
// from whose headers the credentials are gone by then.
type Memory struct{ passed *passed }

type memoryKey struct{}

// WithMemory returns a context with which Handle remembers. Both requests, of
// the site's routes and of those for errors, must carry the same Memory.
func WithMemory(ctx context.Context, m *Memory) context.Context {
	return context.WithValue(ctx, memoryKey{}, m)
}

// Handle judges a request. It answers what is the site's own (callback,
// logout, me, metadata) and the redirect to sign in, and returns nil; or it
// returns a *Denial; or it calls next once with the request cleaned and named,
// and returns next's error. The request's facts come from mux.ClientOf.
//
// Several gates of one route add up: the first cleans and identifies, each
// judges its own conditions.
func (g *Gate) Handle(w http.ResponseWriter, r *http.Request, next Next) error {
	client := mux.ClientOf(r)
	s := g.site(client.Origin)
	if s == nil {
		clean(r)
		return &Denial{Status: http.StatusMisdirectedRequest, Cause: fault.New(fault.NotFound, "no site here has this host")}
	}
	origin := ""
	if len(g.rule.CORS) > 0 {
		origin = g.rule.listed(r.Header)
		share(w.Header(), origin) // refusals too: a script must be able to read its challenge
		if handled, err := g.preflight(w, r, s, client, origin); handled {
			clean(r) // routes for errors get it
			return err
		}
	}
	r, seen, handled, err := g.meet(w, r, s, client)
	if handled || err != nil {
		return err
	}
	seen.listed = seen.listed || origin != ""
	if g.rule.Resource == "" {
		s = seen.site // lines add up: what an earlier one wants, this one does not undo
	}
	if len(g.rule.CORS) > 0 {
		shared := &sharing{ResponseWriter: w, origin: origin}
		defer shared.done()
		w = shared
	}
	if g.rule.Mode == Public || len(g.rule.Public) > 0 && g.rule.open(rawPath(client.OrigURI), r.URL.EscapedPath()) {
		return g.welcome(w, r, s, seen, next)
	}
	e, err := g.who(r, s, seen)
	if err != nil {
		stripIdentity(r.Header) // an earlier line may have named the caller
		return g.refuse(w, r, s, seen.creds, client, err)
	}
	seen.entry = e
	if err := g.admit(r, s, seen); err != nil {
		seen.denied = true
		stripIdentity(r.Header)
		if e.principal.Browser && errors.Is(err, fault.InsufficientUserAuth) {
			return g.signInAgain(w, r, s, seen.creds, client, err)
		}
		return err
	}
	out, r := g.follow(w, r, s, seen)
	defer out.done()
	return g.pass(out, r, s, seen, next)
}

// meet cleans a request and reads its credentials, at the first gate that it
// comes to, and answers what is the site's own.
func (g *Gate) meet(w http.ResponseWriter, r *http.Request, s *site, client mux.Client) (_ *http.Request, seen *passed, handled bool, err error) {
	seen, _ = r.Context().Value(passedKey{}).(*passed)
	if seen != nil && seen.site.Pool.ID == s.Pool.ID {
		return r, seen, false, nil
	}
	if seen = recall(r, s); seen == nil {
		seen = &passed{site: s, creds: readCredentials(r, s)}
		remember(r, seen)
		handled, err = g.own(w, r, s, seen.creds, client) // reads cookies that clean takes away
	}
	clean(r)
	if handled || err != nil {
		return r, seen, handled, err
	}
	return r.WithContext(context.WithValue(r.Context(), passedKey{}, seen)), seen, false, nil
}

// welcome lets everybody pass, and names who can be named: not who was
// refused, not by the word of another site, and not by a session that may have
// ended where that matters.
func (g *Gate) welcome(w http.ResponseWriter, r *http.Request, s *site, seen *passed, next Next) error {
	e, err := g.who(r, s, seen)
	if err == nil && (seen.denied || g.stale() || e.principal.Browser && !seen.listed && sameOrigin(r) != nil) {
		e = nil
	}
	if err != nil || e == nil {
		e = nil
		stripIdentity(r.Header) // an earlier line may have named the caller
	}
	seen.entry = e
	return g.pass(w, r, s, seen, next)
}

// maxStale is how old the news of revocations may be at a strict gate.
const maxStale = 5 * time.Second

// stale reports whether revocations may have been missed that matter here.
func (g *Gate) stale() bool {
	return g.rule.Strict && g.guard.tokens.Revocations().Age() > maxStale
}

// recall returns what was found out before the site failed to answer.
func recall(r *http.Request, s *site) *passed {
	if m, ok := r.Context().Value(memoryKey{}).(*Memory); ok && m.passed != nil && m.passed.site.Pool.ID == s.Pool.ID && m.passed.site.Origin == s.Origin {
		return m.passed
	}
	return nil
}

func remember(r *http.Request, p *passed) {
	if m, ok := r.Context().Value(memoryKey{}).(*Memory); ok {
		m.passed = p
	}
}

// errAnonymous means that a request carries no credential this gate takes.
var errAnonymous = errors.New("guard: no credential")

// who finds out who a request is. What an earlier line found out holds if the
// credential is good for this line's resource as well.
func (g *Gate) who(r *http.Request, s *site, seen *passed) (*entry, error) {
	switch e := seen.entry; {
	case e == nil:
		return g.identify(r, s, seen.creds)
	case e.access != nil:
		if err := audience(e.access, s); err != nil {
			return nil, err
		}
		return e, nil
	default:
		return e, nil
	}
}

// identify finds out who a request is, from the one credential that counts.
func (g *Gate) identify(r *http.Request, s *site, c credentials) (*entry, error) {
	switch {
	case c.bad:
		return nil, fault.New(fault.InvalidToken, "the Authorization header is not one Bearer token")
	case c.bearer != "":
		return g.guard.bearer(r.Context(), s, c.bearer)
	case c.cookie != "" && !g.rule.API:
		e, err := g.guard.session(r.Context(), s, c.cookie)
		if errors.Is(err, fault.NotFound) {
			return nil, errAnonymous
		}
		return e, err
	}
	return nil, errAnonymous
}

// admit judges the conditions of this gate.
func (g *Gate) admit(r *http.Request, s *site, seen *passed) error {
	who := seen.entry.principal
	if who.Browser {
		if g.rule.API {
			return g.challenge(s, errAnonymous)
		}
		if !seen.listed {
			if err := sameOrigin(r); err != nil {
				return err
			}
		}
	}
	if g.stale() {
		return unavailable(r, fault.New(fault.Unavailable, "news of what has ended is late"))
	}
	lacks := g.rule.judge(who, g.guard.now)
	switch lacks.code {
	case "":
		return nil
	case fault.InsufficientScope, fault.InsufficientUserAuth:
		return g.challenge(s, fault.New(lacks.code, lacks.reason))
	}
	d := &Denial{
		Status: http.StatusForbidden, Header: http.Header{"Cache-Control": {"no-store"}},
		Cause: fault.New(lacks.code, lacks.reason), Browser: who.Browser && looking(r),
	}
	if d.Browser {
		d.SignOut = s.Origin + logoutPath
	}
	if !who.Browser {
		d.Header.Set("WWW-Authenticate", s.challenge)
	}
	return d
}

// pass names the caller and hands the request on.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, s *site, seen *passed, next Next) error {
	who := &pool.Principal{Pool: s.Pool.ID}
	if seen.entry != nil {
		who = seen.entry.principal
		stripIdentity(r.Header)
		if err := g.guard.name(r.Context(), r.Header, s, &g.rule, seen.entry); err != nil {
			return unavailable(r, err)
		}
	}
	// A token goes on to the resource that it is meant for, and nowhere else.
	if seen.creds.bearer != "" && (g.rule.Strip || seen.entry == nil && g.guard.ours(r.Context(), s, seen.creds.bearer)) {
		r.Header.Del("Authorization")
	}
	return next(w, r, Identity{Principal: who, Resource: s.Resource})
}

// ours reports whether a token that opened nothing here is a token of the pool all the same.
func (g *Guard) ours(ctx context.Context, s *site, raw string) bool {
	_, err := g.tokens.VerifyAccess(ctx, s.Pool, raw)
	return err == nil
}

// refuse answers a request that nobody stands behind: a person who navigates
// is led to sign in, everybody else gets a challenge.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, s *site, c credentials, client mux.Client, err error) error {
	switch {
	case errors.Is(err, errAnonymous):
		if !g.rule.API {
			return g.signInAgain(w, r, s, c, client, g.challenge(s, err))
		}
		return g.challenge(s, err)
	case errors.Is(err, fault.InvalidToken):
		return g.challenge(s, err)
	}
	return unavailable(r, err)
}

// signInAgain leads a person who navigates to sign in. Whoever sends a form
// sees the refusal as a page, with a link back to where the form was: to sign
// in would lose what it held without a word. Scripts get the refusal as it is.
func (g *Gate) signInAgain(w http.ResponseWriter, r *http.Request, s *site, c credentials, client mux.Client, refusal error) error {
	if navigation(r) {
		return g.signIn(w, r, s, c, client.OrigURI)
	}
	if d := (*Denial)(nil); errors.As(refusal, &d) && looking(r) {
		d.Browser, d.Retry = true, s.Origin+cameFrom(r, s)
	}
	return refusal
}

// cameFrom is the path of the site's page that a request was sent from, if the
// browser says so.
func cameFrom(r *http.Request, s *site) string {
	if path, ok := strings.CutPrefix(r.Header.Get("Referer"), s.Origin+"/"); ok {
		return localPath("/" + path)
	}
	return "/"
}

// challenge is the answer to an API caller (RFC 6750 3, RFC 9470 3, RFC 9728 5.1).
func (g *Gate) challenge(s *site, err error) *Denial {
	d := &Denial{Status: http.StatusUnauthorized, Cause: err, Header: http.Header{"Cache-Control": {"no-store"}}}
	value := s.challenge
	switch code := fault.CodeOf(err); code {
	case fault.InsufficientScope:
		d.Status = http.StatusForbidden
		fallthrough
	case fault.InvalidToken, fault.InsufficientUserAuth:
		value += `, error="` + string(code) + `", error_description="` + fault.TextOf(err) + `"`
		if code == fault.InsufficientUserAuth {
			value += g.rule.wanted()
		}
	}
	if len(g.rule.Scopes) > 0 {
		value += `, scope="` + strings.Join(g.rule.Scopes, " ") + `"`
	}
	d.Header.Set("WWW-Authenticate", value)
	return d
}

// wanted says in a challenge what sign-in would do.
func (r *Rule) wanted() string {
	value := ""
	if r.ACR != "" {
		value += `, acr_values="` + r.ACR + `"`
	}
	if r.MaxAge > 0 {
		value += `, max_age="` + seconds(r.MaxAge) + `"`
	}
	return value
}

// seconds writes a duration as the protocols do.
func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// unavailable is the answer when we cannot find out.
func unavailable(r *http.Request, err error) *Denial {
	return &Denial{
		Status: http.StatusServiceUnavailable, Cause: err, Browser: looking(r),
		Header: http.Header{"Retry-After": {"5"}, "Cache-Control": {"no-store"}},
	}
}

// navigation reports whether a browser is going to a page, so that a redirect
// makes sense: never for fetch, forms sent to an API, or images.
func navigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && looking(r)
}

// looking reports whether a person is going to see the answer, so that a page
// makes sense: that of a form as well.
func looking(r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// sameOrigin refuses what another site makes a browser send with our cookie:
// unsafe methods and upgrades need a same-origin proof.
func sameOrigin(r *http.Request) error {
	safe := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions
	if safe && r.Header.Get("Upgrade") == "" {
		return nil
	}
	if mux.SameOrigin(r) {
		return nil
	}
	return &Denial{Status: http.StatusForbidden, Cause: fault.New(fault.CrossSite, "the request was sent from another site"), Browser: looking(r)}
}

// rawPath is the escaped path of a request URI.
func rawPath(uri string) string {
	if u, err := url.ParseRequestURI(uri); err == nil {
		return u.EscapedPath()
	}
	return ""
}

// decodedPath is the path of a request URI, decoded once.
func decodedPath(uri string) string {
	if u, err := url.ParseRequestURI(uri); err == nil {
		return u.Path
	}
	return ""
}
