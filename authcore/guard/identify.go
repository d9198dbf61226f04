package guard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

const (
	// sessionFresh is how long a cached session is believed about what no
	// revocation tells, such as a new name or a group that was added.
	sessionFresh = 30 * time.Second
	// touchAfter is how coarse the last use of a session is.
	touchAfter = 5 * time.Minute
	// touchRetry is the pause after an attempt to record it, successful or not.
	touchRetry = 10 * time.Second
	// assertionFresh is how long a signed assertion of 60 s is handed out.
	assertionFresh = 25 * time.Second
)

// Cache kinds of digestOf.
const (
	kindToken   = 't'
	kindSession = 's'
)

// bearer returns the verified entry of a token that is meant for the site's
// resource, or an error: fault.InvalidToken, or a failure to find out.
func (g *Guard) bearer(ctx context.Context, s *site, raw string) (*entry, error) {
	d := digestOf(kindToken, s.Pool.ID, "", raw)
	e, hit := g.cache.get(d)
	if hit && e.access.Issuer != s.Pool.Issuer {
		hit = false // the pool has moved: look closer
	}
	if hit {
		if err := g.tokens.Standing(ctx, s.Pool, e.access); err != nil {
			g.cache.drop(d)
			return nil, err
		}
		hit = g.tokens.Revocations().Changed(s.Pool.ID, pool.UserID(e.access.Sub)) <= e.seen
	}
	if !hit {
		seen := g.tokens.Revocations().Latest() // before the reading: a change in between is read again
		a, err := g.tokens.VerifyAccess(ctx, s.Pool, raw)
		if err != nil {
			return nil, err
		}
		e = &entry{access: a, seen: seen, principal: g.principalOf(s.Pool, a)}
		g.cache.put(d, e)
	}
	if err := audience(e.access, s); err != nil {
		return nil, err
	}
	return e, nil
}

// audience accepts a token whose aud holds the resource and nothing beside it
// but the issuer.
func audience(a *token.Access, s *site) error {
	if !slices.Contains(a.Audience, s.Resource) {
		return fault.New(fault.InvalidToken, "the token is meant for another resource")
	}
	for _, aud := range a.Audience {
		if aud != s.Resource && aud != s.Pool.Issuer {
			return fault.New(fault.InvalidToken, "the token is meant for several resources")
		}
	}
	return nil
}

// principalOf says who a token speaks for.
func (g *Guard) principalOf(p *pool.Pool, a *token.Access) *pool.Principal {
	scopes, _ := pool.ParseScope(a.Scope) // our own signature is over it
	who := &pool.Principal{Kind: pool.Machine, Pool: p.ID, Client: a.Client, Scopes: scopes, ACR: a.ACR, AMR: a.AMR}
	if a.Machine() {
		return who
	}
	who.Kind = pool.Person
	who.Sub = pool.UserID(a.Sub)
	who.Username = a.Username
	who.Groups = g.tokens.GroupsOf(p, a)
	if a.AuthTime != 0 {
		who.AuthTime = time.Unix(a.AuthTime, 0)
	}
	return who
}

// session returns the entry of a site cookie; fault.NotFound if there is no
// such session any more.
func (g *Guard) session(ctx context.Context, s *site, id string) (*entry, error) {
	d := digestOf(kindSession, s.Pool.ID, string(s.Client.ID), id)
	e, ok := g.cache.get(d)
	if !ok || !g.fresh(s.Pool.ID, e) {
		seen := g.tokens.Revocations().Latest()
		live, err := g.sessions.FindSite(ctx, s.Pool, s.Client.ID, id)
		switch {
		case err == nil:
		case errors.Is(err, fault.NotFound) || !g.outlives(s.Pool.ID, e):
			g.cache.drop(d)
			return nil, err
		default:
			// The store is down: a session that is known and not known to
			// have ended or changed goes on until its own end.
			return e, nil
		}
		e = &entry{live: live, loaded: g.now(), principal: person(s.Pool, live), seen: seen}
		g.cache.put(d, e)
	}
	if g.now().Sub(e.live.Session.Used) >= touchAfter {
		g.touch(ctx, s, d, e)
	}
	return e, nil
}

// touch records the use of a session; failing to is no reason to refuse. Of
// requests at once one does it, and a store that is down is not asked by all.
func (g *Guard) touch(ctx context.Context, s *site, d digest, e *entry) {
	now, last := g.now().UnixNano(), e.touched.Load()
	if now >= last && now-last < int64(touchRetry) || !e.touched.CompareAndSwap(last, now) {
		return
	}
	if err := g.sessions.Touch(ctx, s.Pool, e.live); err != nil {
		g.log.WarnContext(ctx, "session use not recorded", "pool", s.Pool.Name, "error", err)
		return
	}
	g.cache.drop(d)
}

// fresh reports whether a cached session can be believed without I/O.
func (g *Guard) fresh(id pool.ID, e *entry) bool {
	return g.now().Sub(e.loaded) < sessionFresh && g.outlives(id, e)
}

// outlives reports whether a cached session may go on while the store cannot
// be asked: nothing in memory says that it has ended, or that its user is not
// what it was.
func (g *Guard) outlives(id pool.ID, e *entry) bool {
	return e != nil && g.stands(id, e) && g.tokens.Revocations().Changed(id, e.live.User.Sub) <= e.seen
}

// stands reports whether nothing in memory says that a session has ended.
func (g *Guard) stands(id pool.ID, e *entry) bool {
	rev := g.tokens.Revocations()
	return g.now().Before(e.live.Expires) &&
		!rev.SessionEnded(id, e.live.Name) && !rev.SessionEnded(id, e.live.Session.Parent) &&
		rev.Epoch(id, e.live.Session.Sub, e.live.Session.Epoch)
}

// person says who a browser session is.
func person(p *pool.Pool, live *session.LiveSite) *pool.Principal {
	u := live.User
	return &pool.Principal{
		Kind: pool.Person, Pool: p.ID, Sub: u.Sub, Username: u.Username, Name: u.Name, Email: u.VerifiedEmail(), Groups: slices.Clone(u.Groups),
		AuthTime: live.Session.AuthTime, ACR: live.Session.ACR, AMR: live.Session.AMR, Browser: true,
	}
}

// name sets the identity headers of a preset.
func (g *Guard) name(ctx context.Context, h http.Header, s *site, rule *Rule, e *entry) error {
	now := g.now()
	r := e.rendered.Load()
	if r == nil || r.preset != rule.Headers || r.resource != s.Resource || now.Sub(r.at) >= assertionFresh || now.Before(r.at) {
		assertion, err := g.assertion(ctx, s, rule, e)
		if err != nil {
			return err
		}
		r = &rendering{preset: rule.Headers, resource: s.Resource, at: now, headers: prepareHeaders(rule.Headers, e.principal, assertion)}
		e.rendered.Store(r)
	}
	setHeaders(h, r.headers)
	return nil
}

// assertion signs one if the preset has a place for it.
func (g *Guard) assertion(ctx context.Context, s *site, rule *Rule, e *entry) (string, error) {
	wanted := slices.ContainsFunc(presets()[rule.Headers], func(n named) bool { return n.fact == factAssertion })
	if !wanted {
		return "", nil
	}
	return g.tokens.Assertion(ctx, s.Pool, s.Resource, e.principal)
}
